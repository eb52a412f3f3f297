//! a model in f32 → a GGUF file that llama.cpp loads.
//!
//! ```text
//! config, special ids, vocabulary ──▶ metadata ─┐
//! tensors ──▶ pieces ──▶ rows ──quantize──▶ blocks ─┴──▶ file, written front to back, published when it is whole
//! ```
//!
//! As llama.cpp's converter does it, but for what that gets wrong for small models, or loses: the context is the one that
//! the model promises and not 2²⁰ (with which llama.cpp would size its state), the one MLP of a dense model gives its
//! width as `feed_forward_length`, and positions are rotated where the model says so.

use std::borrow::Cow;
use std::io::Write;
use std::path::Path;

use itera_config::{LayerKind, ModelConfig};
use itera_kernels::quant::{Kind, quantize};

use super::config::{architecture, describe};
use super::file::{ALIGNMENT, MAGIC};
use super::metadata::{Metadata, put_text};
use super::names::{Stored, stored};
use super::vocabulary::Vocabulary;
use super::{kinds, rotary};
use crate::atomic::publish;
use crate::hf::{SpecialIds, of_model};
use crate::{FormatError, Result, TensorRef};

/// Version of the format that is written.
const VERSION: u32 = 3;

/// Version of the block layouts.
const QUANTIZATION_VERSION: usize = 2;

/// Numbers that are rounded at a time.
const CHUNK_LEN: usize = 1 << 14;

/// Most layers, and most experts, that llama.cpp has room for.
const MAX_LAYERS: usize = 512;
const MAX_EXPERTS: usize = 512;

/// A model to be written.
#[derive(Clone, Copy, Debug)]
pub struct GgufSource<'a> {
    /// What people call it.
    pub name: &'a str,
    /// Its shape.
    pub config: &'a ModelConfig,
    /// Its special tokens.
    pub special_ids: SpecialIds,
    /// Its tokenizer, of at most as many tokens as the model has.
    pub vocabulary: &'a Vocabulary<'a>,
    /// Its weights by the names of [`ModelConfig::tensors`], in any order.
    pub tensors: &'a [TensorRef<'a>],
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
/// Matrices are stored as `kind`, or as F16 if a row is no multiple of the block of that kind. Vectors, the taps of the
/// convolution and the router are F32: they are small, and llama.cpp takes no other.
///
/// # Errors
///
/// [`FormatError::NotForLlamaCpp`] for a model that llama.cpp fails on, unless `allow_unsupported`. Otherwise if the
/// configuration is not valid, the tensors are not exactly those of it, the vocabulary or the special ids do not fit it, or
/// the file cannot be written.
pub fn write_gguf(
    path: &Path,
    source: &GgufSource<'_>,
    kind: Kind,
    allow_unsupported: bool,
) -> Result<Vec<WrittenTensor>> {
    let config = source.config;
    let tensors = of_model(path, config, source.tensors)?;
    if !allow_unsupported {
        check_for_llama_cpp(config)?;
    }
    check_tokens(source)?;
    let specs = config.tensors();
    let parts: Vec<Part<'_>> = specs
        .iter()
        .zip(&tensors)
        .flat_map(|(spec, tensor)| {
            stored(config, spec).into_iter().map(|stored| Part::new(config, stored, tensor, kind))
        })
        .collect();
    let header = header(source, kind, &parts);
    publish(path, |file| {
        file.write_all(&header)?;
        parts.iter().try_for_each(|part| part.write(file))
    })?;
    Ok(parts.into_iter().map(|part| part.written).collect())
}

/// What llama.cpp stops at, or gets wrong in silence.
fn check_for_llama_cpp(config: &ModelConfig) -> Result<()> {
    let kinds = config.layer_kinds();
    let has = |kind| kinds.contains(&kind);
    let problem = if !has(LayerKind::Attention) {
        "it aborts where no layer is attention; make one of the layers attention".to_owned()
    } else if has(LayerKind::Mamba) && config.expand != 2 {
        format!("it aborts unless model.expand is 2, and here it is {}", config.expand)
    } else if config.n_layers > MAX_LAYERS {
        format!("it has room for {MAX_LAYERS} layers, and here are {}", config.n_layers)
    } else if config.n_experts > MAX_EXPERTS {
        format!("it has room for {MAX_EXPERTS} experts, and here are {}", config.n_experts)
    } else {
        return Ok(());
    };
    Err(FormatError::NotForLlamaCpp { problem })
}

fn check_tokens(source: &GgufSource<'_>) -> Result<()> {
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
fn header(source: &GgufSource<'_>, kind: Kind, parts: &[Part<'_>]) -> Vec<u8> {
    let config = source.config;
    let mut metadata = Metadata::default();
    metadata.text("general.architecture", architecture(config));
    metadata.text("general.type", "model");
    metadata.text("general.name", source.name);
    metadata.size("general.file_type", kinds::codes(kind).1 as usize);
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
        bytes.extend(kinds::codes(written.kind).0.to_le_bytes());
        bytes.extend(start.to_le_bytes());
        start += written.size_bytes.next_multiple_of(ALIGNMENT) as u64;
    }
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
    bytes
}

/// A tensor of the file and its numbers.
struct Part<'a> {
    shape: Vec<usize>,
    numbers: Vec<Cow<'a, [f32]>>,
    cols: usize,
    written: WrittenTensor,
}

impl<'a> Part<'a> {
    fn new(config: &ModelConfig, stored: Stored, tensor: &TensorRef<'a>, kind: Kind) -> Self {
        let Stored { name, shape, pieces } = stored;
        let cols = pieces[0].cols;
        let kind = match pieces[0].is_matrix {
            true if kind.row_bytes(cols).is_some() => kind,
            true => Kind::F16,
            false => Kind::F32,
        };
        let n_params = shape.iter().product();
        let rows_of = |piece: &crate::model_file::Piece| {
            let rows = &tensor.data[piece.first_row * cols..][..piece.rows * cols];
            match tensor.name.rsplit_once('.') {
                Some((_, "a_log")) => rows.iter().map(|log| -f64::from(*log).exp() as f32).collect(),
                Some((_, "q_proj" | "k_proj")) => rotary::neighbours(rows, config.d_attention_head(), cols).into(),
                _ => Cow::Borrowed(rows),
            }
        };
        let numbers = pieces.iter().map(rows_of).collect();
        let size_bytes = n_params / kind.block_len() * kind.block_bytes();
        Self { shape, numbers, cols, written: WrittenTensor { name, kind, n_params, size_bytes } }
    }

    fn write(&self, file: &mut dyn Write) -> std::io::Result<()> {
        let WrittenTensor { kind, size_bytes, .. } = self.written;
        let rows = (CHUNK_LEN / self.cols).max(1);
        let mut blocks = Vec::new();
        for numbers in self.numbers.iter().flat_map(|numbers| numbers.chunks(rows * self.cols)) {
            blocks.resize(numbers.len() / kind.block_len() * kind.block_bytes(), 0);
            quantize(kind, numbers, &mut blocks);
            file.write_all(&blocks)?;
        }
        let padding = size_bytes.next_multiple_of(ALIGNMENT) - size_bytes;
        file.write_all(&[0; ALIGNMENT][..padding])
    }
}
