//! The Hugging Face layout of the family: `GraniteMoeHybridForCausalLM`, as `transformers` writes and reads it.
//!
//! ```text
//! ModelConfig + SpecialIds ──config_json──▶ config.json ──parse_config──▶ ModelConfig + SpecialIds
//! layers.0.mamba.conv_weight [ch, k] ──names──▶ model.layers.0.mamba.conv1d.weight [ch, 1, k]
//! ```

mod config;
mod model_dir;
pub mod names;
mod open;
mod settings;

pub use config::{config_json, generation_config_json, parse_config};
pub(crate) use model_dir::{CONFIG, WEIGHTS, in_order, of_model, read_config_json};
pub use model_dir::{HfModel, read_model_dir, write_model_dir};

/// Ids of the special tokens, as `config.json` states them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpecialIds {
    /// The token before the first of a document.
    pub bos: u32,
    /// The token that ends a document.
    pub eos: u32,
    /// The token that fills a batch.
    pub pad: u32,
}
