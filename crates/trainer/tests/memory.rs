//! What a step keeps for its backward pass, and that keeping less changes no gradient.
//!
//! The count is one a process and tests may be threads of one, so that everything that counts is in one test.

use burn::tensor::Device;
use itera_config::{Config, Precision, SavedActivations, TrainConfig};
use itera_data::TokenBatch;
use itera_model::{Dropout, LanguageModel};
use itera_ops::saved_bytes;
use itera_trainer::losses;

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
    }
}

/// What a step leaves behind: bytes saved after its forward pass, its loss, its gradients.
fn step(config: &Config, train: &TrainConfig, dropout: f64) -> (u64, f32, Vec<Vec<f32>>) {
    let model = LanguageModel::init(&config.model, 1, &Device::flex().autodiff());
    assert_eq!(saved_bytes(), 0, "nothing is left of the step before");
    let mut dropout = Dropout::new(dropout, 5, 0);
    let loss = losses(&model, &batch(), train, Some(&mut dropout)).total;
    let saved = saved_bytes() as u64;
    let value = loss.clone().inner().into_scalar::<f32>();
    (saved, value, model.gradients(loss.backward()))
}

#[test]
fn a_step_saves_what_the_formula_says_and_less_with_the_same_gradients() {
    for (name, changes) in CASES {
        let config = config(changes);
        for precision in [Precision::F32, Precision::Bf16] {
            let train =
                |gradient_checkpointing| TrainConfig { precision, gradient_checkpointing, ..config.train.clone() };
            let whole = step(&config, &train(false), 0.0);
            let recomputed = step(&config, &train(true), 0.0);
            for (found, gradient_checkpointing) in [(whole.0, false), (recomputed.0, true)] {
                let SavedActivations { bytes_per_token, bytes_per_sequence, .. } =
                    config.model.saved_activations(precision, gradient_checkpointing);
                let expected = (BATCH_SIZE as u64) * (SEQ_LEN as u64 * bytes_per_token + bytes_per_sequence);
                assert_eq!(found, expected, "{name}, {precision:?}, gradient_checkpointing {gradient_checkpointing}");
            }
            assert!(recomputed.0 < whole.0, "{name}");
            assert!(whole.2.iter().all(|gradient| gradient.iter().any(|g| *g != 0.0)), "{name}: a gradient is missing");
            assert_eq!((recomputed.1, &recomputed.2), (whole.1, &whole.2), "{name}, {precision:?}");

            let with_masks = |gradient_checkpointing| step(&config, &train(gradient_checkpointing), 0.3);
            let (whole, recomputed) = (with_masks(false), with_masks(true));
            assert_eq!((recomputed.1, &recomputed.2), (whole.1, &whole.2), "{name}, {precision:?}, dropout");
        }
    }
}
