//! GGUF: one file with a model and its tokenizer, the format of llama.cpp.
//!
//! ```text
//! config, special ids, vocabulary, packed tensors ──write_gguf──▶ file ──Gguf::parse──▶ metadata, tensor infos
//!                                                           │
//!                                                           └────ModelFile::open──▶ weights in place, vocabulary
//!                                                                             └─ expand ──▶ all tensors in f32
//! ```
//!
//! Architectures `granitehybrid`, `granitemoe` and `granite`, which llama.cpp runs. It would not run a dense model
//! without attention as `mamba2` either, whose layers have no MLP.

mod config;
mod cursor;
mod file;
mod metadata;
mod names;
mod open;
pub(crate) mod rotary;
mod tensor_type;
mod value;
mod vocabulary;
mod write;

pub use file::{Entry, Gguf, TensorInfo};
pub(crate) use names::{Stored, stored};
pub use tensor_type::TensorType;
pub use value::{Array, Value};
pub use vocabulary::Vocabulary;
pub(crate) use vocabulary::chat_template;
pub use write::{GgufSource, WrittenTensor, gguf_size_bytes, write_gguf};
