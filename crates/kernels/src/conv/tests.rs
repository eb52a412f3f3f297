//! The convolution against its twin, its slope, and itself.

use super::*;
use crate::{
    check::{assert_close, assert_gradient, inner, wide},
    reference::{self, ConvShape},
    simd::{Level, with_level},
    test_data::{for_thread_counts, rounded, uniform},
};

const SHAPES: [ConvShape; 11] = [
    shape(1, 1, 1, 2),
    shape(2, 1, 5, 4),
    shape(2, 2, 5, 4),
    shape(1, 3, 16, 4),
    shape(3, ROWS - 1, 17, 4),
    shape(2, ROWS, 8, 3),
    shape(2, ROWS + 1, 20, 4),
    shape(1, 3 * ROWS + 2, 33, 8),
    shape(2, 7, 3, 8),
    shape(2, 70, 4, 1),
    shape(1, 65, 320, 4),
];

const fn shape(batch: usize, len: usize, channels: usize, taps: usize) -> ConvShape {
    ConvShape { batch, len, channels, taps }
}

struct Inputs {
    x: Vec<f32>,
    w: Vec<f32>,
    bias: Vec<f32>,
    state: Vec<f32>,
    dy: Vec<f32>,
    d_next: Vec<f32>,
}

fn inputs(shape: ConvShape) -> Inputs {
    let ConvShape { batch, len, channels, taps } = shape;
    Inputs {
        x: uniform(batch * len * channels, 1).iter().map(|x| 3.0 * x).collect(),
        w: uniform(channels * taps, 2),
        bias: uniform(channels, 3),
        state: uniform(batch * (taps - 1) * channels, 4),
        dy: uniform(batch * len * channels, 5),
        d_next: uniform(batch * (taps - 1) * channels, 6),
    }
}

/// y, next, d_x with what is beside it, dw, d_bias, d_state; x lies among columns of NaN.
fn results(shape: ConvShape, carry: bool) -> [Vec<f32>; 6] {
    let ConvShape { batch, len, channels, taps } = shape;
    let Inputs { x, w, bias, state, dy, d_next } = inputs(shape);
    let columns = Columns { stride: channels + 3, start: 2, width: channels };
    let dx_columns = Columns { stride: channels + 1, start: 1, width: channels };
    let op = CausalConv { len, taps, x: columns, dx: dx_columns };
    let mut among = vec![f32::NAN; batch * len * columns.stride];
    for (row, x) in x.chunks_exact(channels).enumerate() {
        columns.row_mut(&mut among, row).copy_from_slice(x);
    }
    let stale = |n: usize| vec![f32::NAN; n];
    let (mut y, mut next) = (stale(x.len()), stale(state.len()));
    let (mut d_x, mut dw) = (vec![7.0; batch * len * dx_columns.stride], stale(w.len()));
    let (mut d_bias, mut d_state) = (stale(channels), stale(state.len()));
    let (state, d_next) = (carry.then_some(&*state), carry.then_some(&*d_next));
    causal_conv_silu(&op, &among, &w, &bias, state, &mut y, Some(&mut next));
    let mut backward = |x: Stored<'_>| {
        let gradients = ConvGradients { d_x: &mut d_x, dw: &mut dw, d_bias: &mut d_bias, d_state: Some(&mut d_state) };
        causal_conv_silu_backward(&op, x, &w, &bias, state, &dy, d_next, gradients);
        [&d_x, &dw, &d_bias, &d_state].map(Clone::clone)
    };
    let (stored, numbers) = rounded(&among);
    assert_eq!(backward(Stored::Bf16(&stored)), backward(numbers[..].into()), "{shape:?}");
    let [d_x, dw, d_bias, d_state] = backward(among[..].into());
    [y, next, d_x, dw, d_bias, d_state]
}

#[test]
fn agrees_with_the_twin() {
    for (shape, carry) in SHAPES.into_iter().flat_map(|shape| [(shape, false), (shape, true)]) {
        let Inputs { x, w, bias, state, dy, d_next } = inputs(shape);
        let [x, w, bias, mut state, dy, mut d_next] = [x, w, bias, state, dy, d_next].map(|x| wide(&x));
        if !carry {
            state.fill(0.0);
            d_next.fill(0.0);
        }
        let (slow_y, slow_next) = reference::causal_conv_silu(shape, &x, &w, &bias, &state);
        let slow = reference::causal_conv_silu_backward(shape, &x, &w, &bias, &state, &dy, &d_next);
        for level in Level::available() {
            let [y, next, d_x, dw, d_bias, d_state] = with_level(level, 2, || results(shape, carry));
            assert!(d_x.iter().step_by(shape.channels + 1).all(|x| *x == 7.0), "a column beside dx was written");
            let d_x: Vec<f32> = d_x.chunks_exact(shape.channels + 1).flat_map(|row| row[1..].to_vec()).collect();
            let what = |name: &'static str| (name, shape, carry, level);
            assert_close(&y, &slow_y, 2e-6, what("y"));
            assert_close(&next, &slow_next, 0.0, what("next"));
            assert_close(&d_x, &slow.dx, 4e-6, what("dx"));
            assert_close(&dw, &slow.dw, 2e-5, what("dw"));
            assert_close(&d_bias, &slow.d_bias, 2e-5, what("d_bias"));
            assert_close(&d_state, &slow.d_state, 4e-6, what("d_state"));
        }
    }
}

#[test]
fn twin_is_the_slope_of_its_forward() {
    for shape in [shape(2, 5, 2, 3), shape(1, 2, 1, 4)] {
        let Inputs { x, w, bias, state, dy, d_next } = inputs(shape);
        let [x, w, bias, state, dy, d_next] = [x, w, bias, state, dy, d_next].map(|x| wide(&x));
        let loss = |x: &[f64], w: &[f64], bias: &[f64], state: &[f64]| {
            let (y, next) = reference::causal_conv_silu(shape, x, w, bias, state);
            inner(&y, &dy) + inner(&next, &d_next)
        };
        let slow = reference::causal_conv_silu_backward(shape, &x, &w, &bias, &state, &dy, &d_next);
        assert_gradient(|x| loss(x, &w, &bias, &state), &x, &slow.dx, "dx");
        assert_gradient(|w| loss(&x, w, &bias, &state), &w, &slow.dw, "dw");
        assert_gradient(|bias| loss(&x, &w, bias, &state), &bias, &slow.d_bias, "d_bias");
        assert_gradient(|state| loss(&x, &w, &bias, state), &state, &slow.d_state, "d_state");
    }
}

#[test]
fn every_thread_count_gives_the_same_bits() {
    let results = for_thread_counts(|| results(shape(3, 200, 24, 4), true));
    assert!(results.iter().all(|result| *result == results[0]));
}

/// A sequence in two calls is the sequence in one.
#[test]
fn the_state_continues_a_sequence() {
    let (whole, split, channels, taps) = (90, 31, 6, 4);
    let Inputs { x, w, bias, .. } = inputs(shape(1, whole, channels, taps));
    let dense = Columns { stride: channels, start: 0, width: channels };
    let run = |x: &[f32], state: Option<&[f32]>| {
        let op = CausalConv { len: x.len() / channels, taps, x: dense, dx: dense };
        let (mut y, mut next) = (vec![f32::NAN; x.len()], vec![f32::NAN; (taps - 1) * channels]);
        causal_conv_silu(&op, x, &w, &bias, state, &mut y, Some(&mut next));
        (y, next)
    };
    let (first, second) = x.split_at(split * channels);
    let (mut y, state) = run(first, None);
    let (rest, next) = run(second, Some(&state));
    y.extend(rest);
    assert_eq!((y, next), run(&x, None));
}
