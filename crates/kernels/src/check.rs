//! Comparison of kernels with their twins, and of twins with finite differences.

use std::fmt::Debug;

/// As f64, which is exact.
pub(crate) fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|x| f64::from(*x)).collect()
}

/// Fail, naming `what`, unless `|fast − slow| ≤ tolerance·max(1, |slow|)` everywhere.
#[track_caller]
pub(crate) fn assert_close(fast: &[f32], slow: &[f64], tolerance: f64, what: impl Debug) {
    assert_eq!(fast.len(), slow.len(), "{what:?}");
    for (i, (fast, slow)) in fast.iter().zip(slow).enumerate() {
        let difference = (f64::from(*fast) - slow).abs() / slow.abs().max(1.0);
        assert!(difference <= tolerance, "{what:?}: {fast} against {slow} at {i}, off by {difference:.1e}");
    }
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
