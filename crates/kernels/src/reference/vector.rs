//! A factor and a sum, an element at a time.

/// Twin of [`scale`](crate::vector::scale): `m·x`.
pub fn scale(x: &[f64], m: f64) -> Vec<f64> {
    x.iter().map(|x| m * x).collect()
}

/// Twin of [`add`](crate::vector::add): `sum + x`.
pub fn add(x: &[f64], sum: &[f64]) -> Vec<f64> {
    x.iter().zip(sum).map(|(x, sum)| sum + x).collect()
}

/// Twin of [`lerp`](crate::vector::lerp).
pub fn lerp(from: &[f64], to: &[f64], share: f64) -> Vec<f64> {
    from.iter().zip(to).map(|(from, to)| from + share * (to - from)).collect()
}
