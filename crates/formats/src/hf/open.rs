//! a model directory → [`ModelFile`], its weights left where they are but those that the file has in another form.

use std::path::Path;

use itera_files::OpenFile;

use super::model_dir::{Described, read_described, stored_in_order};
use super::shards::open_weights;
use crate::{
    error::Result,
    model_file::{Bytes, Layout, ModelFile, Opened, Weights, pieces_of},
};

impl ModelFile {
    /// Opens a model directory, ours or one that others wrote.
    pub(crate) fn open_dir(dir: &Path, open: OpenFile) -> Result<Self> {
        let Described { config, special_ids, more_eos } = read_described(dir)?;
        let shards = open_weights(dir, open)?;
        let tensors = stored_in_order(&config, &shards)?;
        let mut weights = Weights::default();
        for (spec, tensor) in config.tensors().iter().zip(tensors) {
            match tensor.unpacked {
                Some(rows) => weights.add_unpacked(pieces_of(spec), tensor.kind, rows),
                None => {
                    let file = shards[tensor.shard].bytes();
                    weights.add(pieces_of(spec), tensor.kind, tensor.shard, tensor.range, file);
                }
            }
        }
        weights.decays_from_logs();
        let opened = Opened { config, special_ids, more_eos, layout: Layout::HuggingFace, weights };
        let files = shards.into_iter().map(|shard| Bytes::Mapped(shard.into_file())).collect();
        Self::new(dir, files, opened)
    }
}
