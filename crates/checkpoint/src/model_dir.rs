//! tensors + Tokenizer → Hugging Face directory; path → the model that it means

use std::path::{Path, PathBuf};

use itera_files::publish_dir;
use itera_formats::{
    Kind, PackedTensor,
    gguf::Vocabulary,
    hf::{self, HfModel},
};
use itera_shape::{ModelConfig, TensorRef};
use itera_tokenizer::Tokenizer;
use serde::de::IgnoredAny;

use crate::{
    error::CheckpointError,
    place::Place,
    pointer::{BEST, CHECKPOINTS, LAST},
    store::CheckpointStore,
    verify,
};

/// Write the files that `transformers` opens into `dir`, which exists, with the weights as `kind`.
///
/// # Errors
/// Tensors that are not those of `config`, or a file that cannot be written.
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
/// Those of [`Place::at`], tensors that are not those of `config`, or a directory that cannot be written.
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
    }
}

/// Read the model in the directory that `path` means, all of it in f32.
///
/// # Errors
/// As [`find_model`], or if the files are damaged or do not fit together.
pub fn read_model(path: &Path) -> Result<HfModel, CheckpointError> {
    Ok(hf::read_model_dir(&find_model(path)?)?)
}

/// The model that `path` means: a file, a Hugging Face directory of the family, or the best (else the last) checkpoint of
/// a run, whose links may be lost or have become directories. A checkpoint is what was written, byte for byte.
///
/// # Errors
/// [`CheckpointError::NotFound`] if there is none of these, [`CheckpointError::Damaged`] with the file's name.
pub fn find_model(path: &Path) -> Result<PathBuf, CheckpointError> {
    if path.is_file() {
        return Ok(path.into());
    }
    let dir = match path.join("config.json").is_file() {
        true => path.into(),
        false => CheckpointStore::new(path).model()?.ok_or_else(|| CheckpointError::NotFound { path: path.into() })?,
    };
    if verify::is_sealed(&dir) {
        verify::verify::<IgnoredAny, IgnoredAny>(&dir)?;
    }
    Ok(dir)
}

/// The run that a checkpoint lies in: `run/checkpoints/step-…` → `run`, and `run/best` → `run` where a copy has made a
/// directory of the link.
pub fn run_of(model: &Path) -> Option<PathBuf> {
    let dir = model.canonicalize().ok()?;
    let parent = dir.parent()?;
    if parent.ends_with(CHECKPOINTS) {
        return parent.parent().map(Path::to_path_buf);
    }
    let is_pointer = [BEST, LAST].iter().any(|link| dir.ends_with(link));
    (is_pointer && verify::is_sealed(&dir)).then(|| parent.to_path_buf())
}
