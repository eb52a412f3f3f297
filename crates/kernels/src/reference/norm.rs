//! Sum of squares, an element at a time.

/// Twin of [`sum_of_squares`](crate::norm::sum_of_squares): one addition after the other.
pub fn sum_of_squares(x: &[f32]) -> f64 {
    x.iter().map(|&x| f64::from(x) * f64::from(x)).sum()
}
