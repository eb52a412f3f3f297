//! What an AdamW step reads and changes. Tensors are flat: a step sees no shapes.

use burn::tensor::Tensor;

/// Hyperparameters of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Learning rate, the scheduled one of the step.
    pub lr: f64,
    /// Decay of the mean of gradients, in 0..1.
    pub beta1: f64,
    /// Decay of the mean of squared gradients, in 0..1.
    pub beta2: f64,
    /// Added to √v̂, outside the root.
    pub eps: f64,
    /// Decoupled weight decay: a step multiplies a weight that decays by `1 − lr · weight_decay`.
    pub weight_decay: f64,
}

/// Moving means that AdamW keeps of one weight, f32; zeros before the first step.
#[derive(Clone, Debug)]
pub struct Moments {
    /// m, of the gradients.
    pub first: Tensor<1>,
    /// v, of their squares.
    pub second: Tensor<1>,
}

/// A weight on its way through a step. All its tensors have one length and no autodiff.
#[derive(Clone, Debug)]
pub struct AdamWParameter {
    /// The values.
    pub weight: Tensor<1>,
    /// Their gradient, before the factor that all gradients of a step share.
    pub gradient: Tensor<1>,
    /// Moments of the steps before.
    pub moments: Moments,
    /// Whether weight decay applies.
    pub decays: bool,
}

/// A parameter as arrays of a device with fused operators.
#[cfg(any(feature = "flex", feature = "cube"))]
pub(super) struct Arrays<A> {
    pub weight: A,
    pub gradient: A,
    pub first: A,
    pub second: A,
    pub decays: bool,
}

#[cfg(any(feature = "flex", feature = "cube"))]
impl<A> Arrays<A> {
    pub fn of(parameter: AdamWParameter, array: impl Fn(Tensor<1>) -> A) -> Self {
        let AdamWParameter { weight, gradient, moments, decays } = parameter;
        let [weight, gradient, first, second] = [weight, gradient, moments.first, moments.second].map(array);
        Self { weight, gradient, first, second, decays }
    }

    /// What a step leaves of it.
    pub fn tensors(self, tensor: impl Fn(A) -> Tensor<1>) -> (Tensor<1>, Moments) {
        let [weight, first, second] = [self.weight, self.first, self.second].map(tensor);
        (weight, Moments { first, second })
    }
}
