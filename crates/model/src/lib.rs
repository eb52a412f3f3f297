//! The SSM-MoE language model of the `granitemoehybrid` family.
//!
//! ```text
//! ids → embed · m_e → layers → rms_norm → head / s → logits
//!
//! layer:  x + m_r · mixer(rms_norm(x))            mamba2 or attention
//!         x + m_r · (moe(u) + shared(u))          u = rms_norm(x)
//! ```
//!
//! [`LanguageModel::forward`] takes whole sequences (chunked scan), [`LanguageModel::step`] one position (recurrence);
//! both carry a [`State`], so a sequence may be cut anywhere.

mod attention;
mod dropout;
mod error;
mod ffn;
mod init;
mod language_model;
mod layer;
mod losses;
mod mamba;
pub mod parameters;
mod recompute;
mod residual;
mod state;
mod weights;

pub use dropout::Dropout;
pub use error::ModelError;
pub use language_model::{LanguageModel, LmOutput};
pub use losses::{AuxiliaryLosses, auxiliary_losses};
pub use state::{LayerState, State};
