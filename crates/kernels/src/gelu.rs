//! The exact GELU of rows to which a bias is added first.
//!
//! ```text
//! x, bias → x + bias → ½·x·(1 + erf(x/√2)) → x
//! ```

use rayon::prelude::*;

use crate::{
    TASK_LEN,
    simd::{Isa, mul_add, simd},
};

/// `x ← gelu(x + bias)`, that of arXiv 1606.08415 eq. 1, not its approximation by a hyperbolic tangent.
///
/// # Shapes
/// `x`: [t, f], `bias`: `[f]`
///
/// # Panics
/// If `x` is not rows of the bias.
pub fn bias_gelu(x: &mut [f32], bias: &[f32]) {
    let f = bias.len().max(1);
    assert!(x.len().is_multiple_of(f), "rows of {} floats", bias.len());
    let block = (TASK_LEN / f).max(1) * f;
    x.par_chunks_mut(block).for_each(|x| bias_gelu_rows(x, bias));
}

simd! {
    /// [`bias_gelu`] on this thread.
    fn bias_gelu_rows<S>(x: &mut [f32], bias: &[f32]) {
        for x in x.chunks_exact_mut(bias.len().max(1)) {
            for (x, bias) in x.iter_mut().zip(bias) {
                let sum = *x + bias;
                *x = 0.5 * sum * (1.0 + erf::<S>(sum * std::f32::consts::FRAC_1_SQRT_2));
            }
        }
    }
}

/// erf x to 5e-7: a quotient of polynomials in x², and ±1 where f32 has no number nearer.
#[inline(always)]
fn erf<S: Isa>(x: f32) -> f32 {
    const ABOVE: [f32; 7] =
        [-2.726_142e-10, 2.770_681_4e-8, -2.101_024e-6, -5.692_506_4e-5, -7.349_906e-4, -2.954_6e-3, -1.609_603_3e-2];
    const BELOW: [f32; 5] = [-1.456_607_2e-5, -2.133_740_6e-4, -1.682_827e-3, -7.373_329_4e-3, -1.426_473_9e-2];
    const ONE_FROM: f32 = 3.92;
    let inside = x.clamp(-ONE_FROM, ONE_FROM);
    let square = inside * inside;
    let polynomial = |terms: &[f32]| terms.iter().fold(0.0, |sum, term| mul_add::<S>(sum, square, *term));
    let y = inside * polynomial(&ABOVE) / polynomial(&BELOW);
    if x.abs() > ONE_FROM { 1.0_f32.copysign(x) } else { y }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::wide,
        reference,
        simd::{Level, with_level},
        test_data::{for_thread_counts, uniform},
    };

    #[test]
    fn numbers_agree_with_the_twin() {
        let x: Vec<f32> = (-120_000..=120_000).map(|i| i as f32 * 1e-4).collect();
        let slow = reference::gelu(&wide(&x));
        for level in Level::available() {
            let mut y = x.clone();
            with_level(level, 2, || bias_gelu(&mut y, &[0.0]));
            for ((x, y), slow) in x.iter().zip(&y).zip(&slow) {
                // erf to 5e-7, and x/2 multiplies it
                let allowed = 3e-7 * f64::from(x.abs()) + 1e-12;
                assert!((f64::from(*y) - slow).abs() <= allowed, "gelu({x}) is {y}, not {slow}, at {level:?}");
            }
        }
    }

    #[test]
    fn a_bias_is_added_to_each_row_and_the_ends_are_clean() {
        let (x, bias) = (uniform(3 * 5, 1), uniform(5, 2));
        let mut y = x.clone();
        bias_gelu(&mut y, &bias);
        for (i, y) in y.iter().enumerate() {
            let mut alone = [x[i] + bias[i % 5]];
            bias_gelu(&mut alone, &[0.0]);
            assert_eq!(*y, alone[0]);
        }
        let mut ends = [f32::NEG_INFINITY, -50.0, 0.0, 50.0, f32::INFINITY, f32::NAN];
        bias_gelu(&mut ends, &[0.0]);
        assert_eq!((ends[1].abs(), ends[2], ends[3], ends[4]), (0.0, 0.0, 50.0, f32::INFINITY));
        assert!(ends[5].is_nan());
    }

    #[test]
    fn every_thread_count_gives_the_same_bits() {
        let (x, bias) = (uniform(999 * 48, 1), uniform(48, 2));
        let results = for_thread_counts(|| {
            let mut y = x.clone();
            bias_gelu(&mut y, &bias);
            y
        });
        assert!(results.iter().all(|result| *result == results[0]));
    }
}
