//! The numbers that training computes with.

use serde::{Deserialize, Serialize};

pub(crate) const F32_BYTES: u64 = size_of::<f32>() as u64;

/// Type of the numbers that training multiplies and keeps. Sums and master weights are f32 in all (mixed precision, arXiv
/// 1710.03740).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Single precision throughout.
    #[default]
    F32,
    /// bfloat16 for the operands of large products, for what the forward pass saves for the backward pass, and for the
    /// weights that others read.
    Bf16,
    /// IEEE half precision for the same, on a GPU alone. Its smallest number is 6e-8, so losses are scaled.
    F16,
}

impl Precision {
    /// As in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        }
    }

    /// Bytes of an activation that is saved.
    pub fn bytes(self) -> u64 {
        match self {
            Self::F32 => F32_BYTES,
            Self::Bf16 | Self::F16 => 2,
        }
    }
}
