//! A module whose activations are computed again by the backward pass

use burn::{module::Module, tensor::Tensor};
use itera_ops::{Recomputable, recompute};

use crate::parameters::{flat, with_weights};

/// `forward(module, x)` by [`recompute`]: of it only `x` is saved.
///
/// # Shapes
/// `x`: [b, l, d] → what `forward` gives
pub(crate) fn recompute_module<M: Module + 'static, T: Send + 'static>(
    module: &M,
    x: Tensor<3>,
    forward: impl Fn(&M, Tensor<3>) -> Recomputable<T> + Send + 'static,
) -> Recomputable<T> {
    // without the graph's own tensors, which would keep it alive
    let shell = module.valid();
    recompute(x, flat(module), move |x, weights| forward(&with_weights(shell.clone(), weights), x))
}
