//! Models to test with.

use std::path::{Path, PathBuf};

use itera_fixtures::{SPECIAL_IDS, borrowed, weights};
use itera_formats::{
    gguf::{GgufSource, Vocabulary, write_gguf},
    hf::{write_model_dir, write_packed_dir},
    pack_model,
};
use itera_kernels::quant::Kind;
use itera_runtime::{Model, State};
use itera_shape::{ModelConfig, SpecialIds};
use itera_testkit::uniform;
use itera_tokenizer::{TokenId, Tokenizer};

/// The directory of a golden model.
pub fn golden_dir(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(name)
}

/// Small configurations of every kind of layer, head and group, with the vocabulary of a byte tokenizer.
pub fn configs() -> Vec<(&'static str, ModelConfig)> {
    let bytes = |(name, config)| (name, ModelConfig { vocab_size: Tokenizer::byte().vocab_size(), ..config });
    itera_fixtures::models().into_iter().map(bytes).collect()
}

/// One of them.
pub fn named(name: &str) -> ModelConfig {
    let found = configs().into_iter().find(|(other, _)| *other == name);
    found.unwrap_or_else(|| panic!("no model `{name}`")).1
}

/// A model with random weights in memory.
pub fn random_model(config: &ModelConfig, seed: u64) -> Model {
    let tensors = weights(config, seed);
    let refs = borrowed(&tensors);
    Model::from_tensors(config, SPECIAL_IDS, &refs).expect("a model of its own tensors")
}

/// A directory that goes with its value; WASI does not say where temporary ones belong.
pub fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory")
}

/// The same weights in a GGUF file, or in a directory if GGUF has no such kind.
pub fn packed_model(config: &ModelConfig, seed: u64, kind: Kind) -> Model {
    let tensors = weights(config, seed);
    let tensors = borrowed(&tensors);
    let vocabulary = &Vocabulary::default();
    let tensors = &pack_model(config, &tensors, kind).expect("packed");
    if kind == Kind::F8E4M3 {
        let dir = directory();
        write_packed_dir(dir.path(), config, &SPECIAL_IDS, tensors).expect("written");
        return Model::open(dir.path()).expect("opened");
    }
    let source = GgufSource { name: "random", config, special_ids: SPECIAL_IDS, vocabulary, tensors };
    let dir = directory();
    let path = dir.path().join("model.gguf");
    write_gguf(&path, &source, true).expect("written");
    Model::open(&path).expect("opened")
}

/// A random model with its tokenizer, as a directory and as a GGUF file in `dir`.
pub fn write_both(dir: &Path, config: &ModelConfig, ids: SpecialIds, tokenizer: &Tokenizer) -> [PathBuf; 2] {
    let tensors = weights(config, 5);
    let tensors = borrowed(&tensors);
    let paths = [dir.join("model"), dir.join("model.gguf")];
    write_model_dir(&paths[0], config, &ids, &tensors, Kind::F32).expect("written");
    tokenizer.write_dir(&paths[0], config.max_seq_len).expect("written");
    let vocabulary = &Vocabulary {
        tokens: tokenizer.spellings().collect(),
        merges: tokenizer.merges().collect(),
        specials: tokenizer.specials().iter().map(|id| id.0).collect(),
        unknown: tokenizer.unknown().map(|id| id.0),
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
