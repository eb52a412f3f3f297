//! Sum of squares with a fixed shape: the global gradient norm, and the guard against non-finite numbers.
//!
//! ```text
//! x → parts of TASK_LEN → 16 f64 lanes each → tree over lanes → one f64 a part → tree over parts → f64
//! ```

use rayon::prelude::*;

use crate::{TASK_LEN, simd::simd, sums::LANES};

/// Σ xᵢ², in f64.
///
/// The square of an `f32` is exact in `f64` and cannot overflow it, so the result is finite if and only if every
/// element is: a NaN or an infinity anywhere surfaces here, and `sum_of_squares(x).is_finite()` is the test.
pub fn sum_of_squares(x: &[f32]) -> f64 {
    sum_of_all_squares(&[x])
}

/// The sum over all `tensors` of their [`sum_of_squares`], by a [`tree_sum`], in one parallel pass.
pub fn sum_of_all_squares(tensors: &[&[f32]]) -> f64 {
    let parts: Vec<&[f32]> = tensors.iter().flat_map(|x| x.chunks(TASK_LEN)).collect();
    let part_sums: Vec<f64> = parts.into_par_iter().map(part_sum_of_squares).collect();
    let mut rest = &part_sums[..];
    let sums = tensors.iter().map(|x| {
        let (sums, after) = rest.split_at(x.len().div_ceil(TASK_LEN));
        rest = after;
        tree_sum(sums)
    });
    tree_sum(&sums.collect::<Vec<f64>>())
}

simd! {
    fn part_sum_of_squares<S>(x: &[f32]) -> f64 {
        let mut lanes = [0.0; LANES];
        let (rows, rest) = x.as_chunks::<LANES>();
        for row in rows {
            for i in 0..LANES {
                lanes[i] += f64::from(row[i]) * f64::from(row[i]);
            }
        }
        for (lane, &x) in lanes.iter_mut().zip(rest) {
            *lane += f64::from(x) * f64::from(x);
        }
        tree_sum(&lanes)
    }
}

/// Sum of `x` over a binary tree whose shape depends on `x.len()` alone.
///
/// Sums of parts are added with this one, so that the total has a fixed shape too.
pub fn tree_sum(x: &[f64]) -> f64 {
    match x {
        [] => 0.0,
        [x] => *x,
        _ => {
            let (left, right) = x.split_at(x.len() / 2);
            tree_sum(left) + tree_sum(right)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        reference,
        simd::{Level, with_level},
        test_data::{AWKWARD_LENGTHS, for_thread_counts, uniform},
    };

    #[test]
    fn agrees_with_its_twin_at_awkward_lengths() {
        for n in AWKWARD_LENGTHS {
            let x = uniform(n, 3);
            let (fast, slow) = (sum_of_squares(&x), reference::sum_of_squares(&x));
            assert!((fast - slow).abs() <= 1e-13 * slow, "length {n}: {fast} against {slow}");
        }
    }

    #[test]
    fn every_thread_count_gives_the_same_bits() {
        let x = uniform(20 * TASK_LEN + 5, 4);
        let sums = for_thread_counts(|| sum_of_squares(&x).to_bits());
        assert!(sums.iter().all(|sum| *sum == sums[0]), "{sums:?}");
    }

    #[test]
    fn every_level_gives_the_same_bits() {
        let x = uniform(TASK_LEN + 5, 4);
        let sums = Level::available().into_iter().map(|level| with_level(level, 2, || sum_of_squares(&x).to_bits()));
        let sums: Vec<u64> = sums.collect();
        assert!(sums.iter().all(|sum| *sum == sums[0]), "{sums:?}");
    }

    #[test]
    fn several_tensors_are_the_tree_over_each() {
        let tensors = [3, TASK_LEN + 1, 0, 1, 2 * TASK_LEN].map(|n| uniform(n, n as u64));
        let sums = tensors.each_ref().map(|x| sum_of_squares(x));
        let together = sum_of_all_squares(&tensors.each_ref().map(|x| &x[..]));
        assert_eq!(together.to_bits(), tree_sum(&sums).to_bits());
        assert_eq!(sum_of_all_squares(&[]), 0.0);
    }

    #[test]
    fn is_finite_exactly_when_every_element_is() {
        for n in AWKWARD_LENGTHS {
            let mut x = vec![f32::MAX; n];
            assert!(sum_of_squares(&x).is_finite(), "length {n}");
            for at in [0, n / 2, n.saturating_sub(1)].into_iter().filter(|at| *at < n) {
                for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    let good = std::mem::replace(&mut x[at], bad);
                    assert!(!sum_of_squares(&x).is_finite(), "{bad} at {at} of {n}");
                    x[at] = good;
                }
            }
        }
    }

    #[test]
    fn small_terms_survive_beside_large_ones() {
        let mut x = vec![1e-4; 100_000];
        x[0] = 1.0;
        let exact = 1.0 + 99_999.0 * f64::from(1e-4f32).powi(2);
        assert!((sum_of_squares(&x) - exact).abs() < 1e-12);
    }
}
