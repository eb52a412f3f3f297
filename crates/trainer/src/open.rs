//! path → a model to train

use std::path::Path;

use burn::tensor::Device;
use itera_checkpoint::read_model;
use itera_model::LanguageModel;

use crate::error::TrainError;

/// Open the model in the directory that `path` means: a run, a checkpoint or a Hugging Face directory of the family.
///
/// # Errors
/// If `path` has no model, its files are damaged, or they do not fit together.
pub fn open_model(path: &Path, device: &Device) -> Result<LanguageModel, TrainError> {
    let files = read_model(path)?;
    let values = files.tensors.into_iter().map(|tensor| tensor.data);
    Ok(LanguageModel::from_values(&files.config, device, values)?)
}
