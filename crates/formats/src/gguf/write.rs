//! a model in f32 → a GGUF file that llama.cpp loads.
//!
//! ```text
//! config, special ids, vocabulary ──▶ metadata ─┐
//! packed tensors ──▶ pieces ──▶ rows of blocks ─┴──▶ file, written front to back, published when it is whole
//! ```
//!
//! As llama.cpp's converter does it, but for what that gets wrong for small models, or loses: the context is the one that
//! the model promises and not 2²⁰ (with which llama.cpp would size its state), the one MLP of a dense model gives its
//! width as `feed_forward_length`, positions are rotated where the model says so, and a text begins with bos.

use std::borrow::Borrow;
use std::io::Write;
use std::path::Path;

use itera_files::write_atomic_with;
use itera_kernels::quant::Kind;
use itera_shape::{LayerKind, ModelConfig, SpecialIds};

use super::config::{architecture, describe};
use super::file::{ALIGNMENT, MAGIC};
use super::metadata::{Metadata, put_text};
use super::names::{Stored, stored};
use super::vocabulary::Vocabulary;
use super::{rotary, tensor_type};
use crate::{
    error::{FormatError, LlamaCppLimit, Result},
    finite::check_storable,
    hf::{in_order, own_name_and_shape},
    model_file::Piece,
    packed::{PackedTensor, TensorLayout},
};

/// Version of the format that is written.
const VERSION: u32 = 3;

/// Version of the block layouts.
const QUANTIZATION_VERSION: usize = 2;

/// Most layers, and most experts, that llama.cpp has room for.
const MAX_LAYERS: usize = 512;
const MAX_EXPERTS: usize = 512;

/// A model to be written.
#[derive(Clone, Copy, Debug)]
pub struct GgufSource<'a, T = PackedTensor> {
    /// What people call it.
    pub name: &'a str,
    /// Its shape.
    pub config: &'a ModelConfig,
    /// Its special tokens.
    pub special_ids: SpecialIds,
    /// Its tokenizer, of at most as many tokens as the model has.
    pub vocabulary: &'a Vocabulary<'a>,
    /// Its weights, or their [layouts](TensorLayout) where only the size is asked for, by the names of
    /// [`ModelConfig::tensors`], in any order. Those that are no matrices are F32.
    pub tensors: &'a [T],
}

/// A tensor that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenTensor {
    /// Its name in the file.
    pub name: String,
    /// How its numbers are stored.
    pub kind: Kind,
    /// Its numbers.
    pub n_params: usize,
    /// Bytes that they take.
    pub size_bytes: usize,
}

/// Writes a model as GGUF, atomically, and returns its tensors as they were stored.
///
/// # Errors
///
/// [`FormatError::NotForLlamaCpp`] for a model that llama.cpp fails on, unless `allow_unsupported`. Otherwise if the
/// configuration is not valid, the tensors do not match it exactly, the vocabulary or the special ids do not fit it, or the
/// file cannot be written.
pub fn write_gguf(path: &Path, source: &GgufSource<'_>, allow_unsupported: bool) -> Result<Vec<WrittenTensor>> {
    let parts = parts(path, source, allow_unsupported)?;
    for tensor in source.tensors.iter().filter(|tensor| tensor.name().ends_with(".a_log")) {
        let decays: Vec<f32> = tensor.numbers().into_iter().map(decay).collect();
        check_storable(tensor.name(), Kind::F32, &decays)?;
    }
    let header = header(source, &parts);
    write_atomic_with(path, |file| {
        file.write_all(&header)?;
        parts.iter().try_for_each(|part| part.write(source.config, file))
    })?;
    Ok(parts.into_iter().map(|part| part.written).collect())
}

/// The bytes of the file that [`write_gguf`] would write.
///
/// # Errors
///
/// As [`write_gguf`], except that no number is checked and nothing is written.
pub fn gguf_size_bytes<T: Borrow<TensorLayout>>(source: &GgufSource<'_, T>, allow_unsupported: bool) -> Result<usize> {
    let parts = parts("the file to be".as_ref(), source, allow_unsupported)?;
    let data = parts.iter().map(|part| part.written.size_bytes.next_multiple_of(ALIGNMENT)).sum::<usize>();
    Ok(header(source, &parts).len() + data)
}

/// The tensors of the file, everything about `source` checked but its numbers.
fn parts<'a, T: Borrow<TensorLayout>>(
    path: &Path,
    source: &GgufSource<'a, T>,
    allow_unsupported: bool,
) -> Result<Vec<Part<'a, T>>> {
    let config = source.config;
    config.validate()?;
    let given = source.tensors.iter().map(|tensor| (tensor.borrow().name().to_owned(), tensor));
    let shape_of = |tensor: &&T| (*tensor).borrow().shape().to_vec();
    let tensors = in_order(path, config, given, own_name_and_shape, shape_of)?;
    if !allow_unsupported {
        check_for_llama_cpp(config)?;
    }
    check_tokens(source)?;
    let specs = config.tensors();
    for (spec, tensor) in specs.iter().zip(&tensors) {
        let kind = (*tensor).borrow().kind();
        let supported = match tensor_type::codes(kind) {
            _ if !spec.role.is_matrix() && kind != Kind::F32 => "f32".to_owned(),
            None => format!("in GGUF {}", tensor_type::names()),
            Some(_) => continue,
        };
        return Err(FormatError::Key { key: spec.name.clone(), found: kind.name().to_owned(), supported });
    }
    let parts = specs
        .iter()
        .zip(tensors)
        .flat_map(|(spec, tensor)| stored(config, spec).into_iter().map(move |stored| Part::new(stored, tensor)));
    Ok(parts.collect())
}

fn check_for_llama_cpp(config: &ModelConfig) -> Result<()> {
    let kinds = config.layer_kinds();
    let has = |kind| kinds.contains(&kind);
    let ModelConfig { expand, n_layers, n_experts, .. } = *config;
    let limit = match () {
        () if !has(LayerKind::Attention) => LlamaCppLimit::NoAttention,
        () if has(LayerKind::Mamba) && expand != 2 => LlamaCppLimit::Expand { expand },
        () if n_layers > MAX_LAYERS => LlamaCppLimit::Layers { found: n_layers, most: MAX_LAYERS },
        () if n_experts > MAX_EXPERTS => LlamaCppLimit::Experts { found: n_experts, most: MAX_EXPERTS },
        () => return Ok(()),
    };
    Err(FormatError::NotForLlamaCpp(limit))
}

fn check_tokens<T>(source: &GgufSource<'_, T>) -> Result<()> {
    let GgufSource { config: &ModelConfig { vocab_size, .. }, vocabulary, special_ids, .. } = *source;
    let n_tokens = vocabulary.tokens.len();
    let unsupported =
        |key: &str, found: String, supported: String| Err(FormatError::Key { key: key.to_owned(), found, supported });
    if n_tokens > vocab_size {
        let supported = format!("at most those of model.vocab_size, {vocab_size}");
        return unsupported("vocabulary.tokens", format!("{n_tokens} tokens"), supported);
    }
    let SpecialIds { bos, eos, pad } = special_ids;
    if let Some(id) = [bos, eos, pad].into_iter().find(|id| *id as usize >= vocab_size) {
        return unsupported("special_ids", id.to_string(), format!("ids below model.vocab_size, {vocab_size}"));
    }
    match vocabulary.specials.iter().find(|id| **id as usize >= n_tokens) {
        Some(id) => unsupported("vocabulary.specials", id.to_string(), format!("ids of the {n_tokens} tokens")),
        None => Ok(()),
    }
}

/// All that comes before the data, padding included.
fn header<T: Borrow<TensorLayout>>(source: &GgufSource<'_, T>, parts: &[Part<'_, T>]) -> Vec<u8> {
    let codes = |kind| tensor_type::codes(kind).expect("kinds were checked along with the parts");
    let config = source.config;
    let mut metadata = Metadata::default();
    metadata.text("general.architecture", architecture(config));
    metadata.text("general.type", "model");
    metadata.text("general.name", source.name);
    metadata.size("general.file_type", codes(main_kind(source.tensors)).1 as usize);
    metadata.size("general.quantization_version", QUANTIZATION_VERSION);
    describe(&mut metadata, config);
    source.vocabulary.describe(&mut metadata, source.special_ids, config.vocab_size);

    let mut bytes = MAGIC.to_vec();
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend((parts.len() as u64).to_le_bytes());
    bytes.extend(metadata.n_entries.to_le_bytes());
    bytes.extend(metadata.bytes);
    let mut start = 0_u64;
    for Part { shape, written, .. } in parts {
        put_text(&mut bytes, &written.name);
        bytes.extend((shape.len() as u32).to_le_bytes());
        bytes.extend(shape.iter().rev().flat_map(|size| (*size as u64).to_le_bytes()));
        bytes.extend(codes(written.kind).0.to_le_bytes());
        bytes.extend(start.to_le_bytes());
        start += written.size_bytes.next_multiple_of(ALIGNMENT) as u64;
    }
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
    bytes
}

/// The kind of most numbers.
fn main_kind<T: Borrow<TensorLayout>>(tensors: &[T]) -> Kind {
    let n_params = |kind| {
        let of_kind = tensors.iter().map(Borrow::borrow).filter(|tensor| tensor.kind() == kind);
        of_kind.map(|tensor| tensor.shape().iter().product::<usize>()).sum::<usize>()
    };
    // the first of equals
    Kind::all().into_iter().rev().max_by_key(|kind| n_params(*kind)).expect("there are kinds")
}

/// A tensor of the file: a piece of one of the model.
struct Part<'a, T> {
    tensor: &'a T,
    piece: Piece,
    shape: Vec<usize>,
    written: WrittenTensor,
}

impl<'a, T: Borrow<TensorLayout>> Part<'a, T> {
    fn new(stored: Stored, tensor: &'a T) -> Self {
        let Stored { name, shape, piece } = stored;
        let kind = tensor.borrow().kind();
        let n_params = shape.iter().product();
        // rows are whole blocks
        let size_bytes = n_params / kind.block_len() * kind.block_bytes();
        Self { tensor, piece, shape, written: WrittenTensor { name, kind, n_params, size_bytes } }
    }
}

impl Part<'_, PackedTensor> {
    fn write(&self, config: &ModelConfig, file: &mut dyn Write) -> std::io::Result<()> {
        let row_bytes = self.tensor.kind().row_bytes(self.piece.cols).expect("a packed tensor has whole blocks");
        for first_row in self.piece.first_rows() {
            let rows = &self.tensor.bytes()[first_row * row_bytes..][..self.piece.rows * row_bytes];
            match self.tensor.name().rsplit_once('.') {
                Some((_, "a_log")) => file.write_all(&decays(rows))?,
                Some((_, "q_proj" | "k_proj")) => {
                    file.write_all(&rotary::neighbours(rows, config.d_attention_head(), row_bytes))?;
                }
                _ => file.write_all(rows)?,
            }
        }
        let size_bytes = self.written.size_bytes;
        file.write_all(&[0; ALIGNMENT][..size_bytes.next_multiple_of(ALIGNMENT) - size_bytes])
    }
}

/// −exp(a_log) of each f32.
fn decays(logs: &[u8]) -> Vec<u8> {
    logs.as_chunks().0.iter().flat_map(|log| decay(f32::from_le_bytes(*log)).to_le_bytes()).collect()
}

fn decay(log: f32) -> f32 {
    -f64::from(log).exp() as f32
}
