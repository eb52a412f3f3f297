//! SwiGLU MLP, a token at a time.

use super::{silu, silu_derivative};

/// Weights of one MLP: `w_in` [2·f, d], the gate's rows first, and `w_out` [d, f].
#[derive(Clone, Copy, Debug)]
pub struct Mlp<'a> {
    /// [2·f, d]
    pub w_in: &'a [f64],
    /// [d, f]
    pub w_out: &'a [f64],
    /// Width of the input and of the output.
    pub d: usize,
    /// Width of the hidden row.
    pub f: usize,
}

/// Gradients of one MLP.
#[derive(Clone, Debug)]
pub struct MlpGradients {
    /// [t, d]
    pub d_u: Vec<f64>,
    /// [2·f, d]
    pub d_w_in: Vec<f64>,
    /// [d, f]
    pub d_w_out: Vec<f64>,
}

/// Twin of [`mlp::forward`](crate::mlp::forward) without the residual: `w_out·(silu(gate)·up)`, `gate | up = w_in·u`,
/// arXiv 2002.05202 eq. 6.
///
/// # Shapes
/// `u`: [t, d] → [t, d]
pub fn mlp(u: &[f64], mlp: &Mlp<'_>) -> Vec<f64> {
    let Mlp { w_out, d, f, .. } = *mlp;
    let mut y = vec![0.0; u.len()];
    for (u, y) in u.chunks(d).zip(y.chunks_mut(d)) {
        for i in 0..d {
            for j in 0..f {
                let (gate, up) = gate_and_up(mlp, u, j);
                y[i] += w_out[i * f + j] * silu(gate) * up;
            }
        }
    }
    y
}

/// Twin of [`mlp::backward`](crate::mlp::backward).
///
/// # Shapes
/// `u`, `d_y`: [t, d]
pub fn mlp_backward(u: &[f64], mlp: &Mlp<'_>, d_y: &[f64]) -> MlpGradients {
    let Mlp { w_in, w_out, d, f } = *mlp;
    let mut gradients =
        MlpGradients { d_u: vec![0.0; u.len()], d_w_in: vec![0.0; w_in.len()], d_w_out: vec![0.0; w_out.len()] };
    for ((u, d_y), d_u) in u.chunks(d).zip(d_y.chunks(d)).zip(gradients.d_u.chunks_mut(d)) {
        for j in 0..f {
            let (gate, up) = gate_and_up(mlp, u, j);
            let d_hidden: f64 = (0..d).map(|i| d_y[i] * w_out[i * f + j]).sum();
            let (d_gate, d_up) = (d_hidden * up * silu_derivative(gate), d_hidden * silu(gate));
            for i in 0..d {
                gradients.d_w_out[i * f + j] += d_y[i] * silu(gate) * up;
                gradients.d_w_in[j * d + i] += d_gate * u[i];
                gradients.d_w_in[(f + j) * d + i] += d_up * u[i];
                d_u[i] += d_gate * w_in[j * d + i] + d_up * w_in[(f + j) * d + i];
            }
        }
    }
    gradients
}

fn gate_and_up(mlp: &Mlp<'_>, u: &[f64], j: usize) -> (f64, f64) {
    let row = |j: usize| (0..mlp.d).map(|i| mlp.w_in[j * mlp.d + i] * u[i]).sum();
    (row(j), row(mlp.f + j))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::{assert_gradient, inner, wide},
        test_data::uniform,
    };

    #[test]
    fn backward_is_the_slope_of_forward() {
        let (t, d, f) = (3, 4, 5);
        let u = wide(&uniform(t * d, 1));
        let w_in = wide(&uniform(2 * f * d, 2));
        let w_out = wide(&uniform(d * f, 3));
        let d_y = wide(&uniform(t * d, 4));
        let loss = |u: &[f64], w_in: &[f64], w_out: &[f64]| inner(&mlp(u, &Mlp { w_in, w_out, d, f }), &d_y);
        let gradients = mlp_backward(&u, &Mlp { w_in: &w_in, w_out: &w_out, d, f }, &d_y);
        assert_gradient(|u| loss(u, &w_in, &w_out), &u, &gradients.d_u, "u");
        assert_gradient(|w_in| loss(&u, w_in, &w_out), &w_in, &gradients.d_w_in, "w_in");
        assert_gradient(|w_out| loss(&u, &w_in, w_out), &w_out, &gradients.d_w_out, "w_out");
    }
}
