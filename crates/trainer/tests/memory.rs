//! What a step keeps for its backward pass, and that keeping less changes no gradient.
//!
//! The count is one a process and tests may be threads of one, so that everything that counts is in one test.

use burn::tensor::Device;
use itera_config::{Config, TrainConfig};
use itera_data::TokenBatch;
use itera_model::{Dropout, LanguageModel};
use itera_ops::saved_bytes;
use itera_shape::{Precision, SavedActivations};
use itera_testkit::max_difference;
use itera_trainer::{MicroBatch, losses};

const BATCH_SIZE: usize = 3;
const SEQ_LEN: usize = 37;

const CASES: [(&str, &[&str]); 6] = [
    ("hybrid", &["model.n_layers=3", "model.attention_layers=[1]"]),
    ("all mamba", &["model.n_layers=2", "model.attention_layers=[]", "model.n_groups=2", "model.d_conv=3"]),
    ("all attention", &["model.n_layers=2", "model.attention_layers=[0,1]", "model.position_embedding=rope"]),
    ("dense", &["model.n_layers=2", "model.attention_layers=[1]", "model.n_experts=0"]),
    ("untied", &["model.n_layers=1", "model.attention_layers=[]", "model.tie_embeddings=false", "model.top_k=3"]),
    ("multipliers", &["model.n_layers=1", "model.attention_layers=[]", "model.residual_multiplier=0.25"]),
];

fn config(changes: &[&str]) -> Config {
    let common = [
        "model.vocab_size=259",
        "model.d_model=32",
        "model.d_state=7",
        "model.d_head=8",
        "model.n_attention_heads=4",
        "model.n_kv_heads=2",
        "model.d_expert=9",
        "model.d_shared=12",
        "model.init_std=0.2",
    ];
    let overrides: Vec<String> = common.iter().chain(changes).map(ToString::to_string).collect();
    Config::from_toml("", "test", &overrides).expect("valid")
}

fn batch() -> TokenBatch {
    let id = |i: usize| (i * i * 31 + 7 * i) as i32 % 259;
    let tokens = BATCH_SIZE * SEQ_LEN;
    TokenBatch {
        batch_size: BATCH_SIZE,
        seq_len: SEQ_LEN,
        inputs: (0..tokens).map(id).collect(),
        targets: (1..=tokens).map(id).collect(),
        positions: vec![],
    }
}

/// What a step leaves behind: bytes saved after its forward pass, its loss, its gradients.
fn step(config: &Config, train: &TrainConfig, dropout: f64) -> (u64, f32, Vec<Vec<f32>>) {
    let model = LanguageModel::init(&config.model, 1, &Device::flex().autodiff());
    assert_eq!(saved_bytes(), 0, "nothing is left of the step before");
    let dropout = Some(Dropout::new(dropout, 5, 0));
    let loss = losses(MicroBatch { model: &model, tokens: &batch(), config: train, dropout }).total;
    let saved = saved_bytes() as u64;
    let value = loss.clone().inner().into_scalar::<f32>();
    (saved, value, model.gradients(loss.backward()).iter().map(|gradient| gradient.to_vec()).collect())
}

/// Largest difference between gradients of the same weight.
fn apart(a: &[Vec<f32>], b: &[Vec<f32>]) -> f64 {
    a.iter().zip(b).map(|(a, b)| max_difference(a, b)).fold(0.0, f64::max)
}

#[test]
fn a_step_saves_what_the_formula_says_and_less_with_the_same_gradients() {
    for (name, changes) in CASES {
        let config = config(changes);
        for dropout in [0.0, 0.3] {
            let run = |precision, gradient_checkpointing| {
                let train = TrainConfig { precision, gradient_checkpointing, ..config.train.clone() };
                let (found, loss, gradients) = step(&config, &train, dropout);
                let SavedActivations { bytes_per_token, bytes_per_sequence, .. } =
                    config.model.saved_activations(precision, gradient_checkpointing);
                let expected = (BATCH_SIZE as u64) * (SEQ_LEN as u64 * bytes_per_token + bytes_per_sequence);
                assert_eq!(found, expected, "{name}, {precision:?}, gradient_checkpointing {gradient_checkpointing}");
                (found, loss, gradients)
            };
            let exact = run(Precision::F32, false);
            assert!(exact.2.iter().all(|gradient| gradient.iter().any(|g| *g != 0.0)), "{name}: a gradient is missing");
            let recomputed = run(Precision::F32, true);
            assert!(recomputed.0 < exact.0, "{name}");
            assert_eq!((recomputed.1, &recomputed.2), (exact.1, &exact.2), "{name}, dropout {dropout}");

            // the products of both are rounded alike, but what is computed again is saved as it is
            let (rounded, less_rounded) = (run(Precision::Bf16, false), run(Precision::Bf16, true));
            assert_eq!(rounded.1, less_rounded.1, "{name}: forward is the same");
            assert!(rounded.1 != exact.1 && (rounded.1 - exact.1).abs() < 0.01 * exact.1, "{name}: {}", rounded.1);
            let (far, near) = (apart(&rounded.2, &exact.2), apart(&rounded.2, &less_rounded.2));
            assert!(0.0 < near && near < far, "{name}, dropout {dropout}: {near:.1e} is not below {far:.1e}");
        }
    }
}
