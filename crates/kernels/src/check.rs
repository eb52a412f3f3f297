//! Comparison of kernels with their twins, and of twins with finite differences.

use std::fmt::Debug;

use itera_testkit::max_difference;

/// As f64, which is exact.
pub(crate) fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|x| f64::from(*x)).collect()
}

/// Fail, naming `what`, unless `|fast − slow| ≤ tolerance·max(1, |slow|)` everywhere.
#[track_caller]
pub(crate) fn assert_close(fast: &[f32], slow: &[f64], tolerance: f64, what: impl Debug) {
    let difference = max_difference(fast, slow);
    assert!(difference <= tolerance, "{what:?}: off by {difference:.1e}, allowed {tolerance:.1e}");
}

/// Fail, naming `what`, unless `|fast − slow| ≤ tolerance·magnitude` everywhere: a sum is as exact as its terms, whose
/// absolute values add up to `magnitude`.
#[track_caller]
pub(crate) fn assert_close_sums(fast: &[f32], slow: &[f64], magnitudes: &[f64], tolerance: f64, what: impl Debug) {
    assert_eq!([fast.len(), magnitudes.len()], [slow.len(); 2], "{what:?}");
    for (i, ((fast, slow), magnitude)) in fast.iter().zip(slow).zip(magnitudes).enumerate() {
        let difference = (f64::from(*fast) - slow).abs();
        assert!(difference <= tolerance * magnitude, "{what:?}: {fast} against {slow} at {i}, of {magnitude}");
    }
}

/// Fail, naming `what`, unless `rounded`, computed from operands in bfloat16, is off by no more than a few roundings of
/// 2⁻⁹ of the largest of `slow`, and by some.
#[track_caller]
pub(crate) fn assert_close_in_bf16(rounded: &[f32], slow: &[f64], what: impl Debug) {
    assert_eq!(rounded.len(), slow.len(), "{what:?}");
    let largest = slow.iter().fold(0.0f64, |largest, x| largest.max(x.abs()));
    let errors = || rounded.iter().zip(slow).map(|(rounded, slow)| (f64::from(*rounded) - slow).abs() / largest);
    let worst = errors().fold(0.0, f64::max);
    assert!(errors().all(|error| error <= 0.02), "{what:?}: off by {worst:.1e} of {largest}");
    assert!(slow.is_empty() || worst > 1e-5, "{what:?}: {worst:.1e} is less than rounding leaves");
}

/// Fail, naming `what`, unless `gradient` is that of `loss` at `x`, by central differences of step 10⁻⁵.
///
/// Their error is of the order of 10⁻¹⁰ from the third derivative and 10⁻¹¹ from rounding, so 10⁻⁷ tells any slip.
#[track_caller]
pub(crate) fn assert_gradient(loss: impl Fn(&[f64]) -> f64, x: &[f64], gradient: &[f64], what: impl Debug) {
    const STEP: f64 = 1e-5;
    assert_eq!(gradient.len(), x.len(), "{what:?}");
    let mut moved = x.to_vec();
    for i in 0..x.len() {
        let mut at = |value: f64| {
            moved[i] = value;
            loss(&moved)
        };
        let slope = (at(x[i] + STEP) - at(x[i] - STEP)) / (2.0 * STEP);
        moved[i] = x[i];
        let difference = (slope - gradient[i]).abs() / slope.abs().max(1.0);
        assert!(difference <= 1e-7, "{what:?}: {} against a slope of {slope} at {i}", gradient[i]);
    }
}

/// Σ aᵢ·bᵢ: a loss whose gradient with respect to `a` is `b`.
pub(crate) fn inner(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
