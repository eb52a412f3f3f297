//! The residual addition, an element at a time.

/// Twin of [`add_scaled`](crate::residual::add_scaled): `x + m·branch`.
pub fn add_scaled(x: &[f64], branch: &[f64], m: f64) -> Vec<f64> {
    x.iter().zip(branch).map(|(x, branch)| x + m * branch).collect()
}
