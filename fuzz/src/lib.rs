//! What targets share: a model to ask, and what one from a hostile file must do once it is open: whatever its numbers are, it
//! runs.

use std::path::Path;

use itera_fixtures::noise;
use itera_formats::hf::write_model_dir;
use itera_kernels::quant::Kind;
use itera_runtime::Model;
use itera_shape::{ModelConfig, NamedTensor, TensorRef};
use itera_tokenizer::{TokenId, Tokenizer};

/// Write a small model whose vocabulary is all bytes, with its tokenizer.
///
/// # Panics
/// If that cannot be written.
pub fn write_noise(dir: &Path) {
    let config =
        ModelConfig { vocab_size: 258, d_model: 32, d_state: 4, d_head: 8, n_layers: 3, ..ModelConfig::default() };
    let tensors = noise(&config);
    let tensors: Vec<TensorRef<'_>> = tensors.iter().map(NamedTensor::as_ref).collect();
    let tokenizer = Tokenizer::byte();
    write_model_dir(dir, &config, &tokenizer.special_ids(), &tensors, Kind::F32).expect("written");
    tokenizer.write_dir(dir, 1000).expect("written");
}

/// A few tokens in both forms, and a text through its tokenizer if it has one.
///
/// # Panics
/// If it cannot, or the text comes back as another.
pub fn run(model: Model) {
    let (mut state, mut work) = (model.new_state(), model.workspace());
    let room = model.config().max_seq_len.saturating_sub(1).min(9);
    if room > 0 {
        let tokens = [0, 1, 2, 3, 4, 5, 6, 7, 8].map(TokenId);
        model.prefill(&mut state, &tokens[..room], &mut work).expect("tokens of every model");
    }
    let logits = model.step(&mut state, TokenId(0), &mut work).expect("a token of every model");
    assert_eq!(logits.len(), model.config().vocab_size);
    if let Ok(tokenizer) = model.tokenizer() {
        assert_eq!(tokenizer.decode(&tokenizer.encode("a cat é")), "a cat é");
    }
}
