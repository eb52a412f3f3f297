//! The fused forms, over `itera_kernels::{mlp, moe}`.

use burn::{backend::Flex, tensor::Tensor};
use itera_kernels::{
    gemm::Operands,
    mlp::{self, Join},
    moe::{self, Dispatch, Experts, Gradients},
};

use super::types::{MixtureWeights, MlpWeights, Routing, inputs, outputs};
use crate::{
    flex::{
        array::Array,
        buffers,
        kept::{Kept, Room},
    },
    function::{Function, apply, only},
    precision::products,
};

pub(super) fn mlp(u: Tensor<3>, weights: MlpWeights, residual: Tensor<3>, multiplier: f64) -> Tensor<3> {
    let MlpWeights { w_in, w_out } = weights;
    let inputs = [u.into_dispatch(), w_in.into_dispatch(), w_out.into_dispatch(), residual.into_dispatch()];
    let [y] = apply(Mlp { products: products(), multiplier: multiplier as f32 }, inputs);
    Tensor::from_dispatch(y)
}

struct Mlp {
    products: Operands,
    multiplier: f32,
}

impl Function<4, 1> for Mlp {
    type On = Flex;
    /// u, gate | up, w_in, w_out
    type Saved = [Kept; 4];

    fn forward(&self, [u, w_in, w_out, residual]: [Array; 4], wanted: [bool; 4]) -> ([Array; 1], Option<Self::Saved>) {
        let (d, f) = (u.width(), w_out.width());
        let mlp = mlp::Mlp::new(&w_in, &w_out, d, f).with_operands(self.products);
        let join = Join { residual: Some(&residual), multiplier: self.multiplier };
        let mut y = buffers::take(u.len());
        let saved = wanted.contains(&true).then(|| {
            let mut gate_up = Room::new(mlp.saved_len(u.len() / d));
            mlp::forward(&u, &mlp, join, Some(gate_up.stored()), &mut y);
            [Kept::activation(&u), gate_up.keep(), Kept::weight(&w_in), Kept::weight(&w_out)]
        });
        if saved.is_none() {
            mlp::forward(&u, &mlp, join, None, &mut y);
        }
        ([Array::new(y, u.shape().clone())], saved)
    }

    fn backward(&self, saved: Self::Saved, grads: [Option<Array>; 1], _: [bool; 4]) -> [Option<Array>; 4] {
        let d_out = only(grads);
        let [u, gate_up, w_in, w_out] = &saved;
        let (w_in, w_out) = (w_in.read(), w_out.read());
        let d = d_out.width();
        let mlp = mlp::Mlp::new(&w_in, &w_out, d, w_out.len() / d).with_operands(self.products);
        let [mut d_u, mut d_w_in, mut d_w_out] = [d_out.len(), w_in.len(), w_out.len()].map(buffers::take);
        let (u, gate_up) = (u.stored(), Some(gate_up.stored()));
        mlp::backward(u, &mlp, self.multiplier, gate_up, &d_out, &mut d_u, &mut d_w_in, &mut d_w_out);
        let [d_u, d_w_in, d_w_out] = [d_u, d_w_in, d_w_out].map(|grad| Some(grad.into()));
        [d_u, d_w_in, d_w_out, Some(d_out)]
    }
}

pub(super) fn mixture(
    u: Tensor<3>,
    weights: MixtureWeights,
    top_k: usize,
    residual: Tensor<3>,
    multiplier: f64,
) -> (Tensor<3>, Routing) {
    let mixture = Mixture { top_k, multiplier: multiplier as f32, products: products() };
    outputs(apply(mixture, inputs(u, weights, residual)))
}

/// From [`inputs`] to [`outputs`].
struct Mixture {
    top_k: usize,
    multiplier: f32,
    /// Of the experts; the router's stay exact.
    products: Operands,
}

struct SavedMixture {
    u: Kept,
    gate_up: Kept,
    expert_weights: Kept,
    expert_ids: Vec<u32>,
    dispatch: Dispatch,
    /// router, w_in, w_out, shared w_in, shared w_out
    weights: [Kept; 5],
}

impl Function<7, 3> for Mixture {
    type On = Flex;
    type Saved = SavedMixture;

    fn forward(&self, inputs: [Array; 7], wanted: [bool; 7]) -> ([Array; 3], Option<SavedMixture>) {
        let [u, router, w_in, w_out, shared_in, shared_out, residual] = &inputs;
        let (d, e, k) = (u.width(), router.shape()[0], self.top_k);
        let tokens = u.len() / d;
        let mut logits = buffers::take(tokens * e);
        let mut expert_weights = buffers::take(tokens * k);
        let mut expert_ids = vec![0; tokens * k];
        moe::route(u, router, e, k, &mut logits, &mut expert_ids, &mut expert_weights);
        let dispatch = Dispatch::new(&expert_ids, e, k);

        let shared = mlp::Mlp::new(shared_in, shared_out, d, shared_out.width());
        let mixture = moe::Mixture {
            experts: Experts::new(w_in, w_out, e, d, w_out.width()).with_operands(self.products),
            dispatch: &dispatch,
            expert_weights: &expert_weights,
            shared: Some(shared.with_operands(self.products)),
        };
        let join = Join { residual: Some(residual), multiplier: self.multiplier };
        let mut y = buffers::take(u.len());
        let mut gate_up = wanted.contains(&true).then(|| Room::new(mixture.saved_len()));
        moe::forward(u, &mixture, join, gate_up.as_mut().map(Room::stored), &mut y);

        let ids = expert_ids.iter().map(|id| *id as f32).collect();
        let outputs = [Array::new(y, u.shape().clone()), Array::new(logits, [tokens, e]), Array::new(ids, [tokens, k])];
        let expert_weights = Array::from(expert_weights);
        let saved = gate_up.map(|gate_up| SavedMixture {
            u: Kept::activation(u),
            gate_up: gate_up.keep(),
            expert_weights: Kept::exact(&expert_weights),
            expert_ids,
            dispatch,
            weights: [router, w_in, w_out, shared_in, shared_out].map(Kept::weight),
        });
        (outputs, saved)
    }

    fn backward(&self, saved: SavedMixture, grads: [Option<Array>; 3], _: [bool; 7]) -> [Option<Array>; 7] {
        let [d_out, d_logits, _] = grads;
        let (u, gate_up, expert_weights) = (saved.u.stored(), saved.gate_up.stored(), saved.expert_weights.read());
        let [router, w_in, w_out, shared_in, shared_out] = saved.weights.each_ref().map(Kept::read);
        let k = self.top_k;
        let tokens = saved.expert_ids.len() / k;
        let e = saved.dispatch.n_experts();
        let d = router.len() / e;
        // the loss may depend on the router's logits alone
        let d_out = d_out.unwrap_or_else(|| vec![0.0; tokens * d].into());
        let shared = mlp::Mlp::new(&shared_in, &shared_out, d, shared_out.len() / d);
        let mixture = moe::Mixture {
            experts: Experts::new(&w_in, &w_out, e, d, w_out.len() / (e * d)).with_operands(self.products),
            dispatch: &saved.dispatch,
            expert_weights: &expert_weights,
            shared: Some(shared.with_operands(self.products)),
        };
        let [mut d_router, mut d_w_in, mut d_w_out, mut d_shared_in, mut d_shared_out] =
            [&router, &w_in, &w_out, &shared_in, &shared_out].map(|weight| buffers::take(weight.len()));
        let (mut d_u, mut d_expert_weights) = (buffers::take(tokens * d), buffers::take(tokens * k));
        let gradients = Gradients {
            d_u: &mut d_u,
            d_expert_weights: &mut d_expert_weights,
            d_w_in: &mut d_w_in,
            d_w_out: &mut d_w_out,
            d_shared: Some((&mut d_shared_in, &mut d_shared_out)),
        };
        moe::backward(u, &mixture, self.multiplier, Some(gate_up), &d_out, gradients);
        moe::route_backward(
            u,
            &router,
            e,
            k,
            &saved.expert_ids,
            &expert_weights,
            &d_expert_weights,
            d_logits.as_deref(),
            &mut d_u,
            &mut d_router,
        );
        buffers::give(d_expert_weights);
        let [d_u, d_router, d_w_in, d_w_out, d_shared_in, d_shared_out] =
            [d_u, d_router, d_w_in, d_w_out, d_shared_in, d_shared_out].map(|grad| Some(grad.into()));
        [d_u, d_router, d_w_in, d_w_out, d_shared_in, d_shared_out, Some(d_out)]
    }
}

pub(super) fn router_losses(routing: &Routing) -> [Tensor<1>; 2] {
    let tokens_per_expert = routing.tokens_per_expert().into_iter().map(|count| count as usize).collect();
    apply(RouterLosses { tokens_per_expert }, [routing.logits.clone().into_dispatch()]).map(Tensor::from_dispatch)
}

/// Input: router logits. Outputs: the load-balancing loss and the z-loss.
struct RouterLosses {
    tokens_per_expert: Vec<usize>,
}

impl Function<1, 2> for RouterLosses {
    type On = Flex;
    type Saved = Kept;

    fn forward(&self, [logits]: [Array; 1], [wanted]: [bool; 1]) -> ([Array; 2], Option<Kept>) {
        let moe::RouterLosses { load_balance, z } = moe::router_losses(&logits, &self.tokens_per_expert);
        ([load_balance, z].map(|loss| vec![loss].into()), wanted.then(|| Kept::exact(&logits)))
    }

    fn backward(&self, logits: Kept, grads: [Option<Array>; 2], _: [bool; 1]) -> [Option<Array>; 1] {
        let [load_balance, z] = grads.map(|grad| grad.map_or(0.0, |grad| grad[0]));
        let logits = logits.read();
        let mut d_logits = buffers::take(logits.len());
        let d_losses = moe::RouterLosses { load_balance, z };
        moe::router_losses_backward(&logits, &self.tokens_per_expert, d_losses, &mut d_logits);
        [Some(d_logits.into())]
    }
}
