//! packed tensors → what is deployed
//!
//! ```text
//!              ┌─ gguf ─▶ tiny-int4.gguf                                  llama.cpp runs it too
//! Artifact ────┤
//!              └─ hf ───▶ tiny-fp8/: config.json, model.safetensors, …    `transformers` opens it
//! ```

use std::path::Path;

use itera_checkpoint::{export_packed, vocabulary};
use itera_formats::{
    Kind, PackedTensor, TensorLayout,
    gguf::{GgufSource, Vocabulary, gguf_size_bytes, write_gguf},
    hf::packed_dir_size_bytes,
};
use itera_shape::{ModelConfig, TensorSpec};
use itera_tokenizer::Tokenizer;

use crate::{error::Result, format::Format};

/// A model as it is deployed.
#[derive(Clone, Copy)]
pub(crate) struct Artifact<'a> {
    /// What files say that it is called.
    pub name: &'a str,
    /// Its shape.
    pub model: &'a ModelConfig,
    /// Its tokenizer.
    pub tokenizer: &'a Tokenizer,
    /// Also as a file that llama.cpp cannot run.
    pub allow_unsupported: bool,
}

impl Artifact<'_> {
    /// Write it with the weights `packed`, in the place of what is at `path`.
    ///
    /// # Errors
    /// If a tensor is of a kind that the format does not hold, or it cannot be written.
    pub(crate) fn write(&self, packed: &[PackedTensor], path: &Path, format: Format) -> Result<()> {
        match format {
            Format::Gguf => {
                let vocabulary = vocabulary(self.tokenizer);
                write_gguf(path, &self.gguf(packed, &vocabulary), self.allow_unsupported)?;
            }
            Format::Hf => export_packed(path, self.model, self.tokenizer, packed)?,
        }
        Ok(())
    }

    /// Bytes of the files that [`Artifact::write`] would write with tensors of these `kinds`, in the order of the tensor
    /// table.
    ///
    /// # Errors
    /// If a tensor is of a kind that the format does not hold.
    pub(crate) fn size_bytes(&self, kinds: &[Kind], format: Format) -> Result<usize> {
        let Self { model, tokenizer, .. } = *self;
        let layout = |(spec, kind): (TensorSpec, &Kind)| TensorLayout::new(&spec.name, &spec.shape, *kind);
        let layouts = model.tensors().into_iter().zip(kinds).map(layout).collect::<Result<Vec<_>, _>>()?;
        Ok(match format {
            Format::Gguf => gguf_size_bytes(&self.gguf(&layouts, &vocabulary(tokenizer)), self.allow_unsupported)?,
            Format::Hf => {
                packed_dir_size_bytes(model, &tokenizer.special_ids(), &layouts)?
                    + tokenizer.dir_size_bytes(model.max_seq_len)
            }
        })
    }

    fn gguf<'a, T>(&'a self, tensors: &'a [T], vocabulary: &'a Vocabulary<'a>) -> GgufSource<'a, T> {
        let special_ids = self.tokenizer.special_ids();
        GgufSource { name: self.name, config: self.model, special_ids, vocabulary, tensors }
    }
}
