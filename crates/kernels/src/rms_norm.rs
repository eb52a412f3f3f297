//! RMSNorm over rows.
//!
//! ```text
//! x → x / √(mean(x²) + ε) · w → y
//! ```
//!
//! Backward needs x and nothing else: the mean square of a row costs less than reading it from memory.

use rayon::prelude::*;

use crate::{
    scratch,
    simd::{Isa, mul_add, simd},
    stored::Stored,
    sums::{LANES, ROWS, dot, lane_sum, over_tasks},
};

/// `y = x / √(mean(x²) + ε) · w`, the mean over a row (arXiv 1910.07467 eq. 4).
///
/// # Shapes
/// `x`, `y`: [t, d], `w`: `[d]`
///
/// # Panics
/// If `y` or the rows of `x` do not fit `w`.
pub fn rms_norm(x: &[f32], w: &[f32], eps: f32, y: &mut [f32]) {
    assert_rows(w, &[x.len(), y.len()]);
    let block = ROWS * w.len().max(1);
    x.par_chunks(block).zip(y.par_chunks_mut(block)).for_each(|(x, y)| rms_norm_rows(x, w, eps, y));
}

/// Gradients of [`rms_norm`] at `x` for the gradient `dy` of its output.
///
/// With `r = 1/√(mean(x²) + ε)` and `g = dy·w`: `dx = r·g − x·r³·mean(g·x)`, `dw = Σ_t dy·x·r`.
///
/// # Shapes
/// `x`, `dy`, `dx`: [t, d], `w`, `dw`: `[d]`
///
/// # Panics
/// If the lengths do not fit.
pub fn rms_norm_backward(x: Stored<'_>, w: &[f32], dy: &[f32], eps: f32, dx: &mut [f32], dw: &mut [f32]) {
    assert_rows(w, &[x.len(), dy.len(), dx.len()]);
    assert_eq!(dw.len(), w.len(), "dw");
    let d = w.len().max(1);
    let block = ROWS * d;
    over_tasks(x.len().div_ceil(block), dw, |partials| {
        let inputs = x.par_chunks(block).zip(dy.par_chunks(block));
        let outputs = dx.par_chunks_mut(block).zip(partials.par_chunks_mut(d));
        inputs.zip(outputs).for_each(|((x, dy), (dx, dw))| {
            scratch::with(x.buffer_len(block), |buffer| rms_norm_backward_rows(x.read(buffer), w, dy, eps, dx, dw));
        });
    });
}

#[track_caller]
fn assert_rows(w: &[f32], lens: &[usize]) {
    let rows = lens[0] / w.len().max(1);
    for len in lens {
        assert_eq!(*len, rows * w.len(), "{rows} rows of {} floats", w.len());
    }
}

simd! {
    /// [`rms_norm`] on this thread.
    fn rms_norm_rows<S>(x: &[f32], w: &[f32], eps: f32, y: &mut [f32]) {
        let d = w.len().max(1);
        for (x, y) in x.chunks_exact(d).zip(y.chunks_exact_mut(d)) {
            let r = inverse_rms(dot::<S>(x, x), d, eps);
            scale_row(x, r, w, y);
        }
    }
}

simd! {
    /// [`rms_norm_backward`] on this thread, where `dw` is added to.
    fn rms_norm_backward_rows<S>(x: &[f32], w: &[f32], dy: &[f32], eps: f32, dx: &mut [f32], dw: &mut [f32]) {
        let d = w.len().max(1);
        let rows = x.chunks_exact(d).zip(dy.chunks_exact(d)).zip(dx.chunks_exact_mut(d));
        for ((x, dy), dx) in rows {
            let [r, along_x] = norm_and_slope::<S>(x, w, dy, eps);
            let inputs = x.iter().zip(w).zip(dy);
            for ((dx, dw), ((x, w), dy)) in dx.iter_mut().zip(dw.iter_mut()).zip(inputs) {
                *dx = mul_add::<S>(along_x, *x, r * w * dy);
                *dw = mul_add::<S>(r * x, *dy, *dw);
            }
        }
    }
}

/// `1/√(mean(x²) + ε)` of the `d` numbers whose squares sum to `sum`.
#[inline(always)]
pub(crate) fn inverse_rms(sum: f32, d: usize, eps: f32) -> f32 {
    1.0 / (sum / d as f32 + eps).sqrt()
}

/// `y = x·r·w`.
#[inline(always)]
fn scale_row(x: &[f32], r: f32, w: &[f32], y: &mut [f32]) {
    for ((y, x), w) in y.iter_mut().zip(x).zip(w) {
        *y = x * r * w;
    }
}

/// Of `y = x·r·w` over slices of one length, r and what x has of the gradient of x: `−r³·mean(dy·w·x)`.
#[inline(always)]
pub(crate) fn norm_and_slope<S: Isa>(x: &[f32], w: &[f32], dy: &[f32], eps: f32) -> [f32; 2] {
    let d = x.len();
    let (mut squares, mut slopes) = ([0.0; LANES], [0.0; LANES]);
    let (x, x_rest) = x.as_chunks::<LANES>();
    let (w, w_rest) = w.as_chunks::<LANES>();
    let (dy, dy_rest) = dy.as_chunks::<LANES>();
    for ((x, w), dy) in x.iter().zip(w).zip(dy) {
        for i in 0..LANES {
            squares[i] = mul_add::<S>(x[i], x[i], squares[i]);
            slopes[i] = mul_add::<S>(w[i] * dy[i], x[i], slopes[i]);
        }
    }
    for (i, ((x, w), dy)) in x_rest.iter().zip(w_rest).zip(dy_rest).enumerate() {
        squares[i] = mul_add::<S>(*x, *x, squares[i]);
        slopes[i] = mul_add::<S>(w * dy, *x, slopes[i]);
    }
    let r = inverse_rms(lane_sum(squares), d, eps);
    [r, -r * r * r * lane_sum(slopes) / d as f32]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::{assert_close, assert_gradient, inner, wide},
        reference,
        simd::{Level, with_level},
        test_data::{for_thread_counts, rounded, uniform},
    };

    const EPS: f32 = 1e-5;

    /// (rows, width) around blocks of rows and registers.
    const SHAPES: [(usize, usize); 9] =
        [(0, 16), (1, 1), (3, 5), (2, 128), (63, 17), (64, 16), (65, 33), (200, 48), (3, 584)];

    #[test]
    fn outputs_agree_with_the_twin() {
        for (t, d) in SHAPES {
            let (x, w) = (uniform(t * d, 1), uniform(d, 3));
            for level in Level::available() {
                let mut y = vec![f32::NAN; t * d];
                with_level(level, 2, || rms_norm(&x, &w, EPS, &mut y));
                let slow = reference::rms_norm(&wide(&x), &wide(&w), f64::from(EPS));
                assert_close(&y, &slow, 1e-6, ("y", t, d, level));
            }
        }
    }

    #[test]
    fn gradients_agree_with_the_twin() {
        for (t, d) in SHAPES {
            let (x, dy, w) = (uniform(t * d, 1), uniform(t * d, 2), uniform(d, 3));
            let (slow_dx, slow_dw) = reference::rms_norm_backward(&wide(&x), &wide(&w), &wide(&dy), f64::from(EPS));
            for level in Level::available() {
                let (mut dx, mut dw) = (vec![f32::NAN; t * d], vec![f32::NAN; d]);
                with_level(level, 2, || rms_norm_backward(x[..].into(), &w, &dy, EPS, &mut dx, &mut dw));
                assert_close(&dx, &slow_dx, 3e-6, ("dx", t, d, level));
                assert_close(&dw, &slow_dw, 1e-5, ("dw", t, d, level));
            }
        }
    }

    #[test]
    fn twin_is_the_slope_of_its_forward() {
        let (x, w, dy) = (wide(&uniform(3 * 5, 1)), wide(&uniform(5, 2)), wide(&uniform(3 * 5, 3)));
        let (dx, dw) = reference::rms_norm_backward(x[..].into(), &w, &dy, 1e-3);
        assert_gradient(|x| inner(&reference::rms_norm(x, &w, 1e-3), &dy), &x, &dx, "dx");
        assert_gradient(|w| inner(&reference::rms_norm(&x, w, 1e-3), &dy), &w, &dw, "dw");
    }

    #[test]
    fn every_thread_count_gives_the_same_bits() {
        let (t, d) = (300, 40);
        let (x, dy, w) = (uniform(t * d, 1), uniform(t * d, 2), uniform(d, 3));
        let results = for_thread_counts(|| {
            let (mut y, mut dx, mut dw) = (vec![0.0; t * d], vec![0.0; t * d], vec![0.0; d]);
            rms_norm(&x, &w, EPS, &mut y);
            rms_norm_backward(x[..].into(), &w, &dy, EPS, &mut dx, &mut dw);
            [y, dx, dw]
        });
        assert!(results.iter().all(|result| *result == results[0]));
    }

    #[test]
    fn what_is_stored_as_bfloat16_is_read_as_the_numbers_it_stands_for() {
        for (t, d) in SHAPES {
            let (dy, w) = (uniform(t * d, 2), uniform(d, 3));
            let (stored, numbers) = rounded(&uniform(t * d, 1));
            let gradients = |x: Stored<'_>| {
                let (mut dx, mut dw) = (vec![f32::NAN; t * d], vec![f32::NAN; d]);
                rms_norm_backward(x, &w, &dy, EPS, &mut dx, &mut dw);
                [dx, dw]
            };
            assert_eq!(gradients(Stored::Bf16(&stored)), gradients(numbers[..].into()), "{t} × {d}");
        }
    }

    #[test]
    fn a_row_of_zeros_has_finite_gradients() {
        let (mut dx, mut dw) = ([f32::NAN; 20], [f32::NAN; 20]);
        rms_norm_backward(Stored::F32(&[0.0; 20]), &[1.0; 20], &[1.0; 20], EPS, &mut dx, &mut dw);
        assert!(dx.iter().all(|x| (x * EPS.sqrt() - 1.0).abs() < 1e-6) && dw == [0.0; 20], "{dx:?}");
    }
}
