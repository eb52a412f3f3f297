//! flat tensor → its values in this process

use std::ops::Deref;

use burn::tensor::Tensor;

use crate::dispatch::dispatch;

/// The values of a flat f32 tensor, read as a slice. Those of a tensor of the device `flex` are shared with it, and a
/// tensor that is changed meanwhile gets memory of its own.
#[derive(Debug)]
pub struct HostValues(Held);

#[derive(Debug)]
enum Held {
    #[cfg(feature = "flex")]
    Shared(crate::flex::array::Array),
    Copied(Vec<f32>),
}

/// The values of `tensor`, copied only from a device with memory of its own.
pub fn host_values(tensor: &Tensor<1>) -> HostValues {
    let tensor = tensor.clone().inner();
    dispatch!(flex: &tensor => host_values(tensor))
}

impl From<Vec<f32>> for HostValues {
    fn from(values: Vec<f32>) -> Self {
        Self(Held::Copied(values))
    }
}

impl Deref for HostValues {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &self.0 {
            #[cfg(feature = "flex")]
            Held::Shared(array) => array,
            Held::Copied(values) => values,
        }
    }
}

impl AsRef<[f32]> for HostValues {
    fn as_ref(&self) -> &[f32] {
        self
    }
}

mod composite {
    use burn::tensor::Tensor;

    use super::{Held, HostValues};

    pub(super) fn host_values(tensor: Tensor<1>) -> HostValues {
        HostValues(Held::Copied(tensor.into_data().convert::<f32>().try_into_vec().expect("converted to f32")))
    }
}

#[cfg(feature = "flex")]
mod flex {
    use burn::tensor::Tensor;

    use super::{Held, HostValues};
    use crate::flex::array::array;

    pub(super) fn host_values(tensor: Tensor<1>) -> HostValues {
        HostValues(Held::Shared(array(tensor)))
    }
}
