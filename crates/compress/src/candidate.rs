//! A model between two stages: a design and its weights.

use std::sync::Arc;

use itera_formats::{Kind, PackedTensor, pack_model};
use itera_shape::{ModelConfig, NamedTensor, TensorRef};

use crate::{design::Design, error::Result};

/// What a recipe works on. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    /// What it is.
    pub design: Design,
    /// Its weights in the order of the tensor table; none before a new model is trained.
    pub parameters: Arc<[NamedTensor]>,
}

impl Candidate {
    /// Its shape.
    pub(crate) fn model(&self) -> &ModelConfig {
        self.design.model()
    }

    /// A copy of its weights.
    pub(crate) fn values(&self) -> Vec<Vec<f32>> {
        self.parameters.iter().map(|parameter| parameter.data.clone()).collect()
    }

    /// Its weights as an f32 file has them.
    ///
    /// # Errors
    /// If they are not those of its configuration.
    pub(crate) fn unpacked(&self) -> Result<Vec<PackedTensor>> {
        let tensors: Vec<TensorRef<'_>> = self.parameters.iter().map(NamedTensor::as_ref).collect();
        Ok(pack_model(self.model(), &tensors, Kind::F32)?)
    }
}
