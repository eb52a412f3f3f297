//! u → shared SwiGLU MLP, and u → router → top-k experts, added to the residual stream

use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use itera_ops::{MixtureWeights, MlpWeights, Routing, mixture, mlp};
use itera_shape::ModelConfig;

use crate::{parameters::Source, residual::Residual};

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
    pub(crate) fn load(config: &ModelConfig, source: &mut Source<'_>) -> Self {
        Self { router: source.next(), w_in: source.next(), w_out: source.next(), top_k: config.top_k }
    }

    /// The experts and `shared` on `u` [b, l, d], added to `residual` → [b, l, d], and where each token went.
    pub(crate) fn forward(&self, u: Tensor<3>, shared: &SharedMlp, residual: Residual<'_>) -> (Tensor<3>, Routing) {
        let weights = MixtureWeights {
            router: self.router.val(),
            w_in: self.w_in.val(),
            w_out: self.w_out.val(),
            shared: shared.weights(),
        };
        residual.join(|residual, multiplier| mixture(u, weights, self.top_k, residual, multiplier))
    }
}

/// The SwiGLU MLP that every token goes through.
#[derive(Module, Debug)]
pub struct SharedMlp {
    w_in: Param<Tensor<2>>,
    w_out: Param<Tensor<2>>,
}

impl SharedMlp {
    pub(crate) fn load(source: &mut Source<'_>) -> Self {
        Self { w_in: source.next(), w_out: source.next() }
    }

    /// The MLP on `u` [b, l, d], added to `residual` → [b, l, d].
    pub(crate) fn forward(&self, u: Tensor<3>, residual: Residual<'_>) -> Tensor<3> {
        residual.join(|residual, multiplier| (mlp(u, self.weights(), residual, multiplier), ())).0
    }

    fn weights(&self) -> MlpWeights {
        MlpWeights { w_in: self.w_in.val(), w_out: self.w_out.val() }
    }
}
