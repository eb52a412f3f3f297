//! mamba2

use burn::tensor::Tensor;
use itera_ops::{Mamba2Shape, Mamba2State, Mamba2Weights, composite, mamba2};
use itera_testkit::{assert_close, awkward_lengths, uniform};

use crate::case::{Case, Output, values};

/// Log-decays of a chunk sum to −100 and more, and the composite takes the decay of a span from the difference of two
/// such sums: some hundred of their roundings.
const SCAN: f64 = 1e-4;

#[derive(Clone, Copy, Debug)]
struct Mixer {
    batch: usize,
    len: usize,
    taps: usize,
    shape: Mamba2Shape,
}

fn shape([n_heads, d_head, d_state, n_groups, chunk_len]: [usize; 5]) -> Mamba2Shape {
    Mamba2Shape { n_heads, d_head, d_state, n_groups, chunk_len, eps: 1e-5 }
}

impl Mixer {
    /// `decay` bounds −A·Δ from above, roughly.
    fn case(&self, decay: f32) -> Case {
        let Self { batch, len, taps, shape } = *self;
        let (i, ch, h) = (shape.d_inner(), shape.d_conv_channels(), shape.n_heads);
        Case::new(format!("{self:?}, decay {decay}"), SCAN)
            .uniform(batch * len * (i + ch + h), -1.5, 1.5)
            .uniform(ch * taps, -0.6, 0.6)
            .uniform(ch, -0.5, 0.5)
            .uniform(h, -3.0, 0.5)
            .uniform(h, (0.05 * decay).ln(), decay.ln())
            .uniform(h, 0.5, 1.5)
            .uniform(i, 0.5, 1.5)
            .uniform(batch * (taps - 1) * ch, -1.0, 1.0)
            .uniform(batch * h * shape.d_head * shape.d_state, -1.0, 1.0)
    }

    fn run(&self, inputs: &[Tensor<1>]) -> Vec<Output> {
        let Self { batch, len, taps, shape } = *self;
        let (i, ch, h) = (shape.d_inner(), shape.d_conv_channels(), shape.n_heads);
        let [projected, conv_weight, conv_bias, dt_bias, a_log, d_skip, norm, conv, ssm] = inputs else {
            unreachable!()
        };
        let weights = Mamba2Weights {
            conv_weight: conv_weight.clone().reshape([ch, taps]),
            conv_bias: conv_bias.clone(),
            dt_bias: dt_bias.clone(),
            a_log: a_log.clone(),
            d_skip: d_skip.clone(),
            norm: norm.clone(),
        };
        let state = Mamba2State {
            conv: conv.clone().reshape([batch, taps - 1, ch]),
            ssm: ssm.clone().reshape([batch, h, shape.d_head, shape.d_state]),
        };
        let (y, state) = mamba2(projected.clone().reshape([batch, len, i + ch + h]), weights, state, &shape);
        vec![y.into(), state.conv.into(), state.ssm.into()]
    }

    fn check(&self, decay: f32) {
        self.case(decay).check(|inputs| self.run(inputs));
    }
}

#[test]
fn mamba2_is_its_composite_around_a_chunk() {
    for len in awkward_lengths(16) {
        Mixer { batch: 2, len, taps: 4, shape: shape([4, 8, 16, 1, 16]) }.check(1.0);
    }
}

#[test]
fn mamba2_is_its_composite_at_awkward_sizes() {
    for (batch, len, taps, sizes) in [
        (1, 1, 4, [1, 1, 1, 1, 8]),
        (2, 9, 4, [2, 4, 1, 1, 8]),
        (1, 12, 4, [2, 16, 128, 1, 8]),
        (1, 20, 4, [4, 6, 10, 2, 8]),
        (3, 7, 2, [6, 5, 3, 3, 4]),
        (1, 17, 3, [2, 33, 17, 2, 16]),
        (1, 10, 4, [8, 32, 32, 1, 8]),
        (1, 70, 4, [2, 64, 16, 1, 32]),
        (2, 131, 4, [2, 4, 8, 1, 32]),
    ] {
        Mixer { batch, len, taps, shape: shape(sizes) }.check(1.0);
    }
}

#[test]
fn a_strong_decay_forgets_and_a_weak_one_remembers() {
    for decay in [1e-3, 30.0, 3000.0] {
        Mixer { batch: 1, len: 37, taps: 4, shape: shape([4, 8, 16, 2, 8]) }.check(decay);
    }
}

#[test]
fn a_mixer_may_go_on_from_its_state_with_gradients_through_it() {
    let whole = Mixer { batch: 2, len: 21, taps: 4, shape: shape([4, 6, 10, 2, 8]) };
    let width = whole.shape.d_inner() + whole.shape.d_conv_channels() + whole.shape.n_heads;
    for cut in [1, 2, 8, 20] {
        whole.case(1.0).check(|inputs| {
            let projected = inputs[0].clone().reshape([2, 21, width]);
            let piece = |from: usize, len: usize| projected.clone().narrow(1, from, len).flatten::<1>(0, 2);
            let mut inputs = inputs.to_vec();
            inputs[0] = piece(0, cut);
            let [y, conv, ssm] = <[Output; 3]>::try_from(Mixer { len: cut, ..whole }.run(&inputs)).ok().expect("three");
            (inputs[0], inputs[7], inputs[8]) = (piece(cut, 21 - cut), conv.into_flat(), ssm.into_flat());
            let mut outputs = Mixer { len: 21 - cut, ..whole }.run(&inputs);
            outputs.push(y);
            outputs
        });
    }
}

#[test]
fn pieces_and_steps_give_what_the_whole_sequence_gives() {
    let whole = Mixer { batch: 2, len: 19, taps: 4, shape: shape([4, 6, 10, 2, 8]) };
    let Mamba2Shape { n_heads: h, d_head: p, d_state: n, .. } = whole.shape;
    let (ch, width) = (whole.shape.d_conv_channels(), whole.shape.d_inner() + whole.shape.d_conv_channels() + h);
    let device = burn::tensor::Device::flex();
    let leaf = |len: usize, low: f32, high: f32, seed: u64| {
        Tensor::<1>::from_floats(uniform(len, low, high, seed).as_slice(), &device)
    };
    let projected = leaf(2 * 19 * width, -1.5, 1.5, 1).reshape([2, 19, width]);
    let weights = Mamba2Weights {
        conv_weight: leaf(ch * 4, -0.6, 0.6, 2).reshape([ch, 4]),
        conv_bias: leaf(ch, -0.5, 0.5, 3),
        dt_bias: leaf(h, -3.0, 0.5, 4),
        a_log: leaf(h, -3.0, 0.0, 5),
        d_skip: leaf(h, 0.5, 1.5, 6),
        norm: leaf(whole.shape.d_inner(), 0.5, 1.5, 7),
    };
    let start = Mamba2State {
        conv: leaf(2 * 3 * ch, -1.0, 1.0, 8).reshape([2, 3, ch]),
        ssm: leaf(2 * h * p * n, -1.0, 1.0, 9).reshape([2, h, p, n]),
    };
    let (y, end) = mamba2(projected.clone(), weights.clone(), start.clone(), &whole.shape);
    let [y, conv, ssm] = [values(y), values(end.conv), values(end.ssm)];

    for (what, cuts) in [("two", vec![0, 8, 19]), ("four", vec![0, 1, 2, 11, 19]), ("steps", (0..=19).collect())] {
        for by_recurrence in [false, true] {
            let mut state = start.clone();
            let mut pieces = Vec::new();
            for cut in cuts.windows(2) {
                let piece = projected.clone().narrow(1, cut[0], cut[1] - cut[0]);
                let mix = if by_recurrence && cut[1] - cut[0] == 1 { composite::mamba2_step } else { mamba2 };
                let (y, next) = mix(piece, weights.clone(), state, &whole.shape);
                pieces.push(y);
                state = next;
            }
            assert_close(&format!("y, {what}"), &values(Tensor::cat(pieces, 1)), &y, SCAN);
            assert_close(&format!("conv state, {what}"), &values(state.conv), &conv, SCAN);
            assert_close(&format!("ssm state, {what}"), &values(state.ssm), &ssm, SCAN);
        }
    }
}
