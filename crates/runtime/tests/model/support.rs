//! Models to test with.

use std::path::{Path, PathBuf};

use itera_formats::{
    gguf::{GgufSource, Vocabulary, write_gguf},
    hf::{write_model_dir, write_packed_dir},
    pack_model,
};
use itera_kernels::quant::Kind;
use itera_runtime::{Model, State};
use itera_shape::{ModelConfig, NamedTensor, PositionEmbedding, SpecialIds, TensorRef, TensorSpec};
use itera_testkit::uniform;
use itera_tokenizer::{TokenId, Tokenizer};

const SPECIAL_IDS: SpecialIds = SpecialIds { bos: 0, eos: 0, pad: 1 };

/// The directory of a golden model.
pub fn golden_dir(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(name)
}

/// Small configurations of every kind of layer, head and group, with sizes that no vector length divides among them.
pub fn configs() -> Vec<(&'static str, ModelConfig)> {
    let base = ModelConfig {
        vocab_size: 258,
        d_model: 32,
        n_layers: 3,
        attention_layers: vec![1],
        d_state: 6,
        d_head: 16,
        d_expert: 24,
        d_shared: 40,
        n_attention_heads: 4,
        n_kv_heads: 2,
        n_experts: 5,
        ..ModelConfig::default()
    };
    let with = |change: fn(&mut ModelConfig)| {
        let mut config = base.clone();
        change(&mut config);
        config
    };
    vec![
        ("all mamba", with(|c| c.attention_layers = vec![])),
        ("hybrid", base.clone()),
        ("all attention", with(|c| c.attention_layers = vec![0, 1, 2])),
        ("rope", with(|c| c.position_embedding = PositionEmbedding::Rope)),
        ("dense", with(|c| c.n_experts = 0)),
        ("untied", with(|c| c.tie_embeddings = false)),
        ("two groups", with(|c| c.n_groups = 2)),
        ("two taps, one head", with(|c| (c.d_conv, c.d_head) = (2, 64))),
        (
            "multipliers",
            with(|c| {
                (c.embedding_multiplier, c.residual_multiplier) = (3.0, 0.3);
                (c.attention_multiplier, c.logits_scaling) = (0.2, 1.7);
            }),
        ),
        (
            "rope, heads wider than d_model",
            with(|c| (c.position_embedding, c.n_kv_heads, c.attention_head_dim) = (PositionEmbedding::Rope, 4, 18)),
        ),
    ]
}

/// Random weights, a function of `seed`, that make logits spread over a few nats.
fn random_tensors(config: &ModelConfig, seed: u64) -> Vec<NamedTensor> {
    let tensor = |(index, spec): (u64, TensorSpec)| {
        let (low, high) = match spec.name.rsplit('.').next() {
            Some("a_log") => (0.0, 2.5),
            Some("dt_bias") => (-5.0, -2.0),
            Some("mixer_norm" | "ffn_norm" | "norm") => (0.5, 1.5),
            _ => (-0.25, 0.25),
        };
        let data = uniform(spec.shape.iter().product(), low, high, seed.wrapping_mul(1000) + index);
        NamedTensor { name: spec.name, shape: spec.shape, data }
    };
    (0..).zip(config.tensors()).map(tensor).collect()
}

/// A model with random weights in memory.
pub fn random_model(config: &ModelConfig, seed: u64) -> Model {
    let tensors = random_tensors(config, seed);
    let refs: Vec<TensorRef<'_>> = tensors.iter().map(NamedTensor::as_ref).collect();
    Model::from_tensors(config, SPECIAL_IDS, &refs).expect("a model of its own tensors")
}

/// The same weights in a GGUF file, or in a directory if GGUF has no such kind.
pub fn packed_model(config: &ModelConfig, seed: u64, kind: Kind) -> Model {
    let tensors = random_tensors(config, seed);
    let tensors: Vec<TensorRef<'_>> = tensors.iter().map(NamedTensor::as_ref).collect();
    let vocabulary = &Vocabulary::default();
    let tensors = &pack_model(config, &tensors, kind).expect("packed");
    if kind == Kind::F8E4M3 {
        let dir = tempfile::tempdir().expect("a directory");
        write_packed_dir(dir.path(), config, &SPECIAL_IDS, tensors).expect("written");
        return Model::open(dir.path()).expect("opened");
    }
    let source = GgufSource { name: "random", config, special_ids: SPECIAL_IDS, vocabulary, tensors };
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("model.gguf");
    write_gguf(&path, &source, true).expect("written");
    Model::open(&path).expect("opened")
}

/// A random model with its tokenizer, as a directory and as a GGUF file in `dir`.
pub fn write_both(dir: &Path, config: &ModelConfig, ids: SpecialIds, tokenizer: &Tokenizer) -> [PathBuf; 2] {
    let tensors = random_tensors(config, 5);
    let tensors: Vec<TensorRef<'_>> = tensors.iter().map(NamedTensor::as_ref).collect();
    let paths = [dir.join("model"), dir.join("model.gguf")];
    write_model_dir(&paths[0], config, &ids, &tensors, Kind::F32).expect("written");
    tokenizer.write_dir(&paths[0], config.max_seq_len).expect("written");
    let vocabulary = &Vocabulary {
        tokens: tokenizer.spellings().collect(),
        merges: tokenizer.merges().collect(),
        specials: tokenizer.specials().iter().map(|id| id.0).collect(),
    };
    let tensors = &pack_model(config, &tensors, Kind::F32).expect("packed");
    let source = GgufSource { name: "random", config, special_ids: ids, vocabulary, tensors };
    write_gguf(&paths[1], &source, true).expect("written");
    paths
}

/// `len` tokens of a model, a function of `seed`.
pub fn tokens(config: &ModelConfig, len: usize, seed: u64) -> Vec<TokenId> {
    let v = config.vocab_size as f32;
    uniform(len, 0.0, v, seed).into_iter().map(|x| TokenId((x as u32).min(config.vocab_size as u32 - 1))).collect()
}

/// Logits after each of `tokens`, one step at a time.
pub fn steps(model: &Model, state: &mut State, tokens: &[TokenId]) -> Vec<f32> {
    let mut work = model.workspace();
    tokens.iter().flat_map(|token| model.step(state, *token, &mut work).expect("a step").to_vec()).collect()
}

/// Logits after each of `tokens`, by chunks.
pub fn chunks(model: &Model, state: &mut State, tokens: &[TokenId]) -> Vec<f32> {
    let mut all = vec![];
    let mut work = model.workspace();
    model
        .prefill_all(state, tokens, &mut work, |start, logits| {
            assert_eq!(all.len(), start * model.config().vocab_size);
            all.extend_from_slice(logits);
        })
        .expect("a prefill");
    all
}

/// Every number of a state.
pub fn numbers(state: &State) -> Vec<f32> {
    let bytes = state.to_bytes();
    // magic, version, the number of numbers that tell of the shape, these, and the position
    let shape = u32::from_le_bytes(*bytes[12..].first_chunk().expect("four bytes")) as usize;
    let numbers = &bytes[16 + 4 * shape + 8..bytes.len() - 4];
    numbers.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}
