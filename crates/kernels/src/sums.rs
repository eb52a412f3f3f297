//! Sums of a fixed shape: over a row by lanes, over tasks by partials.
//!
//! ```text
//! row → 16 lanes → tree → one number;   task i → partial row i → rows added in order of i
//! ```

use rayon::prelude::*;

use crate::{
    scratch,
    simd::{Isa, mul_add},
};

/// Rows (tokens) that one task handles: a few tens of KiB, and its working set stays in L1 or L2.
pub(crate) const ROWS: usize = 64;

/// Independent partial sums of a row: one AVX-512 register.
pub(crate) const LANES: usize = 16;

/// Columns that one task sums over the partials.
const WIDTH: usize = 256;

/// The first `N` of `x`.
#[inline(always)]
pub(crate) fn load<const N: usize>(x: &[f32]) -> [f32; N] {
    *x.first_chunk().expect("as many as asked for")
}

/// Sum of the lanes over a binary tree.
#[inline(always)]
pub(crate) fn lane_sum(lanes: [f32; LANES]) -> f32 {
    let eight: [f32; 8] = std::array::from_fn(|i| lanes[i] + lanes[i + 8]);
    let four: [f32; 4] = std::array::from_fn(|i| eight[i] + eight[i + 4]);
    (four[0] + four[2]) + (four[1] + four[3])
}

/// Σ aᵢ·bᵢ over slices of one length.
#[inline(always)]
pub(crate) fn dot<S: Isa>(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for i in 0..LANES {
            lanes[i] = mul_add::<S>(a[i], b[i], lanes[i]);
        }
    }
    for ((lane, a), b) in lanes.iter_mut().zip(a_rest).zip(b_rest) {
        *lane = mul_add::<S>(*a, *b, *lane);
    }
    lane_sum(lanes)
}

/// Call `fill` with zeroed partials, `tasks` rows of `out.len()` floats, and store their sum in `out`.
pub(crate) fn over_tasks(tasks: usize, out: &mut [f32], fill: impl FnOnce(&mut [f32])) {
    let width = out.len();
    if width == 0 {
        return fill(&mut []);
    }
    scratch::with(tasks * width, |partials| {
        partials.fill(0.0);
        fill(partials);
        out.par_chunks_mut(WIDTH).enumerate().for_each(|(block, out)| {
            out.fill(0.0);
            for partial in partials.chunks_exact(width) {
                for (out, x) in out.iter_mut().zip(&partial[block * WIDTH..]) {
                    *out += x;
                }
            }
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        simd::{Level, simd, with_level},
        test_data::uniform,
    };

    simd! { fn dot_at_level<S>(a: &[f32], b: &[f32]) -> f32 { dot::<S>(a, b) } }

    #[test]
    fn a_dot_product_counts_every_element_once() {
        for n in [0, 1, 15, 16, 17, 33, 584] {
            let (a, b) = (uniform(n, 1), uniform(n, 2));
            let exact: f64 = a.iter().zip(&b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            for level in Level::available() {
                let found = with_level(level, 1, || dot_at_level(&a, &b));
                assert!((f64::from(found) - exact).abs() < 1e-6 * (n + 1) as f64, "{n} at {level:?}: {found}, {exact}");
            }
        }
    }

    #[test]
    fn partials_are_zeroed_and_added() {
        for (tasks, width) in [(0, 3), (1, 1), (3, 0), (5, WIDTH + 1)] {
            scratch::with(tasks * width, |stale| stale.fill(f32::NAN));
            let mut out = vec![f32::NAN; width];
            over_tasks(tasks, &mut out, |partials| {
                assert_eq!(partials.len(), tasks * width);
                for (i, x) in partials.iter_mut().enumerate() {
                    *x += (i / width) as f32;
                }
            });
            assert!(out.iter().all(|x| *x == (0..tasks).sum::<usize>() as f32), "{tasks} × {width}");
        }
    }
}
