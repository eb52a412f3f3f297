//! One position through what a Mamba-2 mixer does between its two projections.
//!
//! ```text
//! z ──────────────────────────────────────────────────────────── silu ─┐
//! x B C → the d_conv − 1 inputs before → Σ taps + bias → silu → x B C   │
//! dt → + bias → softplus → Δ → a = exp(A·Δ)                     │       │
//!                          S ← a·S + Δ·x ⊗ B,  y = S·C + D·x ←──┘       │
//!                                              y ──────────────────── · ┴→ rms_norm → y
//! ```
//!
//! arXiv 2405.21060 eq. 1. The state of a head lies [n, p]: channels side by side in vector lanes, so that S·C adds whole
//! vectors and nothing is summed across lanes.

use crate::{
    rms_norm::inverse_rms,
    simd::{Isa, exp, mul_add, silu, simd, softplus},
    sums::{LANES, dot, load},
};

/// Sizes and small weights of a mixer.
#[derive(Clone, Copy, Debug)]
pub struct Mamba2Step<'a> {
    /// Heads (h).
    pub n_heads: usize,
    /// Channels of a head (p).
    pub d_head: usize,
    /// Size of the state of a channel (n).
    pub d_state: usize,
    /// Groups of heads that share B and C (g), and of channels that share a norm.
    pub n_groups: usize,
    /// ε of the norm.
    pub eps: f32,
    /// Taps of the convolution, the oldest input's first: [d_conv, ch].
    pub conv_weight: &'a [f32],
    /// Its bias, `[ch]`.
    pub conv_bias: &'a [f32],
    /// Added to the raw step, `[h]`.
    pub dt_bias: &'a [f32],
    /// A = −exp(a_log), `[h]`.
    pub a: &'a [f32],
    /// D, `[h]`.
    pub d_skip: &'a [f32],
    /// Gain of the norm, `[i]`.
    pub norm: &'a [f32],
}

impl Mamba2Step<'_> {
    /// Channels of x, z and y: i = h·p.
    fn d_inner(&self) -> usize {
        self.n_heads * self.d_head
    }

    /// Channels of the convolution: x, B and C side by side.
    fn channels(&self) -> usize {
        self.d_inner() + 2 * self.n_groups * self.d_state
    }

    #[track_caller]
    fn assert_fits(&self, projected: &[f32], window: &[f32], state: &[f32], y: &[f32]) {
        let (i, ch, h) = (self.d_inner(), self.channels(), self.n_heads);
        assert!(i > 0 && self.d_state > 0 && self.n_groups > 0 && h.is_multiple_of(self.n_groups), "sizes of {self:?}");
        assert_eq!(self.conv_weight.len(), ch + window.len(), "taps of {ch} channels and the inputs before");
        assert_eq!(window.len() % ch, 0, "rows of {ch} inputs");
        assert_eq!([self.conv_bias.len(), self.norm.len()], [ch, i], "bias and gain");
        assert_eq!([self.dt_bias.len(), self.a.len(), self.d_skip.len()], [h; 3], "weights of heads");
        assert_eq!(projected.len(), i + ch + h, "z | x B C | dt");
        assert_eq!([state.len(), y.len()], [i * self.d_state, i], "state and output");
    }
}

/// `y` of one position, and what the next one remembers. `projected` is used up.
///
/// # Shapes
/// `projected`: [2·i + 2·g·n + h], rows z, x, B, C, dt; `window`: [d_conv − 1, ch], the inputs before; `state`:
/// [h, n, p]; `y`: `[i]`
///
/// # Panics
/// If the lengths do not fit.
pub fn mamba2_step(op: &Mamba2Step<'_>, projected: &mut [f32], window: &mut [f32], state: &mut [f32], y: &mut [f32]) {
    op.assert_fits(projected, window, state, y);
    step(op, projected, window, state, y);
}

simd! {
    fn step<S>(op: &Mamba2Step<'_>, projected: &mut [f32], window: &mut [f32], state: &mut [f32], y: &mut [f32]) {
        let (z, rest) = projected.split_at_mut(op.d_inner());
        let (xbc, dt) = rest.split_at_mut(op.channels());
        convolve::<S>(op, window, xbc);
        recur::<S>(op, xbc, dt, state, y);
        gate_and_norm::<S>(op, z, y);
    }
}

/// x ← silu(bias + Σ taps·inputs); the window moves on by a row.
#[inline(always)]
fn convolve<S: Isa>(op: &Mamba2Step<'_>, window: &mut [f32], x: &mut [f32]) {
    let whole = x.len() - x.len() % LANES;
    for at in (0..whole).step_by(LANES) {
        convolve_lanes::<S, LANES>(op, window, x, at);
    }
    for at in whole..x.len() {
        convolve_lanes::<S, 1>(op, window, x, at);
    }
}

#[inline(always)]
fn convolve_lanes<S: Isa, const N: usize>(op: &Mamba2Step<'_>, window: &mut [f32], x: &mut [f32], at: usize) {
    let channels = x.len();
    let mut sum = load::<N>(&op.conv_bias[at..]);
    let (carried, now) = (window.len() / channels, load::<N>(&x[at..]));
    for tap in 0..=carried {
        let row = tap * channels + at;
        let (weight, input) =
            (load::<N>(&op.conv_weight[row..]), if tap < carried { load(&window[row..]) } else { now });
        for lane in 0..N {
            sum[lane] = mul_add::<S>(weight[lane], input[lane], sum[lane]);
        }
        if tap > 0 {
            window[row - channels..][..N].copy_from_slice(&input);
        }
    }
    for (x, sum) in x[at..at + N].iter_mut().zip(sum) {
        *x = silu::<S>(sum);
    }
}

/// S ← a·S + Δ·x ⊗ B and y = S·C + D·x, of every head.
#[inline(always)]
fn recur<S: Isa>(op: &Mamba2Step<'_>, xbc: &[f32], dt: &[f32], state: &mut [f32], y: &mut [f32]) {
    let (p, n) = (op.d_head, op.d_state);
    let (x, bc) = xbc.split_at(op.d_inner());
    let (b, c) = bc.split_at(op.n_groups * n);
    let heads_per_group = op.n_heads / op.n_groups;
    for first in (0..op.n_heads).step_by(LANES) {
        let count = LANES.min(op.n_heads - first);
        let (delta, decay) = step_sizes::<S>(op, dt, first, count);
        for head in first..first + count {
            let group = head / heads_per_group * n;
            let (b, c) = (&b[group..][..n], &c[group..][..n]);
            let head_step =
                HeadStep { delta: delta[head - first], decay: decay[head - first], d: op.d_skip[head], b, c };
            let (x, y, state) = (&x[head * p..][..p], &mut y[head * p..][..p], &mut state[head * n * p..][..n * p]);
            let mut at = 0;
            while at + 2 * LANES <= p {
                head_step.lanes::<S, { 2 * LANES }>(x, state, y, at);
                at += 2 * LANES;
            }
            while at + LANES <= p {
                head_step.lanes::<S, LANES>(x, state, y, at);
                at += LANES;
            }
            for at in at..p {
                head_step.lanes::<S, 1>(x, state, y, at);
            }
        }
    }
}

/// Δ and exp(A·Δ) of up to [`LANES`] heads.
#[inline(always)]
fn step_sizes<S: Isa>(op: &Mamba2Step<'_>, dt: &[f32], first: usize, count: usize) -> ([f32; LANES], [f32; LANES]) {
    let (mut delta, mut decay) = ([0.0; LANES], [0.0; LANES]);
    for ((delta, dt), bias) in delta.iter_mut().zip(&dt[first..first + count]).zip(&op.dt_bias[first..]) {
        *delta = dt + bias;
    }
    decay[..count].copy_from_slice(&op.a[first..first + count]);
    for (delta, decay) in delta.iter_mut().zip(&mut decay) {
        *delta = softplus::<S>(*delta);
        *decay = exp::<S>(*decay * *delta);
    }
    (delta, decay)
}

/// What one position does to the state of one head.
struct HeadStep<'a> {
    delta: f32,
    decay: f32,
    d: f32,
    b: &'a [f32],
    c: &'a [f32],
}

impl HeadStep<'_> {
    /// The channels from `at`.
    #[inline(always)]
    fn lanes<S: Isa, const N: usize>(&self, x: &[f32], state: &mut [f32], y: &mut [f32], at: usize) {
        let input = load::<N>(&x[at..]);
        let (mut added, mut sum) = (input, input);
        for lane in 0..N {
            added[lane] *= self.delta;
            sum[lane] *= self.d;
        }
        for ((row, b), c) in state.chunks_exact_mut(x.len()).zip(self.b).zip(self.c) {
            let mut s = load::<N>(&row[at..]);
            for lane in 0..N {
                s[lane] = mul_add::<S>(added[lane], *b, self.decay * s[lane]);
                sum[lane] = mul_add::<S>(s[lane], *c, sum[lane]);
            }
            row[at..at + N].copy_from_slice(&s);
        }
        y[at..at + N].copy_from_slice(&sum);
    }
}

/// y ← rms_norm(y·silu(z)) over each group of channels.
#[inline(always)]
fn gate_and_norm<S: Isa>(op: &Mamba2Step<'_>, z: &[f32], y: &mut [f32]) {
    for (y, z) in y.iter_mut().zip(z) {
        *y *= silu::<S>(*z);
    }
    let width = y.len() / op.n_groups;
    for (y, w) in y.chunks_exact_mut(width).zip(op.norm.chunks_exact(width)) {
        let r = inverse_rms(dot::<S>(y, y), width, op.eps);
        for (y, w) in y.iter_mut().zip(w) {
            *y = *y * r * w;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::{assert_close, wide},
        reference::{self, ConvShape},
        scan::ScanShape,
        simd::{Level, with_level},
        test_data::uniform,
    };

    /// Positions that a test goes through.
    const LEN: usize = 9;

    struct Case {
        shape: ScanShape,
        taps: usize,
        projected: Vec<f32>,
        window: Vec<f32>,
        state: Vec<f32>,
        weights: [Vec<f32>; 6],
    }

    impl Case {
        fn new([n_heads, d_head, d_state, n_groups, taps]: [usize; 5]) -> Self {
            let shape = ScanShape { batch: 1, len: LEN, n_heads, d_head, d_state, n_groups };
            let (i, ch) = (shape.d_inner(), shape.channels());
            let a = uniform(n_heads, 1).iter().map(|x| -8.5 + 7.5 * x).collect();
            Self {
                shape,
                taps,
                projected: uniform(LEN * (i + ch + n_heads), 2),
                window: uniform((taps - 1) * ch, 3),
                state: uniform(i * d_state, 4),
                weights: [
                    uniform(taps * ch, 5),
                    uniform(ch, 6),
                    uniform(n_heads, 7),
                    a,
                    uniform(n_heads, 8),
                    uniform(i, 9),
                ],
            }
        }

        fn op(&self) -> Mamba2Step<'_> {
            let ScanShape { n_heads, d_head, d_state, n_groups, .. } = self.shape;
            let [conv_weight, conv_bias, dt_bias, a, d_skip, norm] = &self.weights;
            Mamba2Step {
                n_heads,
                d_head,
                d_state,
                n_groups,
                eps: 1e-5,
                conv_weight,
                conv_bias,
                dt_bias,
                a,
                d_skip,
                norm,
            }
        }

        fn run(&self, level: Level) -> [Vec<f32>; 3] {
            let (mut window, mut state) = (self.window.clone(), self.state.clone());
            let mut y = vec![f32::NAN; LEN * self.shape.d_inner()];
            let width = self.projected.len() / LEN;
            with_level(level, 1, || {
                for (row, y) in self.projected.chunks(width).zip(y.chunks_mut(self.shape.d_inner())) {
                    mamba2_step(&self.op(), &mut row.to_vec(), &mut window, &mut state, y);
                }
            });
            [y, window, state]
        }

        /// The same by the twins of the kernels for whole sequences.
        fn expected(&self) -> [Vec<f64>; 3] {
            let Self { shape, taps, .. } = *self;
            let (i, ch) = (shape.d_inner(), shape.channels());
            let [conv_weight, conv_bias, dt_bias, a, d_skip, norm] = self.weights.each_ref().map(|w| wide(w));
            let columns = |start: usize, width: usize| -> Vec<f64> {
                let rows = self.projected.chunks(i + ch + shape.n_heads);
                rows.flat_map(|row| wide(&row[start..start + width])).collect()
            };
            let conv = ConvShape { batch: 1, len: LEN, channels: ch, taps };
            let by_channel: Vec<f64> = transposed(&conv_weight, ch);
            let (xbc, window) =
                reference::causal_conv_silu(conv, &columns(i, ch), &by_channel, &conv_bias, &wide(&self.window));
            let heads =
                |state: &[f64], width| state.chunks(shape.state_len()).flat_map(|s| transposed(s, width)).collect();
            let input = reference::ScanInput {
                xbc,
                raw_dt: columns(i + ch, shape.n_heads),
                dt_bias,
                a_log: a.iter().map(|a| (-a).ln()).collect(),
                d_skip,
                state: heads(&wide(&self.state), shape.d_head),
            };
            let (y, state) = reference::scan(&shape, &input);
            let y = reference::gated_norm(&y, &columns(0, i), &norm, shape.n_groups, f64::from(1e-5f32));
            [y, window, heads(&state, shape.d_state)]
        }
    }

    /// Rows of `width` as columns.
    fn transposed(x: &[f64], width: usize) -> Vec<f64> {
        (0..width).flat_map(|column| x.iter().skip(column).step_by(width).copied()).collect()
    }

    #[test]
    fn positions_one_by_one_agree_with_the_twins_of_whole_sequences() {
        for sizes in [[1, 1, 1, 1, 1], [2, 8, 5, 2, 4], [4, 32, 16, 1, 4], [18, 16, 4, 3, 3], [3, 51, 17, 1, 2]] {
            let case = Case::new(sizes);
            let expected = case.expected();
            for level in Level::available() {
                for (what, (found, expected)) in
                    ["y", "window", "state"].iter().zip(case.run(level).iter().zip(&expected))
                {
                    assert_close(found, expected, 2e-5, (what, sizes, level));
                }
            }
        }
    }

    #[test]
    fn a_step_that_decays_to_nothing_leaves_no_subnormal_number() {
        let mut case = Case::new([1, 16, 4, 1, 4]);
        case.weights[3] = vec![-1e3];
        case.projected.iter_mut().for_each(|x| *x *= 1e-3);
        for level in Level::available() {
            let [_, _, state] = case.run(level);
            assert!(state.iter().all(|s| *s == 0.0 || s.is_normal()), "{level:?}");
        }
    }
}
