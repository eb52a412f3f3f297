//! The equations in plain tensor operations.

use burn::tensor::Tensor;

use super::types::{Muon, MuonParameter, UPDATE_RMS, polar_steps};

/// Composite of [`crate::muon()`].
pub fn muon(parameters: Vec<MuonParameter>, gradient_scale: f32, hyper: &Muon) -> Vec<(Tensor<1>, Tensor<1>)> {
    let Muon { lr, momentum: beta, weight_decay } = *hyper;
    let update = |MuonParameter { weight, gradient, momentum, matrices }| {
        let gradient: Tensor<1> = gradient.mul_scalar(gradient_scale).mul_scalar(1.0 - beta);
        let momentum: Tensor<1> = momentum.mul_scalar(beta) + gradient.clone();
        let ahead = momentum.clone().mul_scalar(beta) + gradient;
        let matrices: Vec<usize> = matrices;
        let cols = ahead.dims()[0] / matrices.iter().sum::<usize>();
        let mut start = 0;
        let updates = matrices.into_iter().map(|rows| {
            let range = start..start + rows * cols;
            start = range.end;
            let scale = UPDATE_RMS * (rows.max(cols) as f64).sqrt();
            polar(ahead.clone().slice([range]).reshape([rows, cols])).flatten::<1>(0, 1).mul_scalar(scale)
        });
        let updates = Tensor::cat(updates.collect(), 0);
        let weight: Tensor<1> = weight;
        (weight.mul_scalar(1.0 - lr * weight_decay) - updates.mul_scalar(lr), momentum)
    };
    parameters.into_iter().map(update).collect()
}

/// The polar factor of a matrix, approximately; zeros of zeros.
fn polar(x: Tensor<2>) -> Tensor<2> {
    let [rows, cols] = x.dims();
    if rows > cols {
        return polar(x.transpose()).transpose();
    }
    let norm = x.clone().square().sum_dim(1).sum_dim(0).sqrt().clamp_min(f32::MIN_POSITIVE);
    let mut x = x / norm;
    for [a, b, c] in polar_steps() {
        let gram = x.clone().matmul(x.clone().transpose());
        let polynomial = gram.clone().mul_scalar(b) + gram.clone().matmul(gram).mul_scalar(c);
        x = x.clone().mul_scalar(a) + polynomial.matmul(x);
    }
    x
}
