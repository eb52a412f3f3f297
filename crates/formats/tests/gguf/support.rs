//! Models to write, and bytes to read.

use std::path::Path;

use itera_fixtures::noise;
use itera_formats::gguf::{GgufSource, Vocabulary, WrittenTensor, write_gguf};
use itera_formats::{Result, pack_model};
use itera_kernels::quant::{Kind, QuantMatrix, dequantize};
use itera_shape::{ModelConfig, NamedTensor, PositionEmbedding, SpecialIds, TensorRef};

pub const SPECIAL: SpecialIds = SpecialIds { bos: 256, eos: 257, pad: 258 };

/// A hybrid with experts whose rows are whole blocks here and there.
pub fn small() -> ModelConfig {
    ModelConfig {
        vocab_size: 262,
        d_model: 64,
        n_layers: 3,
        attention_layers: vec![1],
        d_state: 4,
        d_head: 16,
        n_experts: 3,
        d_expert: 24,
        d_shared: 32,
        ..ModelConfig::default()
    }
}

/// Every pattern of layers, and every layout that differs from the usual.
pub fn sorts() -> [ModelConfig; 9] {
    [
        small(),
        ModelConfig { n_experts: 0, top_k: 1, d_expert: 32, ..small() },
        ModelConfig { attention_layers: vec![0, 1, 2], position_embedding: PositionEmbedding::Rope, ..small() },
        ModelConfig { attention_layers: vec![0, 1, 2], ..small() },
        ModelConfig { attention_layers: vec![0, 2], n_experts: 1, top_k: 1, rope_theta: 123.5, ..small() },
        ModelConfig { n_attention_heads: 3, n_kv_heads: 3, attention_head_dim: 32, ..small() },
        ModelConfig { n_groups: 2, tie_embeddings: false, n_kv_heads: 1, ..small() },
        ModelConfig { attention_layers: vec![0, 1, 2], n_experts: 0, top_k: 1, d_expert: 32, ..small() },
        ModelConfig {
            embedding_multiplier: 12.0,
            residual_multiplier: 0.22,
            attention_multiplier: 0.1,
            logits_scaling: 3.0,
            rms_norm_eps: 1e-6,
            max_seq_len: 77,
            ..small()
        },
    ]
}

/// The letters of the bytes (which ones does not matter here), special tokens, and a merge.
pub fn spellings() -> Vec<String> {
    let letters = (0..256).map(|byte| char::from_u32(0x100 + byte).expect("a letter").to_string());
    letters.chain(["<|bos|>", "<|endoftext|>", "<|pad|>", "ĀāĂ"].map(String::from)).collect()
}

pub fn vocabulary(spellings: &[String]) -> Vocabulary<'_> {
    let tokens = spellings.iter().map(String::as_str).collect();
    Vocabulary { tokens, merges: vec![["Āā", "Ă"], ["Ā", "ā"]], specials: vec![256, 257, 258], unknown: None }
}

pub fn write(path: &Path, config: &ModelConfig, tensors: &[NamedTensor], kind: Kind) -> Result<Vec<WrittenTensor>> {
    let spellings = spellings();
    let tensors: Vec<TensorRef<'_>> = tensors.iter().map(NamedTensor::as_ref).collect();
    let vocabulary = &vocabulary(&spellings);
    let tensors = &pack_model(config, &tensors, kind)?;
    let source = GgufSource { name: "Small", config, special_ids: SPECIAL, vocabulary, tensors };
    write_gguf(path, &source, false)
}

/// The bytes of a valid file.
pub fn small_file(kind: Kind) -> Vec<u8> {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("small.gguf");
    write(&path, &small(), &noise(&small()), kind).expect("written");
    std::fs::read(path).expect("read")
}

pub fn numbers(matrix: QuantMatrix<'_>) -> Vec<f32> {
    let mut numbers = vec![f32::NAN; matrix.rows() * matrix.cols()];
    dequantize(matrix.kind(), matrix.bytes(), &mut numbers);
    numbers
}
