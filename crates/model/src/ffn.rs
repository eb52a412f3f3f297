//! u → shared SwiGLU MLP, and u → router → top-k experts, added to the residual stream

use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use itera_ops::{MixtureWeights, MlpWeights, Routing, mixture, mlp};
use itera_shape::ModelConfig;

use crate::{residual::Residual, weights::Weights};

/// Dropless top-k mixture of SwiGLU experts.
#[derive(Module, Debug)]
pub struct Moe {
    router: Param<Tensor<2>>,
    w_in: Param<Tensor<3>>,
    w_out: Param<Tensor<3>>,
    #[module(skip)]
    top_k: usize,
}

impl Moe {
    pub(crate) fn load(config: &ModelConfig, weights: &mut Weights<'_>) -> Self {
        Self {
            router: weights.next("router"),
            w_in: weights.next("w_in"),
            w_out: weights.next("w_out"),
            top_k: config.top_k,
        }
    }

    /// `residual + m·(shared(u) + Σ_k weight_k·expert_k(u))`, and where each token went.
    ///
    /// # Shapes
    /// `u`, `residual`: [b, l, d] → ([b, l, d], routing of b·l tokens)
    pub(crate) fn forward(&self, u_bld: Tensor<3>, shared: &SharedMlp, residual: Residual<'_>) -> (Tensor<3>, Routing) {
        let weights = MixtureWeights {
            router: self.router.val(),
            w_in: self.w_in.val(),
            w_out: self.w_out.val(),
            shared: shared.weights(),
        };
        residual.join(|residual, multiplier| mixture(u_bld, weights, self.top_k, residual, multiplier))
    }
}

/// The SwiGLU MLP that every token goes through.
#[derive(Module, Debug)]
pub struct SharedMlp {
    w_in: Param<Tensor<2>>,
    w_out: Param<Tensor<2>>,
}

impl SharedMlp {
    pub(crate) fn load(weights: &mut Weights<'_>) -> Self {
        Self { w_in: weights.next("w_in"), w_out: weights.next("w_out") }
    }

    /// `residual + m·w_out·(silu(gate)·up)`, `gate | up = w_in·u`.
    ///
    /// # Shapes
    /// `u`, `residual`: [b, l, d] → [b, l, d]
    pub(crate) fn forward(&self, u_bld: Tensor<3>, residual: Residual<'_>) -> Tensor<3> {
        residual.join(|residual, multiplier| (mlp(u_bld, self.weights(), residual, multiplier), ())).0
    }

    fn weights(&self) -> MlpWeights {
        MlpWeights { w_in: self.w_in.val(), w_out: self.w_out.val() }
    }
}
