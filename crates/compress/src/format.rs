//! The form in which a recipe leaves its model.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// What a recipe leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One file, tokenizer included.
    #[default]
    Gguf,
    /// A Hugging Face directory; `f8_e4m3` and `q4_0` in the layout of compressed-tensors.
    Hf,
}

impl Format {
    /// Where something of this name goes while it is not finished: `name.gguf` or `name.hf`.
    pub(crate) fn staging(self, name: &Path) -> PathBuf {
        name.with_added_extension(match self {
            Self::Gguf => "gguf",
            Self::Hf => "hf",
        })
    }

    /// Where something of this name goes: `name.gguf` or `name`.
    pub(crate) fn finished(self, name: &Path) -> PathBuf {
        match self {
            Self::Gguf => self.staging(name),
            Self::Hf => name.to_path_buf(),
        }
    }
}
