//! The exact GELU.

/// Twin of [`bias_gelu`](crate::gelu::bias_gelu) without a bias: ½·x·(1 + erf(x/√2)), arXiv 1606.08415 eq. 1.
pub fn gelu(x: &[f64]) -> Vec<f64> {
    x.iter().map(|x| 0.5 * x * (1.0 + erf(x / std::f64::consts::SQRT_2))).collect()
}

/// 2/√π · e^(−x²) · Σ 2ⁿ·x²ⁿ⁺¹ / (2n + 1)!!, whose terms have one sign.
fn erf(x: f64) -> f64 {
    if x.abs() > 6.0 {
        return x.signum();
    }
    let (mut term, mut sum) = (x, 0.0);
    for n in 0..300 {
        sum += term;
        term *= 2.0 * x * x / (2 * n + 3) as f64;
    }
    2.0 / std::f64::consts::PI.sqrt() * (-x * x).exp() * sum
}
