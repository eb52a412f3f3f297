//! The SiLU of the twins.

/// x·σ(x).
pub(crate) fn silu(x: f64) -> f64 {
    x / (1.0 + (-x).exp())
}

/// σ(x) + x·σ(x)·(1 − σ(x)).
pub(crate) fn silu_derivative(x: f64) -> f64 {
    let sigma = 1.0 / (1.0 + (-x).exp());
    sigma + x * sigma * (1.0 - sigma)
}
