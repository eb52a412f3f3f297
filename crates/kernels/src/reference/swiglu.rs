//! SwiGLU, an element at a time, and the SiLU that other twins use too.

/// Twin of [`swiglu`](crate::swiglu::swiglu): `silu(gate)·up`, arXiv 2002.05202 eq. 6 without its products.
///
/// # Shapes
/// `gate_up`: [t, 2f], gate first → [t, f]
pub fn swiglu(gate_up: &[f64], f: usize) -> Vec<f64> {
    let mut out = Vec::new();
    for row in gate_up.chunks(2 * f) {
        for c in 0..f {
            out.push(silu(row[c]) * row[f + c]);
        }
    }
    out
}

/// Twin of [`swiglu_backward`](crate::swiglu::swiglu_backward).
///
/// # Shapes
/// `gate_up`: [t, 2f], `d_out`: [t, f] → [t, 2f]
pub fn swiglu_backward(gate_up: &[f64], d_out: &[f64], f: usize) -> Vec<f64> {
    let mut d_gate_up = vec![0.0; gate_up.len()];
    for t in 0..d_out.len() / f {
        for c in 0..f {
            let (gate, up, d) = (gate_up[t * 2 * f + c], gate_up[t * 2 * f + f + c], d_out[t * f + c]);
            d_gate_up[t * 2 * f + c] = d * up * silu_derivative(gate);
            d_gate_up[t * 2 * f + f + c] = d * silu(gate);
        }
    }
    d_gate_up
}

/// x·σ(x).
pub fn silu(x: f64) -> f64 {
    x / (1.0 + (-x).exp())
}

/// σ(x) + x·σ(x)·(1 − σ(x)).
pub fn silu_derivative(x: f64) -> f64 {
    let sigma = 1.0 / (1.0 + (-x).exp());
    sigma + x * sigma * (1.0 - sigma)
}
