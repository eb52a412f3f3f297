//! The convolution of a block of positions, on one thread.

use super::CausalConv;
use crate::{
    scratch,
    simd::{Isa, mul_add, silu, silu_derivative, simd},
    stored::Stored,
    sums::{LANES, load},
};

/// The taps as rows of channels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kernel<'a> {
    /// [k, ch]
    by_tap: &'a [f32],
    bias: &'a [f32],
}

impl<'a> Kernel<'a> {
    /// The weights of tap `tap` `[ch]`.
    #[inline(always)]
    fn tap(self, tap: usize) -> &'a [f32] {
        &self.by_tap[tap * self.bias.len()..][..self.bias.len()]
    }
}

/// Call `f` with the taps `w` [ch, k] turned to rows.
pub(super) fn with_kernel(op: &CausalConv, w: &[f32], bias: &[f32], f: impl FnOnce(Kernel<'_>)) {
    let channels = op.x.width;
    scratch::with(op.taps * channels, |by_tap| {
        for (c, w) in w.chunks_exact(op.taps).enumerate() {
            for (tap, w) in w.iter().enumerate() {
                by_tap[tap * channels + c] = *w;
            }
        }
        f(Kernel { by_tap, bias });
    });
}

/// The inputs of one sequence.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sequence<'a> {
    x: Stored<'a>,
    state: Option<&'a [f32]>,
}

impl<'a> Sequence<'a> {
    /// Sequence `b` of the batch.
    pub(super) fn new(op: &CausalConv, x: Stored<'a>, state: Option<&'a [f32]>, b: usize) -> Self {
        let (rows, carried) = (op.len * op.x.stride, op.carried() * op.x.width);
        Self { x: x.range(b * rows..(b + 1) * rows), state: state.map(|state| &state[b * carried..][..carried]) }
    }

    /// Copy rows `start..` of the state followed by the inputs, as many as `seen` [_, ch] has: what tap j sees at
    /// position t is row t + j. Past the end of the sequence, zeros.
    pub(super) fn gather(self, op: &CausalConv, start: usize, seen: &mut [f32]) {
        for (row, seen) in (start..).zip(seen.chunks_exact_mut(op.x.width)) {
            match (row.checked_sub(op.carried()), self.state) {
                (Some(position), _) if position < op.len => op.x.stored_row(self.x, position).copy_to(seen),
                (None, Some(state)) => seen.copy_from_slice(&state[row * op.x.width..][..op.x.width]),
                _ => seen.fill(0.0),
            }
        }
    }
}

/// What the gradients of one sequence are computed from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backward<'a> {
    pub(super) kernel: Kernel<'a>,
    pub(super) sequence: Sequence<'a>,
    /// The gradient of the outputs [l, ch].
    pub(super) dy: &'a [f32],
    /// The gradient of the state after the sequence [k−1, ch].
    pub(super) d_next: Option<&'a [f32]>,
}

/// Taps that one pass takes: their weights stay in registers.
const QUAD: usize = 4;

/// Call `$pass::<S, channels, taps>` for each register of channels and each quad of taps, then for what is left.
macro_rules! by_register {
    ($op:expr, $pass:ident::<$isa:ident>($($arg:expr),*)) => {
        let (channels, taps) = ($op.x.width, $op.taps);
        let (full, quads) = (channels / LANES * LANES, taps / QUAD * QUAD);
        for c in (0..full).step_by(LANES) {
            for tap in (0..quads).step_by(QUAD) {
                $pass::<$isa, LANES, QUAD>($op, (tap, c), $($arg),*);
            }
            for tap in quads..taps {
                $pass::<$isa, LANES, 1>($op, (tap, c), $($arg),*);
            }
        }
        for c in full..channels {
            for tap in 0..taps {
                $pass::<$isa, 1, 1>($op, (tap, c), $($arg),*);
            }
        }
    };
}

/// Channels c..c + N of the sums, from taps tap..tap + Q.
#[inline(always)]
fn sum_pass<S: Isa, const N: usize, const Q: usize>(
    op: &CausalConv,
    (tap, c): (usize, usize),
    kernel: Kernel<'_>,
    seen: &[f32],
    sums: &mut [f32],
) {
    let channels = op.x.width;
    let w: [[f32; N]; Q] = std::array::from_fn(|q| load(&kernel.tap(tap + q)[c..]));
    let bias: [f32; N] = load(&kernel.bias[c..]);
    for (t, sums) in sums.chunks_exact_mut(channels).enumerate() {
        let sums: &mut [f32; N] = sums[c..].first_chunk_mut().expect("N channels are left");
        let mut sum = if tap == 0 { bias } else { *sums };
        let seen = &seen[(t + tap) * channels + c..];
        for q in 0..Q {
            let x: [f32; N] = load(&seen[q * channels..]);
            for i in 0..N {
                sum[i] = mul_add::<S>(w[q][i], x[i], sum[i]);
            }
        }
        *sums = sum;
    }
}

/// Channels c..c + N of the gradients of the taps tap..tap + Q, and of the inputs through them.
#[inline(always)]
fn gradient_pass<S: Isa, const N: usize, const Q: usize>(
    op: &CausalConv,
    (tap, c): (usize, usize),
    kernel: Kernel<'_>,
    seen: &[f32],
    d_sums: &[f32],
    d_x: &mut [f32],
    d_kernel: &mut [f32],
) {
    let channels = op.x.width;
    let w: [[f32; N]; Q] = std::array::from_fn(|q| load(&kernel.tap(tap + q)[c..]));
    let mut dw = [[0.0; N]; Q];
    for (t, d_x) in d_x.chunks_exact_mut(op.dx.stride).enumerate() {
        let d: [f32; N] = load(&d_sums[t * channels + c..]);
        let d_x: &mut [f32; N] = d_x[op.dx.start + c..].first_chunk_mut().expect("N channels are left");
        let mut sum = if tap == 0 { [0.0; N] } else { *d_x };
        let seen = &seen[(t + tap) * channels + c..];
        let later = &d_sums[(t + op.taps - tap - Q) * channels + c..];
        for q in 0..Q {
            let x: [f32; N] = load(&seen[q * channels..]);
            let later: [f32; N] = load(&later[(Q - 1 - q) * channels..]);
            for i in 0..N {
                dw[q][i] = mul_add::<S>(d[i], x[i], dw[q][i]);
                sum[i] = mul_add::<S>(w[q][i], later[i], sum[i]);
            }
        }
        *d_x = sum;
    }
    for (q, dw) in dw.iter().enumerate() {
        for (total, dw) in d_kernel[(tap + q) * channels + c..].iter_mut().zip(dw) {
            *total += dw;
        }
    }
}

simd! {
    /// Positions `start..` of one sequence, as many as `y` has rows; `seen` [rows + k−1, ch] is memory to work in.
    pub(super) fn conv_rows<S>(
        op: &CausalConv,
        kernel: Kernel<'_>,
        sequence: Sequence<'_>,
        start: usize,
        y: &mut [f32],
        seen: &mut [f32],
    ) {
        sequence.gather(op, start, seen);
        by_register!(op, sum_pass::<S>(kernel, seen, y));
        for y in y {
            *y = silu::<S>(*y);
        }
    }
}

simd! {
    /// The gradient of the inputs at positions `start..`, as many as `d_x` has rows, and what these positions' sums
    /// add to `d_kernel` [k+1, ch]: the gradient of the taps, then of the bias.
    ///
    /// The sums of the k − 1 positions after them see these inputs too. `memory` has [`backward_memory`] floats.
    pub(super) fn conv_backward_rows<S>(
        op: &CausalConv,
        back: &Backward<'_>,
        start: usize,
        d_x: &mut [f32],
        d_kernel: &mut [f32],
        memory: &mut [f32],
    ) {
        let channels = op.x.width;
        let rows = d_x.len() / op.dx.stride;
        let (d_sums, seen) = memory.split_at_mut((rows + op.carried()) * channels);
        sum_gradients::<S>(op, back, start, d_sums, seen);
        by_register!(op, gradient_pass::<S>(back.kernel, seen, d_sums, d_x, d_kernel));
        let d_bias = &mut d_kernel[op.taps * channels..];
        for d_sums in d_sums.chunks_exact(channels).take(rows) {
            for (d_bias, d) in d_bias.iter_mut().zip(d_sums) {
                *d_bias += *d;
            }
        }
        if let Some(d_next) = back.d_next {
            for (next, d_next) in d_next.chunks_exact(channels).enumerate() {
                if let Some(t) = (op.len + next).checked_sub(op.carried() + start).filter(|t| *t < rows) {
                    for (d_x, d_next) in op.dx.row_mut(d_x, t).iter_mut().zip(d_next) {
                        *d_x += d_next;
                    }
                }
            }
        }
    }
}

/// Floats of memory for [`conv_backward_rows`] of `rows` positions.
pub(super) fn backward_memory(op: &CausalConv, rows: usize) -> usize {
    (2 * (rows + op.carried()) + op.carried()) * op.x.width
}

/// The gradient of the sums of positions `start..`, as many as `d_sums` has rows; zero past the end of the sequence.
#[inline(always)]
fn sum_gradients<S: Isa>(op: &CausalConv, back: &Backward<'_>, start: usize, d_sums: &mut [f32], seen: &mut [f32]) {
    let channels = op.x.width;
    back.sequence.gather(op, start, seen);
    let (inside, outside) = d_sums.split_at_mut(d_sums.len().min((op.len - start) * channels));
    by_register!(op, sum_pass::<S>(back.kernel, seen, inside));
    for (d, dy) in inside.iter_mut().zip(&back.dy[start * channels..]) {
        *d = dy * silu_derivative::<S>(*d);
    }
    outside.fill(0.0);
}

simd! {
    /// The gradient of the state [k−1, ch] of one sequence; `memory` has [`backward_memory`] floats of no rows.
    pub(super) fn conv_backward_state<S>(
        op: &CausalConv, back: &Backward<'_>, d_state: &mut [f32], memory: &mut [f32],
    ) {
        let channels = op.x.width;
        let (d_sums, seen) = memory.split_at_mut(op.carried() * channels);
        sum_gradients::<S>(op, back, 0, d_sums, seen);
        for (row, d_state) in d_state.chunks_exact_mut(channels).enumerate() {
            match (row.checked_sub(op.len), back.d_next) {
                (Some(next), Some(d_next)) => d_state.copy_from_slice(&d_next[next * channels..][..channels]),
                _ => d_state.fill(0.0),
            }
            for (tap, d_sums) in d_sums.chunks_exact(channels).take(row + 1).rev().enumerate() {
                for ((d_state, w), d) in d_state.iter_mut().zip(back.kernel.tap(tap)).zip(d_sums) {
                    *d_state = mul_add::<S>(*w, *d, *d_state);
                }
            }
        }
    }
}
