//! LanguageModel + Tokenizer ↔ Hugging Face directory

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use itera_config::Precision;
use itera_formats::TensorRef;
use itera_formats::hf::{self, SpecialIds};
use itera_model::LanguageModel;
use itera_tokenizer::Tokenizer;

use crate::{error::CheckpointError, verify};

/// A model and the tokenizer it was trained with.
#[derive(Debug)]
pub struct OpenedModel {
    /// The model, on the device asked for.
    pub model: LanguageModel,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// The directory it came from.
    pub dir: PathBuf,
}

/// Write the files that `transformers` opens into `dir`, which exists, with the weights in `precision`.
///
/// # Errors
/// A file that cannot be written.
pub fn write_model(
    dir: &Path,
    model: &LanguageModel,
    tokenizer: &Tokenizer,
    precision: Precision,
) -> Result<(), CheckpointError> {
    let parameters = model.parameters();
    let tensors: Vec<TensorRef<'_>> =
        parameters.iter().map(|p| TensorRef { name: &p.name, shape: &p.shape, data: &p.values }).collect();
    let special = SpecialIds { bos: tokenizer.bos().0, eos: tokenizer.eos().0, pad: tokenizer.pad().0 };
    hf::write_model_dir(dir, model.config(), &special, &tensors, precision)?;
    tokenizer.write_dir(dir, model.config().max_seq_len)?;
    Ok(())
}

/// Open the model at `path`: a run, a checkpoint of one, or any Hugging Face directory of the family.
///
/// # Errors
/// No model there, or one whose files are damaged or do not fit together.
pub fn open_model(path: &Path, device: &Device) -> Result<OpenedModel, CheckpointError> {
    let dir = resolve(path)?;
    if verify::is_sealed(&dir) {
        verify::verify::<serde_json::Value>(&dir)?;
    }
    let files = hf::read_model_dir(&dir)?;
    let mut tensors = files.tensors.into_iter();
    let model = LanguageModel::from_tensors(&files.config, device, &mut |_, _| {
        tensors.next().expect("the reader returns the tensors of the configuration, in its order").data
    })?;
    let tokenizer = Tokenizer::load_dir(&dir)?;
    Ok(OpenedModel { model, tokenizer, dir })
}

/// The model directory that `path` means: itself, or the best (else the last) checkpoint of a run.
///
/// # Errors
/// [`CheckpointError::NotFound`] if there is neither.
pub fn resolve(path: &Path) -> Result<PathBuf, CheckpointError> {
    [path.to_path_buf(), path.join("best"), path.join("last")]
        .into_iter()
        .find(|dir| dir.join("config.json").is_file())
        .ok_or_else(|| CheckpointError::NotFound { path: path.into() })
}
