//! What a model is, before any of it exists.
//!
//! ```text
//! ModelConfig ── tensors ─▶ TensorSpec: name, shape, role ─▶ parameters, bytes, FLOPs, activations
//!                                    └─ filled with numbers ─▶ NamedTensor
//! (seed, Purpose, index) ── stream ─▶ random numbers
//! ```
//!
//! Training, inference and the files of a model agree on these types and on nothing else.
//!
//! ```
//! let config = itera_shape::ModelConfig::default();
//! let first = &config.tensors()[0];
//! assert_eq!((first.name.as_str(), &first.shape[..]), ("embed", &[2048, 128][..]));
//! assert!(config.active_params() < config.total_params());
//! ```

mod activations;
mod checks;
mod config;
mod counts;
mod precision;
pub mod rng;
mod rules;
mod special;
mod table;
mod tensor;

pub use activations::SavedActivations;
pub use checks::{BrokenRule, Checks};
pub use config::{LayerKind, ModelConfig, PositionEmbedding};
pub use precision::Precision;
pub use rules::{InvalidModel, MAX_SIZE};
pub use special::SpecialIds;
pub use table::{Init, TensorRole, TensorSpec};
pub use tensor::{NamedTensor, TensorRef};
