//! x → x · mask / (1 − p)

use burn::tensor::{Tensor, TensorData};
use itera_shape::rng::{Purpose, Stream, stream};
use rand::RngExt;

/// Dropout (arXiv 1207.0580, scaled while training) whose masks are a function of (seed, index) alone.
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

    /// `y = x · mask / (1 − p)`: each value is zero with probability p, and the others are scaled so that the mean stays.
    ///
    /// # Shapes
    /// `x`: any → the same
    pub fn apply<const D: usize>(&mut self, x: Tensor<D>) -> Tensor<D> {
        if !self.is_active() {
            return x;
        }
        let keep = 1.0 - self.probability;
        let scale = (1.0 / keep) as f32;
        let shape = x.dims();
        let mask: Vec<f32> =
            (0..shape.iter().product()).map(|_| if self.rng.random_bool(keep) { scale } else { 0.0 }).collect();
        let mask = Tensor::from_data(TensorData::new(mask, shape), &x.device());
        x * mask
    }
}
