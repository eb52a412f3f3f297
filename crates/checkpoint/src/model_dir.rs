//! LanguageModel + Tokenizer ↔ Hugging Face directory; path → the model that it means

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use itera_config::ModelConfig;
use itera_formats::hf::{self, HfModel};
use itera_formats::{Kind, PackedTensor, TensorRef};
use itera_model::LanguageModel;
use itera_tokenizer::Tokenizer;

use crate::{error::CheckpointError, publish::publish_dir, verify};

/// Write the files that `transformers` opens into `dir`, which exists, with the weights as `kind`.
///
/// # Errors
/// A file that cannot be written.
pub fn write_model(
    dir: &Path,
    model: &LanguageModel,
    tokenizer: &Tokenizer,
    kind: Kind,
) -> Result<(), CheckpointError> {
    let parameters = model.parameters();
    let tensors: Vec<TensorRef<'_>> =
        parameters.iter().map(|p| TensorRef { name: &p.name, shape: &p.shape, data: &p.values }).collect();
    hf::write_model_dir(dir, model.config(), &tokenizer.special_ids(), &tensors, kind)?;
    tokenizer.write_dir(dir, model.config().max_seq_len)?;
    Ok(())
}

/// Write a model, read from a directory like it, as a new directory with the weights as `kind`. It appears whole, in the
/// place of what was at `path`.
///
/// # Errors
/// A directory that cannot be written or replaced.
pub fn export_model(path: &Path, model: &HfModel, tokenizer: &Tokenizer, kind: Kind) -> Result<(), CheckpointError> {
    let tensors: Vec<TensorRef<'_>> = model.tensors.iter().map(|tensor| tensor.as_ref()).collect();
    publish_dir(path, |dir| {
        hf::write_model_dir(dir, &model.config, &tokenizer.special_ids(), &tensors, kind)?;
        tokenizer.write_dir(dir, model.config.max_seq_len)?;
        Ok(())
    })
}

/// Write a model whose tensors are packed as a new directory, in the layout of compressed-tensors. It appears whole, in the
/// place of what was at `path`.
///
/// # Errors
/// A tensor of a kind that such a directory does not hold, or a directory that cannot be written or replaced.
pub fn export_packed(
    path: &Path,
    config: &ModelConfig,
    tokenizer: &Tokenizer,
    tensors: &[PackedTensor],
) -> Result<(), CheckpointError> {
    publish_dir(path, |dir| {
        hf::write_packed_dir(dir, config, &tokenizer.special_ids(), tensors)?;
        tokenizer.write_dir(dir, config.max_seq_len)?;
        Ok(())
    })
}

/// Open the model in the directory that `path` means for training.
///
/// # Errors
/// As [`find_model`], or if the files are damaged or do not fit together.
pub fn open_model(path: &Path, device: &Device) -> Result<LanguageModel, CheckpointError> {
    let files = hf::read_model_dir(&find_model(path)?)?;
    let values = files.tensors.into_iter().map(|tensor| tensor.data);
    Ok(LanguageModel::from_values(&files.config, device, values)?)
}

/// The model that `path` means: a file, a Hugging Face directory of the family, or the best (else the last) checkpoint of
/// a run. A checkpoint is what was written, byte for byte.
///
/// # Errors
/// [`CheckpointError::NotFound`] if there is none of these, [`CheckpointError::Damaged`] with the file's name.
pub fn find_model(path: &Path) -> Result<PathBuf, CheckpointError> {
    if path.is_file() {
        return Ok(path.into());
    }
    let dir = [path.to_path_buf(), path.join("best"), path.join("last")]
        .into_iter()
        .find(|dir| dir.join("config.json").is_file())
        .ok_or_else(|| CheckpointError::NotFound { path: path.into() })?;
    if verify::is_sealed(&dir) {
        verify::verify::<serde_json::Value>(&dir)?;
    }
    Ok(dir)
}

/// The run that a checkpoint lies in: `run/checkpoints/step-…` → `run`.
pub fn run_of(model: &Path) -> Option<PathBuf> {
    let dir = model.canonicalize().ok()?;
    dir.parent().filter(|parent| parent.ends_with("checkpoints")).and_then(Path::parent).map(Path::to_path_buf)
}
