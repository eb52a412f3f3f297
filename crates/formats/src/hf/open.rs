//! a model directory → [`ModelFile`], its weights left where they are, or in memory if the file has them in another form.

use std::path::Path;

use super::model_dir::{CONFIG, WEIGHTS, read_config, stored_in_order};
use crate::model_file::{Bytes, Layout, Opened, Weights, pieces_of};
use crate::{MappedFile, ModelFile, Result};

impl ModelFile {
    /// Opens a model directory, ours or one that others wrote.
    pub(crate) fn open_dir(dir: &Path) -> Result<Self> {
        let (config, special_ids) = read_config(&dir.join(CONFIG))?;
        let path = dir.join(WEIGHTS);
        let mapped = MappedFile::open(&path)?;
        let mut tensors = stored_in_order(&path, &config, mapped.bytes())?;
        let bytes = if tensors.iter().any(|tensor| tensor.unpacked.is_some()) {
            let mut all = Vec::new();
            for tensor in &mut tensors {
                let start = all.len();
                all.extend_from_slice(tensor.bytes(mapped.bytes()));
                tensor.range = start..all.len();
            }
            Bytes::Owned(all)
        } else {
            Bytes::Mapped(mapped)
        };

        let mut weights = Weights::default();
        for (spec, tensor) in config.tensors().into_iter().zip(tensors) {
            let pieces = pieces_of(spec).into_iter();
            pieces.fold(tensor.range.start, |start, piece| weights.add(piece, tensor.kind, start, bytes.as_slice()));
        }
        weights.decays_from_logs();
        Ok(Self::new(dir, bytes, Opened { config, special_ids, layout: Layout::HuggingFace, weights }))
    }
}
