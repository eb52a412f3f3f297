//! The numbers that training computes with.

use serde::{Deserialize, Serialize};

pub(crate) const F32_BYTES: u64 = size_of::<f32>() as u64;

/// Type of the numbers that training multiplies and keeps. Sums and master weights are f32 in both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Single precision throughout.
    #[default]
    F32,
    /// bfloat16 for the operands of large products, for what the forward pass saves for the backward pass, and for the
    /// weights that others read (mixed precision, arXiv 1710.03740).
    Bf16,
}

impl Precision {
    /// Bytes of an activation that is saved.
    pub fn bytes(self) -> u64 {
        match self {
            Self::F32 => F32_BYTES,
            Self::Bf16 => 2,
        }
    }
}
