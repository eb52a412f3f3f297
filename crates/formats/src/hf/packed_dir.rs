//! packed tensors → a directory that `from_pretrained` opens, in the layout of compressed-tensors.
//!
//! ```text
//! a matrix of an nn.Linear in q4_0      ─▶ X.weight_packed I32 [rows, cols/8], X.weight_scale F16 [rows, cols/32], X.weight_shape
//! … in f8_e4m3, if none is in q4_0      ─▶ X.weight F8_E4M3, X.weight_scale F32 [1], which is 1
//! any other                             ─▶ X.weight, its numbers as they are: F32, F16, BF16, F8_E4M3
//! ```
//!
//! `transformers` (5.23) decompresses modules alone. The embedding, which the head is tied to, the experts and the router
//! are parameters to it: it loads their numbers, of any type, and knows no scale for them.

use std::fs;
use std::path::Path;

use itera_files::{failed_to, write_atomic};
use itera_kernels::quant::Kind;
use itera_shape::{ModelConfig, SpecialIds, TensorRole, TensorSpec};
use safetensors::Dtype;
use serde_json::Value;

use super::compressed::{QUANTIZATION, Scheme};
use super::json::json_text;
use super::model_dir::{CONFIG, GENERATION_CONFIG, hf_name_and_shape, in_order, own_name_and_shape};
use super::shards::WEIGHTS;
use super::stored::CODES_A_WORD;
use super::{config_json, generation_config_json, int4};
use crate::tensors::{Encoded, dtype_of, encode};
use crate::{FormatError, PackedTensor, Result};

/// The kind that a tensor gets in a directory whose matrices are to be `kind`: q4_0 is for modules with whole blocks, and
/// f8_e4m3 stands in for it elsewhere; what is no matrix is F32.
pub fn kind_in_dir(spec: &TensorSpec, kind: Kind) -> Kind {
    let cols = spec.shape.last().copied().unwrap_or(1);
    match kind {
        _ if !spec.role.is_matrix() => Kind::F32,
        Kind::Q4_0 if !is_module(spec) || kind.row_bytes(cols).is_none() => Kind::F8E4M3,
        kind => kind,
    }
}

/// Writes `config.json`, `generation_config.json` and `model.safetensors`, each atomically, into a directory that is
/// created if absent. Tensors are given by the names of [`ModelConfig::tensors`], in any order.
///
/// # Errors
///
/// If the configuration is not valid, the tensors are not exactly those of it, one is of a kind that it cannot have in
/// such a directory, or a file cannot be written.
pub fn write_packed_dir(
    dir: &Path,
    config: &ModelConfig,
    special_ids: &SpecialIds,
    tensors: &[PackedTensor],
) -> Result<()> {
    let files = files(config, special_ids, tensors)?;
    fs::create_dir_all(dir).map_err(failed_to("create", dir))?;
    Ok(files.iter().try_for_each(|(name, bytes)| write_atomic(&dir.join(name), bytes))?)
}

/// The bytes of the files that [`write_packed_dir`] would write.
///
/// # Errors
///
/// As [`write_packed_dir`], but for those of writing.
pub fn packed_dir_size_bytes(
    config: &ModelConfig,
    special_ids: &SpecialIds,
    tensors: &[PackedTensor],
) -> Result<usize> {
    Ok(files(config, special_ids, tensors)?.iter().map(|(_, bytes)| bytes.len()).sum())
}

/// Whether `transformers` has the tensor as the weight of an `nn.Linear`.
fn is_module(spec: &TensorSpec) -> bool {
    use TensorRole::*;
    matches!(spec.role, InProj | OutProj | Attention | Shared | Head)
}

fn files(
    config: &ModelConfig,
    special_ids: &SpecialIds,
    tensors: &[PackedTensor],
) -> Result<[(&'static str, Vec<u8>); 3]> {
    config.validate()?;
    let path = Path::new(WEIGHTS);
    let given = tensors.iter().map(|tensor| (tensor.name().to_owned(), tensor));
    let tensors = in_order(path, config, given, own_name_and_shape, |tensor| tensor.shape().to_vec())?;
    let specs = config.tensors();

    let any_module = |kind| specs.iter().zip(&tensors).any(|(spec, tensor)| is_module(spec) && tensor.kind() == kind);
    let scheme = match () {
        () if any_module(Kind::Q4_0) => Some(Scheme::Int4),
        () if any_module(Kind::F8E4M3) => Some(Scheme::Fp8),
        () => None,
    };
    let (mut encoded, mut modules) = (Vec::new(), Vec::new());
    for (spec, tensor) in specs.iter().zip(tensors) {
        let (name, shape) = hf_name_and_shape(spec);
        let with = |suffix: &str| format!("{name}{suffix}");
        let scheme = scheme.filter(|_| is_module(spec));
        if scheme.is_some_and(|scheme| tensor.kind() == scheme.kind()) {
            modules.extend(name.strip_suffix(".weight").map(str::to_owned));
        }
        match (scheme, tensor.kind(), tensor.shape()) {
            (Some(Scheme::Int4), Kind::Q4_0, &[rows, cols]) => {
                let (words, scales) = int4::words_and_scales(tensor.bytes());
                let sizes: Vec<u8> = [rows, cols].iter().flat_map(|size| (*size as i64).to_le_bytes()).collect();
                encoded.extend([
                    part(with("_packed"), Dtype::I32, &[rows, cols / CODES_A_WORD], words),
                    part(with("_scale"), Dtype::F16, &[rows, cols / int4::GROUP], scales),
                    part(with("_shape"), Dtype::I64, &[2], sizes),
                ]);
            }
            (scheme, kind, _) => {
                let dtype = dtype_of(kind).ok_or_else(|| FormatError::Key {
                    key: spec.name.clone(),
                    found: kind.name().to_owned(),
                    supported: "in a directory f32, f16, bf16, f8_e4m3, and for modules of `transformers` q4_0"
                        .to_owned(),
                })?;
                if (scheme, kind) == (Some(Scheme::Fp8), Kind::F8E4M3) {
                    encoded.push(part(with("_scale"), Dtype::F32, &[1], 1f32.to_le_bytes().to_vec()));
                }
                encoded.push(Encoded { name, dtype, shape, bytes: tensor.bytes().into() });
            }
        }
    }
    let mut described = config_json(config, special_ids, Kind::F32);
    if let (Some(scheme), Value::Object(described)) = (scheme, &mut described) {
        described.insert(QUANTIZATION.to_owned(), scheme.describe(&modules));
    }
    Ok([
        (WEIGHTS, encode(path, encoded)?),
        (GENERATION_CONFIG, json_text(&generation_config_json(config, special_ids))),
        (CONFIG, json_text(&described)),
    ])
}

fn part(name: String, dtype: Dtype, shape: &[usize], bytes: Vec<u8>) -> Encoded<'static> {
    Encoded { name, dtype, shape: shape.to_vec(), bytes: bytes.into() }
}
