//! x → x + m · dropout(branch)

use burn::tensor::Tensor;
use itera_ops::linear_residual;

use crate::dropout::Dropout;

/// A residual stream that a branch is about to join.
pub(crate) struct Residual<'a> {
    pub(crate) x: Tensor<3>,
    pub(crate) multiplier: f64,
    pub(crate) dropout: Option<&'a mut Dropout>,
}

impl Residual<'_> {
    /// `x + m · branch`, where `branch(residual, multiplier)` gives `residual + multiplier · branch` and what else it makes.
    ///
    /// Operators end a branch by adding it to the stream in one go. Dropout stands between the two, so with it the
    /// branch is made alone.
    pub(crate) fn join<T>(self, branch: impl FnOnce(Tensor<3>, f64) -> (Tensor<3>, T)) -> (Tensor<3>, T) {
        match self.dropout {
            Some(dropout) if dropout.is_active() => {
                let (alone, rest) = branch(self.x.zeros_like(), 1.0);
                (self.x + dropout.apply(alone).mul_scalar(self.multiplier), rest)
            }
            _ => branch(self.x, self.multiplier),
        }
    }

    /// The branch is `hidden · wᵀ`.
    pub(crate) fn join_linear(self, hidden: Tensor<3>, w_oi: Tensor<2>) -> Tensor<3> {
        self.join(|residual, multiplier| (linear_residual(hidden, w_oi, residual, multiplier), ())).0
    }
}
