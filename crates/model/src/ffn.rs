//! u → swiglu MLP (shared), and u → router → top-k experts (moe)

use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use itera_config::ModelConfig;
use itera_ops::{Routing, experts, linear, route, swiglu};

use crate::parameters::Source;

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

    /// `u` [b, l, d] → [b, l, d], and where each token went.
    pub fn forward(&self, u: Tensor<3>) -> (Tensor<3>, Routing) {
        let dims @ [b, l, d] = u.dims();
        let u_td = u.reshape([b * l, d]);
        let routing = route(u_td.clone(), self.router.val(), self.top_k);
        let y_td = experts(u_td, routing.weights.clone(), self.w_in.val(), self.w_out.val());
        (y_td.reshape(dims), routing)
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

    /// `u` [b, l, d] → [b, l, d]
    pub fn forward(&self, u: Tensor<3>) -> Tensor<3> {
        linear(swiglu(linear(u, self.w_in.val())), self.w_out.val())
    }
}
