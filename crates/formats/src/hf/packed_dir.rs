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

use std::borrow::Borrow;
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
use crate::{
    error::{FormatError, Result},
    packed::{PackedTensor, TensorLayout},
    tensors::{Described, Encoded, dtype_of, encode, header_of},
};

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
/// If the configuration is not valid, the tensors do not match it exactly, one has a kind that such a directory does not
/// allow for it, or a file cannot be written.
pub fn write_packed_dir(
    dir: &Path,
    config: &ModelConfig,
    special_ids: &SpecialIds,
    tensors: &[PackedTensor],
) -> Result<()> {
    let Planned { entries, texts } = plan(config, special_ids, tensors)?;
    let weights = encode(WEIGHTS.as_ref(), entries.into_iter().map(Entry::encoded).collect())?;
    fs::create_dir_all(dir).map_err(failed_to("create", dir))?;
    write_atomic(&dir.join(WEIGHTS), &weights)?;
    Ok(texts.iter().try_for_each(|(name, bytes)| write_atomic(&dir.join(name), bytes))?)
}

/// The bytes of the files that [`write_packed_dir`] would write for tensors of these layouts.
///
/// # Errors
///
/// As [`write_packed_dir`], except that nothing is written.
pub fn packed_dir_size_bytes<T: Borrow<TensorLayout>>(
    config: &ModelConfig,
    special_ids: &SpecialIds,
    tensors: &[T],
) -> Result<usize> {
    let Planned { entries, texts } = plan(config, special_ids, tensors)?;
    let mut described: Vec<Described<'_>> = entries.iter().map(Entry::described).collect();
    described.sort_by_key(|entry| entry.name);
    let numbers: usize = described.iter().map(|entry| entry.size_bytes).sum();
    let header = header_of(WEIGHTS.as_ref(), described.into_iter())?;
    Ok(header.len() + numbers + texts.iter().map(|(_, bytes)| bytes.len()).sum::<usize>())
}

/// Whether `transformers` has the tensor as the weight of an `nn.Linear`.
fn is_module(spec: &TensorSpec) -> bool {
    use TensorRole::*;
    matches!(spec.role, InProj | OutProj | Attention | Shared | Head)
}

/// What will be in the files.
struct Planned<'a, T> {
    /// Tensors of the weights' file.
    entries: Vec<Entry<'a, T>>,
    /// The other files, whole.
    texts: [(&'static str, Vec<u8>); 2],
}

/// A tensor of the weights' file.
struct Entry<'a, T> {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    /// The tensor of the model that it is from.
    tensor: &'a T,
    content: Content,
}

/// What of the model's tensor is in one of the file.
enum Content {
    Numbers,
    /// 4-bit codes.
    Words,
    /// The scale of each group of codes.
    GroupScales,
    /// Rows and columns of what was packed.
    Shape,
    /// A scale of 1.
    One,
}

impl<T> Entry<'_, T> {
    fn described(&self) -> Described<'_> {
        let size_bytes = self.shape.iter().product::<usize>() * self.dtype.bitsize() / 8;
        Described { name: &self.name, dtype: self.dtype, shape: &self.shape, size_bytes }
    }
}

impl<'a> Entry<'a, PackedTensor> {
    fn encoded(self) -> Encoded<'a> {
        let bytes = match self.content {
            Content::Numbers => self.tensor.bytes().into(),
            Content::Words => int4::words_and_scales(self.tensor.bytes()).0.into(),
            Content::GroupScales => int4::words_and_scales(self.tensor.bytes()).1.into(),
            Content::Shape => {
                self.tensor.shape().iter().flat_map(|size| (*size as i64).to_le_bytes()).collect::<Vec<u8>>().into()
            }
            Content::One => 1f32.to_le_bytes().to_vec().into(),
        };
        Encoded { name: self.name, dtype: self.dtype, shape: self.shape, bytes }
    }
}

fn plan<'a, T: Borrow<TensorLayout>>(
    config: &ModelConfig,
    special_ids: &SpecialIds,
    tensors: &'a [T],
) -> Result<Planned<'a, T>> {
    config.validate()?;
    let given = tensors.iter().map(|tensor| (tensor.borrow().name().to_owned(), tensor));
    let shape_of = |tensor: &&T| (*tensor).borrow().shape().to_vec();
    let tensors = in_order(WEIGHTS.as_ref(), config, given, own_name_and_shape, shape_of)?;
    let specs = config.tensors();

    let any_module =
        |kind| specs.iter().zip(&tensors).any(|(spec, tensor)| is_module(spec) && (*tensor).borrow().kind() == kind);
    let scheme = match () {
        () if any_module(Kind::Q4_0) => Some(Scheme::Int4),
        () if any_module(Kind::F8E4M3) => Some(Scheme::Fp8),
        () => None,
    };
    let (mut entries, mut modules) = (Vec::new(), Vec::new());
    for (spec, tensor) in specs.iter().zip(tensors) {
        let (name, shape) = hf_name_and_shape(spec);
        let layout: &TensorLayout = tensor.borrow();
        let scheme = scheme.filter(|_| is_module(spec));
        if scheme.is_some_and(|scheme| layout.kind() == scheme.kind()) {
            modules.extend(name.strip_suffix(".weight").map(str::to_owned));
        }
        let entry = |suffix: &str, dtype, shape: &[usize], content| Entry {
            name: format!("{name}{suffix}"),
            dtype,
            shape: shape.to_vec(),
            tensor,
            content,
        };
        match (scheme, layout.kind(), layout.shape()) {
            (Some(Scheme::Int4), Kind::Q4_0, &[rows, cols]) => entries.extend([
                entry("_packed", Dtype::I32, &[rows, cols / CODES_A_WORD], Content::Words),
                entry("_scale", Dtype::F16, &[rows, cols / int4::GROUP], Content::GroupScales),
                entry("_shape", Dtype::I64, &[2], Content::Shape),
            ]),
            (scheme, kind, _) => {
                let dtype = dtype_of(kind).ok_or_else(|| FormatError::Key {
                    key: spec.name.clone(),
                    found: kind.name().to_owned(),
                    supported: "in a directory f32, f16, bf16, f8_e4m3, and for modules of `transformers` q4_0"
                        .to_owned(),
                })?;
                if (scheme, kind) == (Some(Scheme::Fp8), Kind::F8E4M3) {
                    entries.push(entry("_scale", Dtype::F32, &[1], Content::One));
                }
                entries.push(entry("", dtype, &shape, Content::Numbers));
            }
        }
    }
    let mut described = config_json(config, special_ids, Kind::F32);
    if let (Some(scheme), Value::Object(described)) = (scheme, &mut described) {
        described.insert(QUANTIZATION.to_owned(), scheme.describe(&modules));
    }
    let generation = json_text(&generation_config_json(config, special_ids));
    Ok(Planned { entries, texts: [(GENERATION_CONFIG, generation), (CONFIG, json_text(&described))] })
}
