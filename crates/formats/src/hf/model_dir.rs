//! configuration + tensors ⇄ a directory that `from_pretrained` opens.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use itera_files::{MappedFile, failed_to};
use itera_kernels::quant::{Kind, dequantize};
use itera_shape::{ModelConfig, NamedTensor, SpecialIds, TensorRef, TensorSpec};
use serde_json::Value;

use super::config::eos_ids;
use super::json::{in_file, read_json, write_json};
use super::shards::{Shard, WEIGHTS, open_weights};
use super::{Stored, config_json, generation_config_json, names, parse_config, stored};
use crate::{
    error::{FormatError, Result},
    finite::{check_finite, check_storable},
    tensors::write_safetensors,
};

pub(crate) const CONFIG: &str = "config.json";
pub(super) const GENERATION_CONFIG: &str = "generation_config.json";

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
/// If the configuration is not valid, if the tensors are not exactly [`ModelConfig::tensors`], if a number is not finite or
/// would not be as `kind`, or if a file cannot be written.
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
    tensors.iter().try_for_each(|tensor| check_storable(tensor.name, kind, tensor.data))?;
    fs::create_dir_all(dir).map_err(failed_to("create", dir))?;
    write_safetensors(&weights, &renamed, kind)?;
    write_json(&dir.join(GENERATION_CONFIG), &generation_config_json(config, special_ids))?;
    write_json(&dir.join(CONFIG), &config_json(config, special_ids, kind))
}

/// Reads a model directory, ours or one that `transformers` wrote.
///
/// # Errors
///
/// If a file is absent or damaged, if `config.json` asks for what has no counterpart here, if the tensors are not
/// exactly those, in name and shape, that it demands, or if a number is not finite.
pub fn read_model_dir(dir: &Path) -> Result<HfModel> {
    let Described { config, special_ids, .. } = read_described(dir)?;
    let shards = open_weights(dir, MappedFile::open)?;
    let numbers = |(spec, stored): (TensorSpec, Stored)| {
        let mut data = vec![0.0; spec.n_params()];
        dequantize(stored.kind, stored.bytes(&shards), &mut data);
        check_finite(shards[stored.shard].path(), &stored.name, 0, &data)?;
        Ok(NamedTensor { name: spec.name, shape: spec.shape, data })
    };
    let stored = stored_in_order(&config, &shards)?;
    let tensors = config.tensors().into_iter().zip(stored).map(numbers).collect::<Result<_>>()?;
    Ok(HfModel { config, special_ids, tensors })
}

/// The tensors in the files that the configuration demands, in its order. A head that is tied to the embedding may be
/// there as well, if it is the same.
pub(super) fn stored_in_order(config: &ModelConfig, shards: &[Shard]) -> Result<Vec<Stored>> {
    let mut found = stored(shards)?;
    if config.tie_embeddings
        && let Some(at) = found.iter().position(|tensor| tensor.name == names::HEAD)
        && let Some(embed) = found.iter().position(|tensor| tensor.name == names::EMBED)
    {
        if !is_same(&found[at], &found[embed], shards) {
            let (path, head) = (shards[found[at].shard].path().to_owned(), names::HEAD.to_owned());
            return Err(FormatError::Untied { path, head, embedding: names::EMBED.to_owned() });
        }
        found.remove(at);
    }
    let found = found.into_iter().map(|tensor| (tensor.name.clone(), tensor));
    in_order(shards[0].path(), config, found, hf_name_and_shape, |tensor| tensor.shape.clone())
}

/// Whether two tensors hold the same numbers, in whatever kinds.
fn is_same(one: &Stored, other: &Stored, shards: &[Shard]) -> bool {
    let numbers = |tensor: &Stored| {
        let mut numbers = vec![0.0; tensor.shape.iter().product()];
        dequantize(tensor.kind, tensor.bytes(shards), &mut numbers);
        numbers
    };
    one.shape == other.shape
        && if one.kind == other.kind {
            one.bytes(shards) == other.bytes(shards)
        } else {
            numbers(one) == numbers(other)
        }
}

pub(super) fn hf_name_and_shape(spec: &TensorSpec) -> (String, Vec<usize>) {
    let name = names::to_hf(&spec.name).expect("every tensor of the family has a published name");
    (name, names::hf_shape(&spec.name, &spec.shape))
}

/// Tensors by our names in the order of the configuration, once it is valid and they match it exactly. Errors name `path`.
pub(crate) fn of_model<'a>(path: &Path, config: &ModelConfig, tensors: &[TensorRef<'a>]) -> Result<Vec<TensorRef<'a>>> {
    config.validate()?;
    let given = tensors.iter().map(|tensor| (tensor.name.to_owned(), *tensor));
    in_order(path, config, given, own_name_and_shape, |tensor| tensor.shape.to_vec())
}

pub(crate) fn own_name_and_shape(spec: &TensorSpec) -> (String, Vec<usize>) {
    (spec.name.clone(), spec.shape.clone())
}

/// The tensors that the configuration demands, in its order, by the names and shapes that `demanded` gives to those of the
/// table.
pub(crate) fn in_order<T>(
    path: &Path,
    config: &ModelConfig,
    tensors: impl Iterator<Item = (String, T)>,
    demanded: impl Fn(&TensorSpec) -> (String, Vec<usize>),
    shape: impl Fn(&T) -> Vec<usize>,
) -> Result<Vec<T>> {
    let (mut by_name, mut unexpected) = (HashMap::new(), Vec::new());
    for (name, tensor) in tensors {
        if by_name.insert(name.clone(), tensor).is_some() {
            unexpected.push(name);
        }
    }
    let (mut ordered, mut missing) = (Vec::new(), Vec::new());
    for (name, expected) in config.tensors().iter().map(demanded) {
        let Some(tensor) = by_name.remove(&name) else {
            missing.push(name);
            continue;
        };
        let found = shape(&tensor);
        if found != expected {
            return Err(FormatError::Shape { path: path.to_owned(), tensor: name, expected, found });
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

/// What a directory says of its model besides the weights.
pub(super) struct Described {
    pub(super) config: ModelConfig,
    pub(super) special_ids: SpecialIds,
    /// Tokens other than eos that end a text too.
    pub(super) more_eos: Vec<u32>,
}

/// Reads `config.json`, and `generation_config.json` if there is one.
pub(super) fn read_described(dir: &Path) -> Result<Described> {
    let path = dir.join(CONFIG);
    let json = read_config_json(&path)?;
    let (config, special_ids) = parse_config(&json).map_err(in_file(&path))?;
    let mut more_eos = eos_ids(&json, config.vocab_size).map_err(in_file(&path))?;
    let path = dir.join(GENERATION_CONFIG);
    if path.exists() {
        let json = read_config_json(&path)?;
        more_eos.extend(eos_ids(&json, config.vocab_size).map_err(in_file(&path))?);
    }
    more_eos.retain(|id| *id != special_ids.eos);
    more_eos.sort_unstable();
    more_eos.dedup();
    Ok(Described { config, special_ids, more_eos })
}

/// What a `config.json` says, whatever that is.
///
/// # Errors
/// If it cannot be read, is longer than any of its kind, a pointer of Git LFS, or not JSON.
pub fn read_config_json(path: &Path) -> Result<Value> {
    read_json(path, MAX_CONFIG_BYTES)
}
