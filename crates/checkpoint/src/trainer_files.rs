//! what the optimizer remembers, master weights ↔ trainer/*.safetensors, by name

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use itera_formats::{Kind, read_safetensors, write_safetensors};
use itera_shape::{TensorRef, TensorSpec};

use crate::{
    error::{CheckpointError, Damage},
    verify::damaged,
};

const OPTIMIZER_FILE: &str = "trainer/optimizer.safetensors";
const WEIGHTS_FILE: &str = "trainer/weights.safetensors";

/// Numbers of each tensor, in the order of the tensor table.
type Values = Vec<Vec<f32>>;

/// Write what the optimizer remembers.
pub(crate) fn write_optimizer(dir: &Path, tensors: &[TensorRef<'_>]) -> Result<(), CheckpointError> {
    Ok(write_safetensors(&dir.join(OPTIMIZER_FILE), tensors, Kind::F32)?)
}

/// What the optimizer remembered.
pub(crate) fn read_optimizer(dir: &Path) -> Result<SavedTensors, CheckpointError> {
    SavedTensors::open(dir, OPTIMIZER_FILE)
}

/// Write the weights that a run goes on from, where `model.safetensors` holds rounded ones.
pub(crate) fn write_master_weights(dir: &Path, weights: &[TensorRef<'_>]) -> Result<(), CheckpointError> {
    Ok(write_safetensors(&dir.join(WEIGHTS_FILE), weights, Kind::F32)?)
}

/// The weights that a run goes on from; `None` if `model.safetensors` has them. The seal lists the files, so that a lost
/// file is an error.
pub(crate) fn read_master_weights(dir: &Path, specs: &[TensorSpec]) -> Result<Option<Values>, CheckpointError> {
    if !dir.join(WEIGHTS_FILE).is_file() {
        return Ok(None);
    }
    let mut saved = SavedTensors::open(dir, WEIGHTS_FILE)?;
    specs.iter().map(|spec| saved.take(&spec.name, spec.n_params())).collect::<Result<_, _>>().map(Some)
}

/// The tensors of a file, to be taken by name.
#[derive(Debug)]
pub struct SavedTensors {
    path: PathBuf,
    tensors: HashMap<String, Vec<f32>>,
}

impl SavedTensors {
    fn open(dir: &Path, file: &str) -> Result<Self, CheckpointError> {
        let path = dir.join(file);
        let tensors = read_safetensors(&path)?;
        Ok(Self { path, tensors: tensors.into_iter().map(|tensor| (tensor.name, tensor.data)).collect() })
    }

    /// The tensor `name` of `len` values. It can be taken once.
    ///
    /// # Errors
    /// [`CheckpointError::Damaged`] if there is none of this length.
    pub fn take(&mut self, name: &str, len: usize) -> Result<Vec<f32>, CheckpointError> {
        let found = self.tensors.remove(name).filter(|values| values.len() == len);
        found.ok_or_else(|| damaged(&self.path, Damage::NoTensor { tensor: name.into(), len }))
    }
}
