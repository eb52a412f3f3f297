//! path → the model that it means

use std::path::{Path, PathBuf};

use itera_formats::hf::{self, HfModel};
use serde::de::IgnoredAny;

use crate::{
    error::CheckpointError,
    pointer::{BEST, CHECKPOINTS, LAST},
    store::CheckpointStore,
    verify,
};

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
/// [`CheckpointError::NotFound`] if `path` is none of these, [`CheckpointError::Damaged`] with the file's name.
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
