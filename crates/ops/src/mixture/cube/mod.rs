//! The fused forms of CubeCL's devices: tokens go to their experts in rows sorted by expert, which no host sees.

mod groups;
mod products;
mod route;
mod swiglu;

use burn::tensor::Tensor;
use burn_cubecl::CubeBackend;
use itera_shape::Precision;

use self::{
    groups::Groups,
    products::{Rows, Turned},
    route::{Routed, route, route_gradient},
    swiglu::{Weighed, swiglu, swiglu_gradient},
};
use super::types::{MixtureWeights, MlpWeights, Routing, inputs, outputs};
use crate::{
    cube::{
        array::{Array, array, rows, tensor, zeros},
        operand::Operand,
    },
    function::{Function, apply, only},
    precision::precisions,
};

pub(super) fn mlp(u: Tensor<3>, weights: MlpWeights, residual: Tensor<3>, multiplier: f64) -> Tensor<3> {
    let MlpWeights { w_in, w_out } = weights;
    let inputs = [u.into_dispatch(), w_in.into_dispatch(), w_out.into_dispatch(), residual.into_dispatch()];
    let mlp = Mlp { products: precisions().products, multiplier: multiplier as f32 };
    let [y] = apply(mlp, inputs);
    Tensor::from_dispatch(y)
}

/// Inputs: u, w_in, w_out, residual.
struct Mlp {
    products: Precision,
    multiplier: f32,
}

/// An MLP that every token goes through, as its backward pass needs it.
struct Dense {
    products: Precision,
    u: Operand,
    w_in: Operand,
    w_out: Operand,
    /// gate | up of every token [t, 2·f]
    gate_up: Array,
}

impl Dense {
    /// Of every token `u` [t, d], and its result `(silu(gate) · up) · w_outᵀ` [t, d], `gate | up = u · w_inᵀ`.
    fn forward(u: &Array, w_in: &Array, w_out: &Array, products: Precision) -> (Self, Tensor<2>) {
        let [u, w_in, w_out] = [u, w_in, w_out].map(|values| Operand::rows(values, products));
        let gate_up = array(u.times(&w_in.t()));
        let out = Operand::rows(&swiglu(&gate_up), products).times(&w_out.t());
        (Self { products, u, w_in, w_out, gate_up }, out)
    }

    /// Gradients of u, w_in and w_out from that of the result.
    fn gradients(&self, dy: Tensor<2>) -> [Tensor<2>; 3] {
        let Self { products, u, w_in, w_out, gate_up } = self;
        let dy = Operand::new(dy, *products);
        let d_hidden = array(dy.times(w_out));
        let (d_gate_up, hidden) = swiglu_gradient(gate_up, &d_hidden, None);
        let [d_gate_up, hidden] = [d_gate_up, hidden].map(|values| Operand::rows(&values, *products));
        [d_gate_up.times(w_in), d_gate_up.t().times(u), dy.t().times(&hidden)]
    }
}

impl Function<4, 1> for Mlp {
    type On = CubeBackend;

    type Saved = Dense;

    fn forward(&self, [u, w_in, w_out, residual]: [Array; 4], wanted: [bool; 4]) -> ([Array; 1], Option<Dense>) {
        let (dense, out) = Dense::forward(&u, &w_in, &w_out, self.products);
        let y = rows(&residual) + out.mul_scalar(self.multiplier);
        ([array(y.reshape(shape3(&u)))], wanted.contains(&true).then_some(dense))
    }

    fn backward(&self, dense: Dense, grads: [Option<Array>; 1], _: [bool; 4]) -> [Option<Array>; 4] {
        let dy = only(grads);
        let d_out = rows(&dy).mul_scalar(self.multiplier);
        let [d_u, d_w_in, d_w_out] = dense.gradients(d_out).map(|grad| Some(array(grad)));
        [d_u, d_w_in, d_w_out, Some(dy)]
    }
}

fn shape3(array: &Array) -> [usize; 3] {
    let shape = array.shape();
    [shape[0], shape[1], shape[2]]
}

pub(super) fn mixture(
    u: Tensor<3>,
    weights: MixtureWeights,
    top_k: usize,
    residual: Tensor<3>,
    multiplier: f64,
) -> (Tensor<3>, Routing) {
    let mixture = Mixture { products: precisions().products, top_k, multiplier: multiplier as f32 };
    outputs(apply(mixture, inputs(u, weights, residual)))
}

/// From [`inputs`] to [`outputs`].
struct Mixture {
    /// Of the shared expert.
    products: Precision,
    top_k: usize,
    multiplier: f32,
}

struct Saved {
    u: Array,
    routed: Routed,
    groups: Groups,
    /// Of the rows of `groups`.
    gate_up: Array,
    /// router, w_in, w_out
    weights: [Array; 3],
    shared: Dense,
}

impl Function<7, 3> for Mixture {
    type On = CubeBackend;

    type Saved = Saved;

    fn forward(&self, inputs: [Array; 7], wanted: [bool; 7]) -> ([Array; 3], Option<Saved>) {
        let [u, router, w_in, w_out, shared_in, shared_out, residual] = inputs;
        let logits = array(rows(&u).matmul(tensor::<2>(router.clone()).transpose()));
        let routed = route(&logits, self.top_k);
        let groups = Groups::new(&routed, w_in.shape()[0]);

        let gate_up = groups.rows_by_experts(Rows::OfTokens(&u), &w_in, Turned::Yes);
        let out = groups.rows_by_experts(Rows::Sorted(&swiglu(&gate_up)), &w_out, Turned::Yes);
        let (shared, of_shared) = Dense::forward(&u, &shared_in, &shared_out, self.products);
        let sum = groups.sum_of_tokens(&out, Some(&routed.weights), &array(of_shared));
        let y = rows(&residual) + tensor::<2>(sum).mul_scalar(self.multiplier);

        let outputs = [array(y.reshape(shape3(&u))), logits, routed.ids_as_floats.clone()];
        let saved = wanted.contains(&true).then_some(Saved {
            u,
            routed,
            groups,
            gate_up,
            weights: [router, w_in, w_out],
            shared,
        });
        (outputs, saved)
    }

    fn backward(&self, saved: Saved, grads: [Option<Array>; 3], _: [bool; 7]) -> [Option<Array>; 7] {
        let [d_out, d_logits, _] = grads;
        let Saved { u, routed, groups, gate_up, weights: [router, w_in, w_out], shared } = saved;
        // the loss may depend on the router's logits alone
        let d_residual = d_out.unwrap_or_else(|| zeros(&u));
        let dy = rows(&d_residual).mul_scalar(self.multiplier);
        let [d_u, d_shared_in, d_shared_out] = shared.gradients(dy.clone());

        let dy = array(dy);
        let d_hidden = groups.rows_by_experts(Rows::OfTokens(&dy), &w_out, Turned::No);
        let d_weights = routed.weights.like();
        let weighed = Weighed { weights: &routed.weights, slots: &groups.slots, d_weights: &d_weights };
        let (d_gate_up, hidden) = swiglu_gradient(&gate_up, &d_hidden, Some(weighed));
        let d_w_out = groups.weight_gradient(Rows::OfTokens(&dy), Rows::Sorted(&hidden));
        let d_w_in = groups.weight_gradient(Rows::Sorted(&d_gate_up), Rows::OfTokens(&u));
        let d_rows = groups.rows_by_experts(Rows::Sorted(&d_gate_up), &w_in, Turned::No);
        let d_u = groups.sum_of_tokens(&d_rows, None, &array(d_u));

        let d_logits: Tensor<2> = tensor(route_gradient(&routed, &d_weights, d_logits));
        let d_router = d_logits.clone().transpose().matmul(rows(&u));
        let d_u = tensor::<2>(d_u) + d_logits.matmul(tensor(router));
        let [d_u, d_router, d_shared_in, d_shared_out] = [d_u, d_router, d_shared_in, d_shared_out].map(array);
        [d_u, d_router, d_w_in, d_w_out, d_shared_in, d_shared_out, d_residual].map(Some)
    }
}
