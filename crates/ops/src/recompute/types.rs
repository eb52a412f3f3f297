//! The outputs of what is computed again.

use burn::tensor::Tensor;

/// What a part of a model makes of its input.
#[derive(Debug)]
pub struct Recomputable<T> {
    /// The tensor that goes on.
    pub y: Tensor<3>,
    /// A second output that the loss may depend on.
    pub side: Option<Tensor<2>>,
    /// Other outputs, none of which carries a gradient.
    pub rest: T,
}
