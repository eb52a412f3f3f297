//! Files of the outside world, and nothing of what is in them: bytes on disk ⇄ named tensors and a configuration.
//!
//! ```text
//! ModelConfig ─┐                      ┌─▶ config.json, model.safetensors … ─┬─ hf::read_model_dir ─▶ all tensors in f32
//! SpecialIds  ─┼─ hf::write_model_dir ┘                                     │
//! TensorRef   ─┤                                                            ├─ ModelFile::open ─▶ weights in place
//! Vocabulary  ─┴─ pack_model ─ gguf::write_gguf ──▶ one file ───────────────┤
//!                                                                           └─ gguf::Gguf::parse ─▶ what is in it
//! ```
//!
//! Whatever is read is untrusted: it is checked before it is used, sizes by checked arithmetic, and an error names the
//! file, the tensor or key, what was found and what was expected. Whatever is written is published whole or not at all
//! ([`itera_files`]). The names and layouts of the outside world occur in this crate and nowhere else.

mod error;
mod finite;
pub mod gguf;
mod hashes;
mod header;
pub mod hf;
mod lfs;
mod listing;
mod model_file;
mod packed;
mod printable;
mod problem;
mod stream;
mod tensors;

pub use error::{FormatError, LlamaCppLimit, Result};
pub use hashes::file_hashes;
pub use itera_kernels::quant::Kind;
pub use listing::{ListedTensor, Listing, MetadataValue, NumberType};
pub use model_file::{ModelFile, RotaryPairs, TokenizerSource};
pub use packed::{PackedTensor, TensorLayout, pack_model, packed_kind, rows_and_cols};
pub use printable::printable;
pub use problem::{GgufProblem, HeaderProblem, PartsProblem};
pub use safetensors::Dtype;
pub use stream::{SafetensorsReader, TensorHead, TensorPlace, safetensors_head};
pub use tensors::{read_safetensors, write_safetensors};
