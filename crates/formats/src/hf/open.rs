//! a model directory → [`ModelFile`], its weights left where they are.

use std::path::Path;

use super::model_dir::{CONFIG, WEIGHTS, hf_name_and_shape, in_order, read_config};
use super::names;
use crate::model_file::{Bytes, Layout, Opened, Weights, pieces_of};
use crate::tensors::{Indexed, index};
use crate::{MappedFile, ModelFile, Result};

impl ModelFile {
    /// Opens a model directory, ours or one that `transformers` wrote.
    pub(crate) fn open_dir(dir: &Path) -> Result<Self> {
        let (config, special_ids) = read_config(&dir.join(CONFIG))?;
        let path = dir.join(WEIGHTS);
        let mapped = MappedFile::open(&path)?;
        let (tensors, numbers) = index(&path, mapped.bytes())?;
        let found = tensors.into_iter().map(|t| (names::from_hf(&t.name).unwrap_or_else(|| t.name.clone()), t));
        let tensors = in_order(&path, &config, found, |spec, t| (t.shape.clone(), hf_name_and_shape(spec).1))?;

        let mut weights = Weights::default();
        let first_byte = mapped.bytes().len() - numbers.len();
        for (spec, Indexed { kind, range, .. }) in config.tensors().into_iter().zip(tensors) {
            let mut rest = first_byte + range.start;
            for piece in pieces_of(spec) {
                rest = weights.add(piece, kind, rest, mapped.bytes());
            }
        }
        weights.decays_from_logs();
        Ok(Self::new(dir, Bytes::Mapped(mapped), Opened { config, special_ids, layout: Layout::HuggingFace, weights }))
    }
}
