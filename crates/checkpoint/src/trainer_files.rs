//! moments, master weights ↔ trainer/*.safetensors, by the names of the tensor table

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use itera_config::TensorSpec;
use itera_formats::{Kind, TensorRef};
use itera_model::Parameter;

use crate::{error::CheckpointError, verify::damaged};

const OPTIMIZER_FILE: &str = "trainer/optimizer.safetensors";
const WEIGHTS_FILE: &str = "trainer/weights.safetensors";

/// Tensors in the order of the model's parameters.
type Values = Vec<Vec<f32>>;

/// Write the moments of each parameter as `m.name` and `v.name`.
pub(crate) fn write_moments(
    dir: &Path,
    parameters: &[Parameter],
    first: &[Vec<f32>],
    second: &[Vec<f32>],
) -> Result<(), CheckpointError> {
    let names: Vec<(String, String)> =
        parameters.iter().map(|p| (format!("m.{}", p.name), format!("v.{}", p.name))).collect();
    let mut tensors = Vec::new();
    for ((parameter, (m, v)), (first, second)) in parameters.iter().zip(&names).zip(first.iter().zip(second)) {
        tensors.push(TensorRef { name: m, shape: &parameter.shape, data: first });
        tensors.push(TensorRef { name: v, shape: &parameter.shape, data: second });
    }
    itera_formats::write_safetensors(&dir.join(OPTIMIZER_FILE), &tensors, Kind::F32)?;
    Ok(())
}

/// First and second moments.
pub(crate) fn read_moments(dir: &Path, specs: &[TensorSpec]) -> Result<(Values, Values), CheckpointError> {
    let mut file = TensorFile::open(dir, OPTIMIZER_FILE)?;
    Ok((file.take("m.", specs)?, file.take("v.", specs)?))
}

/// Write the weights that a run goes on from, where `model.safetensors` holds rounded ones.
pub(crate) fn write_master_weights(dir: &Path, parameters: &[Parameter]) -> Result<(), CheckpointError> {
    let tensors: Vec<TensorRef<'_>> =
        parameters.iter().map(|p| TensorRef { name: &p.name, shape: &p.shape, data: &p.values }).collect();
    itera_formats::write_safetensors(&dir.join(WEIGHTS_FILE), &tensors, Kind::F32)?;
    Ok(())
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
        let tensors = itera_formats::read_safetensors(&path)?;
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
