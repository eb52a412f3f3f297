//! a model directory → [`ModelFile`], its weights left where they are but those that the file has in another form.

use std::path::Path;

use super::model_dir::{CONFIG, WEIGHTS, read_config, stored_in_order};
use crate::model_file::{Bytes, Layout, Opened, Weights, pieces_of};
use crate::{ModelFile, Result};
use itera_files::MappedFile;

impl ModelFile {
    /// Opens a model directory, ours or one that others wrote.
    pub(crate) fn open_dir(dir: &Path) -> Result<Self> {
        let (config, special_ids) = read_config(&dir.join(CONFIG))?;
        let path = dir.join(WEIGHTS);
        let mapped = MappedFile::open(&path)?;
        let tensors = stored_in_order(&path, &config, mapped.bytes())?;
        let mut weights = Weights::default();
        for (spec, tensor) in config.tensors().iter().zip(tensors) {
            match tensor.unpacked {
                Some(rows) => weights.add_unpacked(pieces_of(spec), tensor.kind, rows),
                None => weights.add(pieces_of(spec), tensor.kind, tensor.range, mapped.bytes()),
            }
        }
        weights.decays_from_logs();
        let opened = Opened { config, special_ids, layout: Layout::HuggingFace, weights };
        Ok(Self::new(dir, Bytes::Mapped(mapped), opened))
    }
}
