//! A factor, an element at a time.

/// Twin of [`scale`](crate::scale::scale): `m·x`.
pub fn scale(x: &[f64], m: f64) -> Vec<f64> {
    x.iter().map(|x| m * x).collect()
}
