//! (seed, tensor) → initial values

use itera_shape::{
    Init, ModelConfig, TensorSpec,
    rng::{Purpose, stream},
};
use rand::{Rng, RngExt};
use rand_distr::{Distribution, Normal};

/// Decay rates A start uniform in this range, and steps Δ log-uniform in the next (the reference initialisation of
/// arXiv 2405.21060).
const A_RANGE: (f32, f32) = (1.0, 16.0);
const DT_RANGE: (f32, f32) = (1e-3, 1e-1);

/// Initial values of tensor number `index` of the table, which is `spec`.
pub(crate) fn values(config: &ModelConfig, seed: u64, index: usize, spec: &TensorSpec) -> Vec<f32> {
    let rng = &mut stream(seed, Purpose::Init, index as u64);
    let len = spec.n_params();
    match spec.init {
        Init::Ones => vec![1.0; len],
        Init::Zeros => vec![0.0; len],
        Init::Normal => normal(len, config.init_std, rng),
        Init::ResidualNormal => normal(len, config.init_std / (2.0 * config.n_layers as f64).sqrt(), rng),
        Init::Taps => {
            let bound = 1.0 / (config.d_conv as f32).sqrt();
            fill(len, || rng.random_range(-bound..bound))
        }
        Init::DecayLog => fill(len, || rng.random_range(A_RANGE.0..A_RANGE.1).ln()),
        Init::StepBias => fill(len, || {
            let dt = rng.random_range(DT_RANGE.0.ln()..DT_RANGE.1.ln()).exp();
            dt + (-(-dt).exp_m1()).ln() // softplus⁻¹
        }),
    }
}

fn fill(len: usize, mut value: impl FnMut() -> f32) -> Vec<f32> {
    (0..len).map(|_| value()).collect()
}

fn normal(len: usize, std: f64, rng: &mut impl Rng) -> Vec<f32> {
    let normal = Normal::new(0.0, std).expect("a validated configuration has a finite, positive init_std");
    fill(len, || normal.sample(rng) as f32)
}
