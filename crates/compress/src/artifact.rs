//! packed tensors → what is deployed
//!
//! ```text
//!              ┌─ gguf ─▶ tiny-int4.gguf                                  llama.cpp runs it too
//! Artifact ────┤
//!              └─ hf ───▶ tiny-fp8/: config.json, model.safetensors, …    `transformers` opens it
//! ```

use std::path::{Path, PathBuf};

use itera_checkpoint::export_packed;
use itera_formats::{
    PackedTensor,
    gguf::{GgufSource, Vocabulary, gguf_size_bytes, write_gguf},
    hf::packed_dir_size_bytes,
};
use serde::{Deserialize, Serialize};

use crate::{Result, subject::Subject};

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

/// A model as it is deployed.
pub(crate) struct Artifact<'a> {
    pub name: &'a str,
    /// Of what shape it is, and under which tokenizer.
    pub subject: &'a Subject,
    pub packed: &'a [PackedTensor],
    /// Also as a file that llama.cpp cannot run.
    pub allow_unsupported: bool,
}

impl Artifact<'_> {
    /// Write it, in the place of what is there.
    ///
    /// # Errors
    /// If a tensor has a kind that the format has not, or it cannot be written.
    pub(crate) fn write(&self, path: &Path, format: Format) -> Result<()> {
        match format {
            Format::Gguf => {
                write_gguf(path, &self.gguf(&self.subject.vocabulary()), self.allow_unsupported)?;
            }
            Format::Hf => export_packed(path, self.subject.model(), &self.subject.data.tokenizer, self.packed)?,
        }
        Ok(())
    }

    /// Bytes of the files that [`Artifact::write`] would write.
    ///
    /// # Errors
    /// If a tensor has a kind that the format has not.
    pub(crate) fn size_bytes(&self, format: Format) -> Result<usize> {
        let (model, tokenizer) = (self.subject.model(), &self.subject.data.tokenizer);
        Ok(match format {
            Format::Gguf => gguf_size_bytes(&self.gguf(&self.subject.vocabulary()), self.allow_unsupported)?,
            Format::Hf => {
                packed_dir_size_bytes(model, &tokenizer.special_ids(), self.packed)?
                    + tokenizer.dir_size_bytes(model.max_seq_len)
            }
        })
    }

    fn gguf<'a>(&'a self, vocabulary: &'a Vocabulary<'a>) -> GgufSource<'a> {
        let (config, special_ids) = (self.subject.model(), self.subject.data.tokenizer.special_ids());
        GgufSource { name: self.name, config, special_ids, vocabulary, tensors: self.packed }
    }
}
