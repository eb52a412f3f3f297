//! configuration + tensors ⇄ a directory that `from_pretrained` opens.

use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::path::Path;

use itera_files::{MappedFile, failed_to, write_atomic};
use itera_kernels::quant::{Kind, dequantize};
use itera_shape::{ModelConfig, NamedTensor, SpecialIds, TensorRef, TensorSpec};
use serde_json::Value;

use super::{Stored, config_json, generation_config_json, names, parse_config, stored};
use crate::{FormatError, Result, write_safetensors};

pub(crate) const CONFIG: &str = "config.json";
pub(super) const GENERATION_CONFIG: &str = "generation_config.json";
pub(crate) const WEIGHTS: &str = "model.safetensors";

/// Longest `config.json` that is read: a hundred times the longest in use.
const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// A model as a directory describes it, all of it in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct HfModel {
    /// Its shape; a valid configuration.
    pub config: ModelConfig,
    /// Its special tokens.
    pub special_ids: SpecialIds,
    /// Its weights by our names: exactly [`ModelConfig::tensors`], in that order, each with the shape given there.
    pub tensors: Vec<NamedTensor>,
}

/// Writes `config.json`, `generation_config.json` and `model.safetensors`, each atomically, into a directory that is
/// created if absent. Tensors are given by our names, in any order, and written as `kind`: F32,
/// F16 or BF16.
///
/// # Errors
///
/// If the configuration is not valid, if the tensors are not exactly [`ModelConfig::tensors`], or if a file cannot be
/// written.
pub fn write_model_dir(
    dir: &Path,
    config: &ModelConfig,
    special_ids: &SpecialIds,
    tensors: &[TensorRef<'_>],
    kind: Kind,
) -> Result<()> {
    let weights = dir.join(WEIGHTS);
    let tensors = of_model(&weights, config, tensors)?;

    let renamed: Vec<_> = config.tensors().iter().map(hf_name_and_shape).collect();
    let renamed: Vec<_> = renamed
        .iter()
        .zip(&tensors)
        .map(|((name, shape), tensor)| TensorRef { name, shape, data: tensor.data })
        .collect();
    fs::create_dir_all(dir).map_err(failed_to("create", dir))?;
    write_safetensors(&weights, &renamed, kind)?;
    write_json(&dir.join(GENERATION_CONFIG), &generation_config_json(config, special_ids))?;
    write_json(&dir.join(CONFIG), &config_json(config, special_ids, kind))
}

/// Reads a model directory, ours or one that `transformers` wrote.
///
/// # Errors
///
/// If a file is absent or damaged, if `config.json` asks for what has no counterpart here, or if the tensors are not
/// exactly those, in name and shape, that it demands.
pub fn read_model_dir(dir: &Path) -> Result<HfModel> {
    let (config, special_ids) = read_config(&dir.join(CONFIG))?;
    let weights = dir.join(WEIGHTS);
    let file = MappedFile::open(&weights)?;
    let numbers = |(spec, stored): (TensorSpec, Stored)| {
        let mut data = vec![0.0; spec.n_params()];
        dequantize(stored.kind, stored.bytes(file.bytes()), &mut data);
        NamedTensor { name: spec.name, shape: spec.shape, data }
    };
    let stored = stored_in_order(&weights, &config, file.bytes())?;
    let tensors = config.tensors().into_iter().zip(stored).map(numbers).collect();
    Ok(HfModel { config, special_ids, tensors })
}

/// The tensors in `file` that the configuration demands, in its order.
pub(super) fn stored_in_order(path: &Path, config: &ModelConfig, file: &[u8]) -> Result<Vec<Stored>> {
    let ours = |tensor: Stored| (names::from_hf(&tensor.name).unwrap_or_else(|| tensor.name.clone()), tensor);
    let found = stored(path, file)?.into_iter().map(ours);
    in_order(path, config, found, |spec, tensor| (tensor.shape.clone(), hf_name_and_shape(spec).1))
}

pub(super) fn hf_name_and_shape(spec: &TensorSpec) -> (String, Vec<usize>) {
    let name = names::to_hf(&spec.name).expect("every tensor of the family has a published name");
    (name, names::hf_shape(&spec.name, &spec.shape))
}

/// Tensors by our names, found to be exactly those of a valid configuration, in its order. Errors name `path`.
pub(crate) fn of_model<'a>(path: &Path, config: &ModelConfig, tensors: &[TensorRef<'a>]) -> Result<Vec<TensorRef<'a>>> {
    config.validate()?;
    let given = tensors.iter().map(|tensor| (tensor.name.to_owned(), *tensor));
    in_order(path, config, given, |spec, tensor| (tensor.shape.to_vec(), spec.shape.clone()))
}

/// The tensors that the configuration demands, in its order; `shapes` gives the found and the expected one.
pub(crate) fn in_order<T>(
    path: &Path,
    config: &ModelConfig,
    tensors: impl Iterator<Item = (String, T)>,
    shapes: impl Fn(&TensorSpec, &T) -> (Vec<usize>, Vec<usize>),
) -> Result<Vec<T>> {
    let (mut by_name, mut unexpected) = (HashMap::new(), Vec::new());
    for (name, tensor) in tensors {
        if by_name.insert(name.clone(), tensor).is_some() {
            unexpected.push(name);
        }
    }
    let (mut ordered, mut missing) = (Vec::new(), Vec::new());
    for spec in config.tensors() {
        let Some(tensor) = by_name.remove(&spec.name) else {
            missing.push(spec.name);
            continue;
        };
        let (found, expected) = shapes(&spec, &tensor);
        if found != expected {
            return Err(FormatError::Shape { path: path.to_owned(), tensor: spec.name, expected, found });
        }
        ordered.push(tensor);
    }
    unexpected.extend(by_name.into_keys());
    unexpected.sort();
    if missing.is_empty() && unexpected.is_empty() {
        Ok(ordered)
    } else {
        Err(FormatError::Names { path: path.to_owned(), missing, unexpected })
    }
}

fn write_json(path: &Path, value: &Value) -> Result<()> {
    Ok(write_atomic(path, &json_text(value))?)
}

pub(super) fn json_text(value: &Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}

pub(super) fn read_config(path: &Path) -> Result<(ModelConfig, SpecialIds)> {
    parse_config(&read_config_json(path)?)
        .map_err(|source| FormatError::File { path: path.to_owned(), source: source.into() })
}

/// What a `config.json` says, whatever that is.
pub(crate) fn read_config_json(path: &Path) -> Result<Value> {
    let file = fs::File::open(path).map_err(failed_to("read", path))?;
    let mut text = Vec::new();
    file.take(MAX_CONFIG_BYTES + 1).read_to_end(&mut text).map_err(failed_to("read", path))?;
    if text.len() as u64 > MAX_CONFIG_BYTES {
        return Err(FormatError::TooLarge { path: path.to_owned(), max_bytes: MAX_CONFIG_BYTES });
    }
    serde_json::from_slice(&text)
        .map_err(|error| FormatError::File { path: path.to_owned(), source: FormatError::Json(error).into() })
}
