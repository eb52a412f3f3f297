//! a GGUF file → [`ModelFile`], its weights left where they are.

use std::collections::HashMap;
use std::path::Path;

use super::file::{Gguf, TensorInfo};
use super::names::stored;
use super::{config, tensor_type};
use crate::{
    error::{FormatError, Result},
    model_file::{Bytes, Layout, ModelFile, Opened, Weights},
};
use itera_files::OpenFile;

impl ModelFile {
    /// Opens a GGUF file, ours or one that llama.cpp's converter or quantiser made.
    pub(crate) fn open_gguf(path: &Path, open: OpenFile) -> Result<Self> {
        Self::of_gguf(path, Bytes::Mapped(open(path)?))
    }

    /// Opens the contents of a GGUF file.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn from_gguf(bytes: Vec<u8>) -> Result<Self> {
        Self::of_gguf(Path::new("the file in memory"), Bytes::Owned(bytes))
    }

    fn of_gguf(path: &Path, bytes: Bytes) -> Result<Self> {
        let gguf = Gguf::parse(path, bytes.as_slice())?;
        let (config, special_ids) = config::parse(path, &gguf)?;
        let mut found: HashMap<&str, &TensorInfo<'_>> =
            gguf.tensors.iter().map(|tensor| (tensor.name, tensor)).collect();
        let (mut weights, mut missing) = (Weights::default(), Vec::new());
        for part in config.tensors().iter().flat_map(|spec| stored(&config, spec)) {
            let Some(tensor) = found.remove(part.name.as_str()) else {
                missing.push(part.name);
                continue;
            };
            if plain(&tensor.shape) != plain(&part.shape) {
                let (expected, found) = (part.shape, tensor.shape.clone());
                return Err(FormatError::Shape { path: path.to_owned(), tensor: part.name, expected, found });
            }
            let kind = tensor.stored_as.kind().ok_or_else(|| FormatError::Dtype {
                path: path.to_owned(),
                tensor: part.name.clone(),
                dtype: tensor.stored_as.to_string(),
                supported: tensor_type::names(),
            })?;
            weights.add(vec![part.piece.alone()], kind, 0, tensor.range.clone(), bytes.as_slice());
        }
        if !missing.is_empty() || !found.is_empty() {
            let mut unexpected: Vec<_> = found.into_keys().map(str::to_owned).collect();
            unexpected.sort();
            return Err(FormatError::Names { path: path.to_owned(), missing, unexpected });
        }
        let opened = Opened { config, special_ids, more_eos: vec![], layout: Layout::Gguf, weights };
        Self::new(path, vec![bytes], opened)
    }
}

/// A shape without leading dimensions of one, which files leave away or not.
fn plain(shape: &[usize]) -> &[usize] {
    &shape[shape.iter().take_while(|size| **size == 1).count()..]
}
