//! (seed, tensor) → initial values

use itera_shape::{
    ModelConfig,
    rng::{Purpose, stream},
};
use rand::{Rng, RngExt};
use rand_distr::{Distribution, Normal};

/// Decay rates A start uniform in this range, and steps Δ log-uniform in the next (the reference initialisation of
/// arXiv 2405.21060).
const A_RANGE: (f32, f32) = (1.0, 16.0);
const DT_RANGE: (f32, f32) = (1e-3, 1e-1);

/// Initial values of the tensor `name`.
///
/// Matrices are normal with `init_std`; those that write into the residual stream are scaled by 1/√(2·n_layers)
/// (GPT-2, §2.3), so that the stream's variance does not grow with depth. The convolution is uniform in ±1/√d_conv.
pub(crate) fn tensor(config: &ModelConfig, seed: u64, name: &str, shape: &[usize]) -> Vec<f32> {
    let index = config.tensors().iter().position(|t| t.name == name).expect("a name of the table") as u64;
    let rng = &mut stream(seed, Purpose::Init, index);
    let len = shape.iter().product();
    let residual_std = config.init_std / (2.0 * config.n_layers as f64).sqrt();
    match name.rsplit('.').next().unwrap_or(name) {
        "mixer_norm" | "ffn_norm" | "norm" | "d_skip" => vec![1.0; len],
        "conv_bias" => vec![0.0; len],
        "conv_weight" => {
            let bound = 1.0 / (config.d_conv as f32).sqrt();
            fill(len, || rng.random_range(-bound..bound))
        }
        "a_log" => fill(len, || rng.random_range(A_RANGE.0..A_RANGE.1).ln()),
        "dt_bias" => fill(len, || {
            let dt = rng.random_range(DT_RANGE.0.ln()..DT_RANGE.1.ln()).exp();
            dt + (-(-dt).exp_m1()).ln() // softplus⁻¹
        }),
        "out_proj" | "o_proj" | "w_out" => normal(len, residual_std, rng),
        _ => normal(len, config.init_std, rng),
    }
}

fn fill(len: usize, mut value: impl FnMut() -> f32) -> Vec<f32> {
    (0..len).map(|_| value()).collect()
}

fn normal(len: usize, std: f64, rng: &mut impl Rng) -> Vec<f32> {
    let normal = Normal::new(0.0, std).expect("a validated configuration has a finite, positive init_std");
    fill(len, || normal.sample(rng) as f32)
}
