//! Masks of a forward pass.

use burn::tensor::Tensor;
use itera_ops::dropout;
use itera_shape::rng::{Purpose, Stream, stream};

/// Dropout whose masks are a function of (seed, index) alone.
#[derive(Clone, Debug)]
pub struct Dropout {
    probability: f64,
    rng: Stream,
}

impl Dropout {
    /// The masks of forward pass number `index`; `probability` in [0, 1).
    pub fn new(probability: f64, seed: u64, index: u64) -> Self {
        Self { probability, rng: stream(seed, Purpose::Dropout, index) }
    }

    /// Whether it changes anything.
    pub(crate) fn is_active(&self) -> bool {
        self.probability > 0.0
    }

    /// [`dropout()`] by the next mask: each value is zero with the probability, and the others are scaled so that the mean
    /// stays.
    ///
    /// # Shapes
    /// `x`: any → the same
    pub fn apply<const D: usize>(&mut self, x: Tensor<D>) -> Tensor<D> {
        if self.is_active() { dropout(x, 1.0 - self.probability, &mut self.rng) } else { x }
    }
}
