//! tensors + Tokenizer → Hugging Face directory

use std::path::Path;

use itera_files::publish_dir;
use itera_formats::{Kind, PackedTensor, gguf::Vocabulary, hf};
use itera_shape::{ModelConfig, TensorRef};
use itera_tokenizer::Tokenizer;

use crate::{error::CheckpointError, place::Place};

/// Write the files that `transformers` opens into `dir`, which exists, with the weights as `kind`.
///
/// # Errors
/// The tensors do not match `config`, or a file cannot be written.
pub(crate) fn write_model(
    dir: &Path,
    config: &ModelConfig,
    tokenizer: &Tokenizer,
    tensors: &[TensorRef<'_>],
    kind: Kind,
) -> Result<(), CheckpointError> {
    hf::write_model_dir(dir, config, &tokenizer.special_ids(), tensors, kind)?;
    tokenizer.write_dir(dir, config.max_seq_len)?;
    Ok(())
}

/// Write a model as a new directory with the weights as `kind`. It appears whole, in the place of a model directory that
/// was at `path`.
///
/// # Errors
/// As [`Place::at`]; the tensors do not match `config`, or the directory cannot be written.
pub fn export_model(
    path: &Path,
    config: &ModelConfig,
    tokenizer: &Tokenizer,
    tensors: &[TensorRef<'_>],
    kind: Kind,
) -> Result<(), CheckpointError> {
    publish_model(path, |dir| write_model(dir, config, tokenizer, tensors, kind))
}

/// Write a model whose tensors are packed as a new directory, in the layout of compressed-tensors. It appears whole, in the
/// place of a model directory that was at `path`.
///
/// # Errors
/// Those of [`Place::at`], a tensor of a kind that such a directory does not hold, or a directory that cannot be written.
pub fn export_packed(
    path: &Path,
    config: &ModelConfig,
    tokenizer: &Tokenizer,
    tensors: &[PackedTensor],
) -> Result<(), CheckpointError> {
    publish_model(path, |dir| {
        hf::write_packed_dir(dir, config, &tokenizer.special_ids(), tensors)?;
        tokenizer.write_dir(dir, config.max_seq_len)?;
        Ok(())
    })
}

/// Publish a model directory where nothing else is lost.
fn publish_model(path: &Path, fill: impl FnOnce(&Path) -> Result<(), CheckpointError>) -> Result<(), CheckpointError> {
    Place::at(path)?;
    publish_dir(path, fill)
}

/// A tokenizer as model files have it.
pub fn vocabulary(tokenizer: &Tokenizer) -> Vocabulary<'_> {
    Vocabulary {
        tokens: tokenizer.spellings().collect(),
        merges: tokenizer.merges().collect(),
        specials: tokenizer.specials().iter().map(|id| id.0).collect(),
        unknown: tokenizer.unknown().map(|id| id.0),
    }
}
