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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_start_and_decay_as_their_names_say() {
        let config =
            ModelConfig { n_layers: 3, attention_layers: vec![1], tie_embeddings: false, ..ModelConfig::default() };
        let table = config.tensors();
        for (index, spec) in table.iter().enumerate() {
            let values = values(&config, 7, index, spec);
            assert_eq!(values.len(), spec.n_params());
            let all = |holds: &dyn Fn(f32) -> bool| values.iter().all(|x| holds(*x));
            let deviation = (values.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / values.len() as f64).sqrt();
            let has_deviation = |expected: f64| (deviation / expected - 1.0).abs() < 0.12;
            let field = spec.name.rsplit('.').next().expect("a name");
            let as_expected = match field {
                "mixer_norm" | "ffn_norm" | "norm" | "d_skip" => all(&|x| x == 1.0),
                "conv_bias" => all(&|x| x == 0.0),
                "conv_weight" => {
                    let bound = 1.0 / (config.d_conv as f32).sqrt();
                    all(&|x| x.abs() <= bound) && values.iter().any(|x| *x < -0.9 * bound)
                }
                "a_log" => all(&|x| (1.0..16.001).contains(&x.exp())),
                "dt_bias" => all(&|x| (0.99e-3..1.01e-1).contains(&x.exp().ln_1p())),
                "out_proj" | "o_proj" | "w_out" => has_deviation(config.init_std / 6f64.sqrt()),
                _ => has_deviation(config.init_std),
            };
            assert!(as_expected, "{}: a deviation of {deviation:.1e} from zero", spec.name);
            assert_eq!(spec.decays(), spec.shape.len() >= 2 && field != "conv_weight", "{}", spec.name);
        }
        let other = values(&config, 8, 0, &table[0]);
        assert_ne!(other, values(&config, 7, 0, &table[0]), "another seed");
    }
}
