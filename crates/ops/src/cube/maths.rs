//! Numbers of one unit, and functions of them.

use cubecl::prelude::*;

/// f32 numbers of one unit, as many as the kernel is compiled for.
pub(crate) type Registers = cubecl::prelude::Array<f32>;

#[cube]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// The derivative of `silu(x) = x · sigmoid(x)`.
#[cube]
pub(crate) fn silu_slope(x: f32) -> f32 {
    let s = sigmoid(x);
    s * (1.0 + x * (1.0 - s))
}

/// `ln(1 + eˣ)`
#[cube]
pub(crate) fn softplus(x: f32) -> f32 {
    max(x, 0.0) + ln_1p((-x.abs()).exp())
}

/// `ln(1 + x)` of x ≥ 0, to the last digits where x is small too: what 1 + x rounds away is made up for (Kahan).
#[cube]
fn ln_1p(x: f32) -> f32 {
    let sum = 1.0 + x;
    let rounded = sum - 1.0;
    let mut log = x;
    if rounded > 0.0 {
        log = sum.ln() * (x / rounded);
    }
    log
}
