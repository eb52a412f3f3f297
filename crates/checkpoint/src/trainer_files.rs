//! moments, master weights ↔ trainer/*.safetensors, by the names of the tensor table

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use itera_formats::{Kind, read_safetensors, write_safetensors};
use itera_shape::{TensorRef, TensorSpec};

use crate::{error::CheckpointError, verify::damaged};

const OPTIMIZER_FILE: &str = "trainer/optimizer.safetensors";
const WEIGHTS_FILE: &str = "trainer/weights.safetensors";

/// Numbers of each tensor, in the order of the tensor table.
type Values = Vec<Vec<f32>>;

/// Write the moments of each weight as `m.name` and `v.name`.
pub(crate) fn write_moments(
    dir: &Path,
    weights: &[TensorRef<'_>],
    first: &[&[f32]],
    second: &[&[f32]],
) -> Result<(), CheckpointError> {
    let names: Vec<[String; 2]> = weights.iter().map(|w| ["m", "v"].map(|part| format!("{part}.{}", w.name))).collect();
    let mut tensors = Vec::new();
    for ((weight, [m, v]), (first, second)) in weights.iter().zip(&names).zip(first.iter().zip(second)) {
        tensors.push(TensorRef { name: m, shape: weight.shape, data: first });
        tensors.push(TensorRef { name: v, shape: weight.shape, data: second });
    }
    Ok(write_safetensors(&dir.join(OPTIMIZER_FILE), &tensors, Kind::F32)?)
}

/// First and second moments.
pub(crate) fn read_moments(dir: &Path, specs: &[TensorSpec]) -> Result<(Values, Values), CheckpointError> {
    let mut file = TensorFile::open(dir, OPTIMIZER_FILE)?;
    Ok((file.take("m.", specs)?, file.take("v.", specs)?))
}

/// Write the weights that a run goes on from, where `model.safetensors` holds rounded ones.
pub(crate) fn write_master_weights(dir: &Path, weights: &[TensorRef<'_>]) -> Result<(), CheckpointError> {
    Ok(write_safetensors(&dir.join(WEIGHTS_FILE), weights, Kind::F32)?)
}

/// The weights that a run goes on from; `None` if they are those of `model.safetensors`. The seal says which files there
/// are, so that a lost one is not taken for one that never was.
pub(crate) fn read_master_weights(dir: &Path, specs: &[TensorSpec]) -> Result<Option<Values>, CheckpointError> {
    if !dir.join(WEIGHTS_FILE).is_file() {
        return Ok(None);
    }
    TensorFile::open(dir, WEIGHTS_FILE)?.take("", specs).map(Some)
}

/// A file whose tensors are taken by name.
struct TensorFile {
    path: PathBuf,
    tensors: HashMap<String, Vec<f32>>,
}

impl TensorFile {
    fn open(dir: &Path, file: &str) -> Result<Self, CheckpointError> {
        let path = dir.join(file);
        let tensors = read_safetensors(&path)?;
        Ok(Self { path, tensors: tensors.into_iter().map(|tensor| (tensor.name, tensor.data)).collect() })
    }

    /// One tensor for each of the table, its name behind `prefix`.
    fn take(&mut self, prefix: &str, specs: &[TensorSpec]) -> Result<Values, CheckpointError> {
        let take_one = |spec: &TensorSpec| {
            let name = format!("{prefix}{}", spec.name);
            let found = self.tensors.remove(&name).filter(|values| values.len() == spec.n_params());
            found.ok_or_else(|| damaged(&self.path, format!("it has no `{name}` of {} values", spec.n_params())))
        };
        specs.iter().map(take_one).collect()
    }
}
