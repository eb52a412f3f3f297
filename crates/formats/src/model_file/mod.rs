//! A trained model, open: what it is, and its weights as they lie in its file.
//!
//! ```text
//! directory: config.json, model.safetensors, tokenizer.json ─┐                 ┌─ config, special_ids, rotary_pairs
//!                                                            ├─▶ ModelFile ────┼─ matrix(name): rows, still packed
//! file: GGUF, ours or one that llama.cpp made ───────────────┤   (mapped)      ├─ vector(name): f32
//! tensors in memory ─────────────────────────────────────────┘                 └─ tokenizer()
//! ```

mod expand;
mod finite;
mod pieces;
mod weights;

use std::fs;
use std::path::{Path, PathBuf};

use itera_files::{MappedFile, OpenFile, failed_to};
use itera_kernels::quant::{Kind, QuantMatrix};
use itera_shape::{ModelConfig, SpecialIds, TensorRef};

use crate::{
    error::{FormatError, Result},
    gguf::{Gguf, Vocabulary, chat_template},
    hf,
    lfs::refuse_pointer,
};
pub(crate) use pieces::{Piece, pieces_of};
pub(crate) use weights::Weights;

/// A model file or directory, mapped. Opening it checks every name, shape and size; nothing is expanded but the
/// vectors, which are small, and nothing copied but weights of a directory in codes and scales apart: those become blocks
/// of q4_0, or f32 if they are 8-bit floats with scales other than 1.
///
/// Every source answers to the same names. Matrices are `[rows, cols]`, a row after the other, and are multiplied
/// with a vector of `cols` numbers (d = d_model, i = d_inner, f = d_expert; `ModelConfig` has the others):
///
/// ```text
/// embed [v, d]    head [v, d], the embedding where they are tied
/// layers.{l}.mamba.in_proj [d_in_proj, d]    .mamba.out_proj [d, i]
/// layers.{l}.attention.q_proj [d, d]   .k_proj [kv, d]   .v_proj [kv, d]   .o_proj [d, d]
/// layers.{l}.moe.{expert}.gate [f, d]  .up [f, d]        .out [d, f]              absent if dense
/// layers.{l}.shared.gate [d_shared, d] .up [d_shared, d] .out [d, d_shared]
/// ```
///
/// An MLP is `out · (silu(gate · x) ⊙ (up · x))`. Vectors, and the few small matrices that are never packed, are f32,
/// the last dimension varying fastest:
///
/// ```text
/// norm [d]    layers.{l}.mixer_norm [d]    layers.{l}.ffn_norm [d]    layers.{l}.moe.router [e, d]
/// layers.{l}.mamba.conv_weight [channels, d_conv]  .conv_bias [channels]  .dt_bias [h]  .d_skip [h]  .norm [i]
/// layers.{l}.mamba.a [h]: −exp(a_log), so that a state decays by exp(a·Δ)
/// ```
///
/// Rows of a matrix begin where the file has them: a multiple of 4 bytes in all usual files, which is not promised.
#[derive(Debug)]
pub struct ModelFile {
    path: PathBuf,
    files: Vec<Bytes>,
    opened: Opened,
}

/// A file that matrices lie in.
#[derive(Debug)]
pub(crate) enum Bytes {
    Mapped(MappedFile),
    Owned(Vec<u8>),
}

/// Which two numbers of an attention head a rotary embedding turns together: rows of `q_proj` and `k_proj` differ in
/// order between files. Without rotary embedding the order shows nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RotaryPairs {
    /// Number j and number j + (head width)/2, in a Hugging Face directory.
    Halves,
    /// Numbers 2j and 2j + 1, in GGUF.
    Neighbours,
}

/// What `itera_tokenizer::Tokenizer` is made from.
#[derive(Debug)]
pub enum TokenizerSource<'a> {
    /// The contents of a `tokenizer.json`.
    Json(Vec<u8>),
    /// What a GGUF file says, which takes less time.
    Vocabulary(Vocabulary<'a>),
}

/// Which of the sources this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    HuggingFace,
    Gguf,
    Memory,
}

/// What was found in a file.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) config: ModelConfig,
    pub(crate) special_ids: SpecialIds,
    pub(crate) more_eos: Vec<u32>,
    pub(crate) layout: Layout,
    pub(crate) weights: Weights,
}

impl Bytes {
    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Mapped(file) => file.bytes(),
            Self::Owned(bytes) => bytes,
        }
    }
}

impl ModelFile {
    /// Opens a Hugging Face model directory, or a GGUF file.
    ///
    /// # Errors
    ///
    /// If a file is absent or damaged or asks for something that this program lacks, if its tensors do not match its
    /// configuration exactly, or if a vector holds a number that is not finite. Matrices are not checked for that here, but
    /// by [`check_finite`](Self::check_finite).
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_by(path, MappedFile::open)
    }

    /// As [`open`](Self::open), with the files read into memory: what becomes of them later changes nothing.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn read(path: &Path) -> Result<Self> {
        Self::open_by(path, MappedFile::read)
    }

    fn open_by(path: &Path, open: OpenFile) -> Result<Self> {
        if path.is_dir() { Self::open_dir(path, open) } else { Self::open_gguf(path, open) }
    }

    /// A model of tensors by the names of [`ModelConfig::tensors`], which are copied. It has no tokenizer.
    ///
    /// # Errors
    ///
    /// If the configuration is not valid or the tensors do not match it exactly.
    pub fn from_tensors(config: &ModelConfig, special_ids: SpecialIds, tensors: &[TensorRef<'_>]) -> Result<Self> {
        let path = Path::new("the model in memory");
        let tensors = hf::of_model(path, config, tensors)?;
        let bytes: Vec<u8> = tensors.iter().flat_map(|tensor| tensor.data).flat_map(|x| x.to_le_bytes()).collect();
        let mut weights = Weights::default();
        let mut end = 0;
        for spec in config.tensors() {
            let start = end;
            end += spec.n_params() * Kind::F32.block_bytes();
            weights.add(pieces_of(&spec), Kind::F32, 0, start..end, &bytes);
        }
        weights.decays_from_logs();
        let (config, more_eos) = (config.clone(), vec![]);
        let opened = Opened { config, special_ids, more_eos, layout: Layout::Memory, weights };
        Self::new(path, vec![Bytes::Owned(bytes)], opened)
    }

    /// A model whose vectors are found to be finite; they are in memory, unlike matrices.
    pub(crate) fn new(path: &Path, files: Vec<Bytes>, opened: Opened) -> Result<Self> {
        let file = Self { path: path.to_owned(), files, opened };
        if !file.opened.weights.has_finite_vectors() {
            file.check_vectors()?;
        }
        Ok(file)
    }

    /// The shape of the model; a valid configuration.
    pub fn config(&self) -> &ModelConfig {
        &self.opened.config
    }

    /// Its special tokens.
    pub fn special_ids(&self) -> SpecialIds {
        self.opened.special_ids
    }

    /// Tokens that end a text as eos does, where the files of the model list several; none in a GGUF file.
    pub fn more_eos(&self) -> &[u32] {
        &self.opened.more_eos
    }

    /// The order of the rows of `q_proj` and `k_proj`.
    pub fn rotary_pairs(&self) -> RotaryPairs {
        match self.opened.layout {
            Layout::HuggingFace | Layout::Memory => RotaryPairs::Halves,
            Layout::Gguf => RotaryPairs::Neighbours,
        }
    }

    /// A matrix by the name in the table above, as it lies in the file.
    ///
    /// # Errors
    ///
    /// If the model has no matrix of this name.
    pub fn matrix(&self, name: &str) -> Result<QuantMatrix<'_>> {
        let name = if name == "head" && self.config().tie_embeddings { "embed" } else { name };
        self.opened.weights.matrix(name, &self.files).ok_or_else(|| self.missing(name))
    }

    /// A vector, or small matrix, by the name in the table above.
    ///
    /// # Errors
    ///
    /// If the model has no vector of this name.
    pub fn vector(&self, name: &str) -> Result<&[f32]> {
        self.opened.weights.vector(name).ok_or_else(|| self.missing(name))
    }

    /// What the tokenizer is made from.
    ///
    /// # Errors
    ///
    /// If a directory has no readable `tokenizer.json`, or a GGUF file no byte-level BPE of the GPT-2 kind.
    pub fn tokenizer(&self) -> Result<TokenizerSource<'_>> {
        if self.opened.layout == Layout::Gguf {
            let gguf = Gguf::parse(&self.path, self.files[0].as_slice())?;
            return Vocabulary::parse(&self.path, &gguf).map(TokenizerSource::Vocabulary);
        }
        let path = self.path.join("tokenizer.json");
        let json = fs::read(&path).map_err(failed_to("read", &path))?;
        refuse_pointer(&path, &json)?;
        Ok(TokenizerSource::Json(json))
    }

    /// The template that turns the messages of a chat into the text that the model continues, in the language of Jinja: of a
    /// directory `chat_template.jinja`, or the one in `tokenizer_config.json`. `None` where the files have none, as those of
    /// a model that was trained on plain text.
    ///
    /// # Errors
    ///
    /// If a file that may have one cannot be read, or has something else in its place.
    pub fn chat_template(&self) -> Result<Option<String>> {
        match self.opened.layout {
            Layout::Gguf => chat_template(&self.path, &Gguf::parse(&self.path, self.files[0].as_slice())?),
            Layout::HuggingFace => hf::read_chat_template(&self.path),
            Layout::Memory => Ok(None),
        }
    }

    fn missing(&self, name: &str) -> FormatError {
        FormatError::Names { path: self.path.clone(), missing: vec![name.to_owned()], unexpected: vec![] }
    }
}
