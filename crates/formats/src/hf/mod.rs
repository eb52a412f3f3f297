//! The Hugging Face layout of the family: `GraniteMoeHybridForCausalLM`, as `transformers` writes and reads it.
//!
//! ```text
//! ModelConfig + SpecialIds ──config_json──▶ config.json ──parse_config──▶ ModelConfig + SpecialIds
//! layers.0.mamba.conv_weight [ch, k] ──names──▶ model.layers.0.mamba.conv1d.weight [ch, 1, k]
//! any directory ──weights──▶ weights by name, plain or in FP8 or NVFP4, and their rows in f32
//! PackedTensor f8_e4m3 or q4_0 ──packed_dir──▶ codes and scales of compressed-tensors ──stored──▶ the same numbers
//! ```

mod chat_template;
mod compressed;
mod config;
mod encoder;
mod int4;
mod json;
mod model_dir;
pub mod names;
mod open;
mod packed_dir;
mod settings;
mod shards;
mod stored;
mod weights;

pub(crate) use chat_template::read_chat_template;
pub use config::{config_json, generation_config_json, parse_config};
pub use encoder::{
    EncoderConfig, EncoderDir, EncoderEmbeddings, EncoderLayer, EncoderLinear, EncoderNorm, Pooling, is_encoder,
};
pub(crate) use model_dir::{CONFIG, in_order, of_model, own_name_and_shape};
pub use model_dir::{HfModel, read_config_json, read_model_dir, write_model_dir};
pub use packed_dir::{kind_in_dir, packed_dir_size_bytes, write_packed_dir};
pub use shards::{INDEX, WeightFile, read_index, weight_files};
pub(crate) use shards::{Shard, open_weights};
pub(crate) use stored::{Raw, Stored, raw, stored};
pub use weights::{Fp8Form, Shards, Weight, WeightForm, WeightsDir};
