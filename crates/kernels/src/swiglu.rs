//! [gate | up] → silu(gate)·up
//!
//! Backward needs the input and computes the sigmoid again: an exponential in a register costs less than a number
//! from memory.

use rayon::prelude::*;

use crate::{
    simd::{silu, silu_and_derivative, simd},
    sums::ROWS,
};

/// `out = silu(gate)·up` (arXiv 2002.05202 eq. 6, between its products).
///
/// # Shapes
/// `gate_up`: [t, 2f], gate first; `out`: [t, f]
///
/// # Panics
/// If `f` is 0 or the lengths do not fit.
pub fn swiglu(gate_up: &[f32], f: usize, out: &mut [f32]) {
    assert_lengths(gate_up, f, out);
    let blocks = gate_up.par_chunks(2 * f * ROWS).zip(out.par_chunks_mut(f * ROWS));
    blocks.for_each(|(gate_up, out)| swiglu_rows(gate_up, f, out));
}

/// Gradient of [`swiglu`] at `gate_up` for the gradient `d_out` of its output.
///
/// # Shapes
/// `gate_up`, `d_gate_up`: [t, 2f], `d_out`: [t, f]
///
/// # Panics
/// As [`swiglu`].
pub fn swiglu_backward(gate_up: &[f32], d_out: &[f32], f: usize, d_gate_up: &mut [f32]) {
    assert_lengths(gate_up, f, d_out);
    assert_eq!(d_gate_up.len(), gate_up.len(), "d_gate_up");
    let inputs = gate_up.par_chunks(2 * f * ROWS).zip(d_out.par_chunks(f * ROWS));
    let blocks = inputs.zip(d_gate_up.par_chunks_mut(2 * f * ROWS));
    blocks.for_each(|((gate_up, d_out), d_gate_up)| swiglu_backward_rows(gate_up, d_out, f, d_gate_up));
}

#[track_caller]
fn assert_lengths(gate_up: &[f32], f: usize, out: &[f32]) {
    assert!(f > 0, "SwiGLU of no channels");
    assert!(
        out.len().is_multiple_of(f) && gate_up.len() == 2 * out.len(),
        "{} of rows of 2 · {f} floats",
        gate_up.len()
    );
}

simd! {
    /// [`swiglu`] on this thread.
    pub fn swiglu_rows<S>(gate_up: &[f32], f: usize, out: &mut [f32]) {
        for (gate_up, out) in gate_up.chunks_exact(2 * f).zip(out.chunks_exact_mut(f)) {
            let (gate, up) = gate_up.split_at(f);
            for ((out, gate), up) in out.iter_mut().zip(gate).zip(up) {
                *out = silu::<S>(*gate) * up;
            }
        }
    }
}

simd! {
    /// [`swiglu_backward`] on this thread.
    pub fn swiglu_backward_rows<S>(gate_up: &[f32], d_out: &[f32], f: usize, d_gate_up: &mut [f32]) {
        let rows = gate_up.chunks_exact(2 * f).zip(d_out.chunks_exact(f)).zip(d_gate_up.chunks_exact_mut(2 * f));
        for ((gate_up, d_out), d_gate_up) in rows {
            let (gate, up) = gate_up.split_at(f);
            let (d_gate, d_up) = d_gate_up.split_at_mut(f);
            let inputs = gate.iter().zip(up).zip(d_out);
            for ((d_gate, d_up), ((gate, up), d_out)) in d_gate.iter_mut().zip(d_up).zip(inputs) {
                let (silu, derivative) = silu_and_derivative::<S>(*gate);
                *d_gate = d_out * up * derivative;
                *d_up = d_out * silu;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::{assert_close, assert_gradient, inner, wide},
        reference,
        simd::{Level, with_level},
        test_data::{for_thread_counts, uniform},
    };

    const SHAPES: [(usize, usize); 7] = [(0, 16), (1, 1), (5, 3), (64, 16), (65, 17), (129, 33), (2, 128)];

    /// Numbers over (−8, 8), where the sigmoid bends and saturates.
    fn spread(n: usize, seed: u64) -> Vec<f32> {
        uniform(n, seed).iter().map(|x| 8.0 * x).collect()
    }

    #[test]
    fn agrees_with_the_twin() {
        for (t, f) in SHAPES {
            let (gate_up, d_out) = (spread(t * 2 * f, 1), uniform(t * f, 2));
            let slow = reference::swiglu(&wide(&gate_up), f);
            let slow_gradient = reference::swiglu_backward(&wide(&gate_up), &wide(&d_out), f);
            for level in Level::available() {
                let (mut out, mut d_gate_up) = (vec![f32::NAN; t * f], vec![f32::NAN; t * 2 * f]);
                with_level(level, 2, || {
                    swiglu(&gate_up, f, &mut out);
                    swiglu_backward(&gate_up, &d_out, f, &mut d_gate_up);
                });
                assert_close(&out, &slow, 1e-6, ("out", t, f, level));
                assert_close(&d_gate_up, &slow_gradient, 1e-6, ("d_gate_up", t, f, level));
            }
        }
    }

    #[test]
    fn twin_is_the_slope_of_its_forward() {
        let (gate_up, d_out) = (wide(&spread(3 * 10, 1)), wide(&uniform(3 * 5, 2)));
        let gradient = reference::swiglu_backward(&gate_up, &d_out, 5);
        assert_gradient(|x| inner(&reference::swiglu(x, 5), &d_out), &gate_up, &gradient, "d_gate_up");
    }

    #[test]
    fn every_thread_count_gives_the_same_bits() {
        let (t, f) = (300, 20);
        let (gate_up, d_out) = (spread(t * 2 * f, 1), uniform(t * f, 2));
        let results = for_thread_counts(|| {
            let (mut out, mut d_gate_up) = (vec![0.0; t * f], vec![0.0; t * 2 * f]);
            swiglu(&gate_up, f, &mut out);
            swiglu_backward(&gate_up, &d_out, f, &mut d_gate_up);
            [out, d_gate_up]
        });
        assert!(results.iter().all(|result| *result == results[0]));
    }

    #[test]
    fn a_saturated_gate_is_finite() {
        let (mut out, mut d_gate_up) = ([f32::NAN; 2], [f32::NAN; 4]);
        let gate_up = [-1e4, 1e4, 3.0, 3.0];
        swiglu(&gate_up, 2, &mut out);
        swiglu_backward(&gate_up, &[1.0, 1.0], 2, &mut d_gate_up);
        assert_eq!((out, d_gate_up), ([0.0, 3e4], [0.0, 3.0, 0.0, 1e4]));
    }
}
