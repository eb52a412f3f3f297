//! A tensor outside every file and framework: a name, a shape, numbers in f32.

/// A tensor with a name.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedTensor {
    /// Unique among the tensors it is with; of a model, as in [`ModelConfig::tensors`](crate::ModelConfig::tensors).
    pub name: String,
    /// Sizes of the dimensions; the last varies fastest.
    pub shape: Vec<usize>,
    /// As many numbers as the product of `shape`.
    pub data: Vec<f32>,
}

impl NamedTensor {
    /// The same tensor, borrowed.
    pub fn as_ref(&self) -> TensorRef<'_> {
        TensorRef { name: &self.name, shape: &self.shape, data: &self.data }
    }
}

/// A borrowed [`NamedTensor`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TensorRef<'a> {
    /// Unique among the tensors it is with.
    pub name: &'a str,
    /// Sizes of the dimensions; the last varies fastest.
    pub shape: &'a [usize],
    /// As many numbers as the product of `shape`.
    pub data: &'a [f32],
}
