//! a model file or directory → what it says of itself and the tensors in it, by the names that it uses.
//!
//! ```text
//! GGUF file ────────── header ─────────────────┐
//! directory ── config.json, model*.safetensors ┴─▶ Listing: metadata, tensors, bytes of the files
//! ```
//!
//! Nothing here asks whether the model is one that can be run, so files of other architectures can be looked at too.

use std::fs;
use std::path::Path;

use itera_files::{MappedFile, failed_to};
use itera_kernels::quant::Kind;
use safetensors::Dtype;
use serde::Serialize;
use serde_json::Value as Json;

use crate::{
    error::{FormatError, Result},
    gguf::{Gguf, Value},
    hf,
    tensors::kind_of,
};

/// What a model file or directory holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Listing {
    /// `GGUF 3`, or `Hugging Face`.
    pub format: String,
    /// The metadata of a GGUF file, or `config.json`, in the order of the file.
    pub metadata: Vec<(String, MetadataValue)>,
    /// The tensors, in the order of the file.
    pub tensors: Vec<ListedTensor>,
    /// Bytes of the file, or of all files directly in the directory.
    pub file_bytes: u64,
    /// Bytes of the file, or of those in the directory that hold its weights.
    pub weight_bytes: u64,
}

/// What a file says under one key.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum MetadataValue {
    /// A value as it is.
    Whole(Json),
    /// A list of a GGUF file that is too long to be taken out of it.
    Long {
        /// Number of its items.
        len: usize,
        /// The first of them.
        first: Vec<Json>,
    },
}

/// Items of the longest list that is listed whole.
const WHOLE: usize = 16;

/// Items that are listed of a longer one.
const FIRST: usize = 8;

/// A tensor of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedTensor {
    /// Its name in the file; of one in codes and scales apart, that of the weight they stand for.
    pub name: String,
    /// How its numbers, or the codes of them, are stored.
    pub stored_as: NumberType,
    /// Sizes of its dimensions; the last varies fastest.
    pub shape: Vec<usize>,
    /// Bytes that it takes, scales that lie apart included.
    pub size_bytes: usize,
}

/// How the numbers of a listed tensor are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NumberType {
    /// As one of the kinds that models are run from.
    Kind(Kind),
    /// As something else, which programs of this format call so.
    Other(String),
}

impl NumberType {
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Kind(kind) => kind.name(),
            Self::Other(name) => name,
        }
    }
}

impl ListedTensor {
    /// Its numbers.
    pub fn n_params(&self) -> usize {
        self.shape.iter().product()
    }
}

impl Listing {
    /// Lists a GGUF file, or a Hugging Face model directory.
    ///
    /// # Errors
    ///
    /// If a file is absent or damaged, or holds a kind of number that is not read.
    pub fn of(path: &Path) -> Result<Self> {
        if path.is_dir() { Self::of_dir(path) } else { Self::of_gguf(path) }
    }

    fn of_gguf(path: &Path) -> Result<Self> {
        let file = MappedFile::open(path)?;
        let gguf = Gguf::parse(path, file.bytes())?;
        let tensor = |tensor: &crate::gguf::TensorInfo<'_>| ListedTensor {
            name: tensor.name.to_owned(),
            stored_as: tensor
                .stored_as
                .kind()
                .map_or_else(|| NumberType::Other(tensor.stored_as.to_string()), NumberType::Kind),
            shape: tensor.shape.clone(),
            size_bytes: tensor.range.len(),
        };
        Ok(Self {
            format: format!("GGUF {}", gguf.version),
            metadata: gguf.metadata.iter().map(|entry| (entry.key.to_owned(), listed(&entry.value))).collect(),
            tensors: gguf.tensors.iter().map(tensor).collect(),
            file_bytes: file.bytes().len() as u64,
            weight_bytes: file.bytes().len() as u64,
        })
    }

    fn of_dir(dir: &Path) -> Result<Self> {
        let config = hf::read_config_json(&dir.join(hf::CONFIG))?;
        let shards = hf::open_weights(dir, MappedFile::open)?;
        let entries = config.as_object().into_iter().flatten();
        Ok(Self {
            format: "Hugging Face".to_owned(),
            metadata: entries.map(|(key, value)| (key.clone(), MetadataValue::Whole(value.clone()))).collect(),
            tensors: tensors_of(dir, &shards)?,
            file_bytes: bytes_in(dir)?,
            weight_bytes: shards.iter().map(|shard| shard.bytes().len() as u64).sum(),
        })
    }
}

/// The tensors of a directory in the order of its files, codes joined with their scales where these are of a known form.
fn tensors_of(dir: &Path, shards: &[hf::Shard]) -> Result<Vec<ListedTensor>> {
    let mut placed: Vec<(_, ListedTensor)> = match hf::WeightsDir::open(dir) {
        Ok(found) => {
            let has_words = || found.weights().iter().any(|weight| weight.form == hf::WeightForm::Plain(Dtype::I32));
            match has_words().then(|| hf::stored(shards)) {
                // codes of 4 bits in words, which the family has
                Some(Ok(found)) => found.into_iter().map(|t| ((t.shard, t.range.start), t.into())).collect(),
                _ => return Ok(found.weights().iter().map(ListedTensor::from).collect()),
            }
        }
        // each as it lies
        Err(FormatError::Parts { .. }) => {
            hf::raw(shards)?.into_values().map(|t| ((t.shard, t.range.start), t.into())).collect()
        }
        Err(error) => return Err(error),
    };
    placed.sort_by_key(|(place, _)| *place);
    Ok(placed.into_iter().map(|(_, tensor)| tensor).collect())
}

impl From<&hf::Weight> for ListedTensor {
    fn from(weight: &hf::Weight) -> Self {
        let stored_as = match weight.form {
            hf::WeightForm::Fp8(_) => NumberType::Kind(Kind::F8E4M3),
            hf::WeightForm::Nvfp4 => NumberType::Kind(Kind::Nvfp4),
            hf::WeightForm::Plain(dtype) => named(dtype),
        };
        let (name, shape) = (weight.name.clone(), weight.shape.clone());
        Self { name, stored_as, shape, size_bytes: weight.size_bytes() as usize }
    }
}

fn named(dtype: Dtype) -> NumberType {
    kind_of(dtype).map_or_else(|| NumberType::Other(dtype.to_string()), NumberType::Kind)
}

impl From<hf::Stored> for ListedTensor {
    fn from(tensor: hf::Stored) -> Self {
        let hf::Stored { name, kind, shape, size_bytes, .. } = tensor;
        Self { name, stored_as: NumberType::Kind(kind), shape, size_bytes }
    }
}

impl From<hf::Raw<'_>> for ListedTensor {
    fn from(raw: hf::Raw<'_>) -> Self {
        let stored_as = named(raw.tensor.dtype);
        Self { name: raw.tensor.name, stored_as, shape: raw.tensor.shape, size_bytes: raw.range.len() }
    }
}

/// Bytes of the files in a directory, those in directories within left out.
fn bytes_in(dir: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir).map_err(failed_to("list", dir))? {
        // as links point, like the files of a download
        let metadata = entry.and_then(|entry| fs::metadata(entry.path())).map_err(failed_to("list", dir))?;
        bytes += if metadata.is_file() { metadata.len() } else { 0 };
    }
    Ok(bytes)
}

fn listed(value: &Value<'_>) -> MetadataValue {
    match value {
        Value::Array(array) if array.len() > WHOLE => {
            MetadataValue::Long { len: array.len(), first: array.iter().take(FIRST).map(|item| json(&item)).collect() }
        }
        value => MetadataValue::Whole(json(value)),
    }
}

/// A value of GGUF as JSON, which has no number for an infinity or a NaN.
fn json(value: &Value<'_>) -> Json {
    match value {
        Value::Unsigned(number) => (*number).into(),
        Value::Signed(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::Flag(flag) => (*flag).into(),
        Value::Text(text) => (*text).into(),
        Value::Array(array) => array.iter().map(|value| json(&value)).collect(),
    }
}
