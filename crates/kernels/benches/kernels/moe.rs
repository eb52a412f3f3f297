//! A mixture of experts with a shared one, its router and its losses, and backward.

use divan::Bencher;
use itera_kernels::{
    mlp::{Join, Mlp},
    moe::{
        Dispatch, Experts, Gradients, Mixture, RouterLosses, backward, forward, route, route_backward, router_losses,
        router_losses_backward,
    },
    stored::StoredMut,
};

use crate::support::{Shape, Work, bench, uniform};

const SHAPES: [Shape<5>; 2] = [
    Shape([("t", 4096), ("d", 128), ("f", 128), ("e", 4), ("k", 2)]),
    Shape([("t", 4096), ("d", 128), ("f", 32), ("e", 64), ("k", 8)]),
];

/// Inputs, weights, and where the router sends the tokens.
struct Case {
    t: usize,
    d: usize,
    f: usize,
    e: usize,
    k: usize,
    u: Vec<f32>,
    d_out: Vec<f32>,
    router: Vec<f32>,
    logits: Vec<f32>,
    expert_ids: Vec<u32>,
    expert_weights: Vec<f32>,
    dispatch: Dispatch,
    w_in: Vec<f32>,
    w_out: Vec<f32>,
}

impl Case {
    fn new(shape: &Shape<5>) -> Self {
        let [t, d, f, e, k] = shape.sizes();
        let (u, router) = (uniform(t * d, -1.0, 1.0, 1), uniform(e * d, -1.0, 1.0, 2));
        let (mut logits, mut expert_ids, mut expert_weights) = (vec![0.0; t * e], vec![0; t * k], vec![0.0; t * k]);
        route(&u, &router, e, k, &mut logits, &mut expert_ids, &mut expert_weights);
        Self {
            t,
            d,
            f,
            e,
            k,
            u,
            d_out: uniform(t * d, -1.0, 1.0, 3),
            router,
            logits,
            dispatch: Dispatch::new(&expert_ids, e, k),
            expert_ids,
            expert_weights,
            w_in: uniform(e * 2 * f * d, -0.1, 0.1, 4),
            w_out: uniform(e * d * f, -0.1, 0.1, 5),
        }
    }

    /// The shared expert has the weights of the first.
    fn mixture(&self) -> Mixture<'_> {
        let Self { d, f, e, .. } = *self;
        Mixture {
            experts: Experts::new(&self.w_in, &self.w_out, e, d, f),
            dispatch: &self.dispatch,
            expert_weights: &self.expert_weights,
            shared: Some(Mlp::new(&self.w_in[..2 * f * d], &self.w_out[..d * f], d, f)),
        }
    }

    /// Rows through an MLP.
    fn rows(&self) -> usize {
        self.t * (self.k + 1)
    }

    /// Input, output and one more [t, d], what is saved, and the weights.
    fn work(&self, passes: usize) -> Work {
        let Self { t, d, f, e, .. } = *self;
        let products = 3 * 2 * self.rows() * d * f;
        Work { floats: 3 * t * d + self.rows() * 2 * f + passes * 3 * (e + 1) * d * f, flops: passes * products }
    }
}

#[divan::bench(args = SHAPES)]
fn moe(bencher: Bencher<'_, '_>, shape: &Shape<5>) {
    let case = Case::new(shape);
    let mixture = case.mixture();
    let (mut saved, mut out) = (vec![0.0; mixture.saved_len()], vec![0.0; case.u.len()]);
    let join = Join { residual: Some(&case.d_out), multiplier: 0.5 };
    bench(bencher, case.work(1), || forward(&case.u, &mixture, join, Some(StoredMut::F32(&mut saved)), &mut out));
}

#[divan::bench(args = SHAPES)]
fn moe_backward(bencher: Bencher<'_, '_>, shape: &Shape<5>) {
    let case = Case::new(shape);
    let mixture = case.mixture();
    let saved = uniform(mixture.saved_len(), -1.0, 1.0, 6);
    let (mut d_u, mut d_expert_weights) = (case.u.clone(), case.expert_weights.clone());
    let (mut d_w_in, mut d_w_out) = (case.w_in.clone(), case.w_out.clone());
    let len = case.d * case.f;
    let (mut d_shared_in, mut d_shared_out) = (vec![0.0; 2 * len], vec![0.0; len]);
    bench(bencher, case.work(2), || {
        let gradients = Gradients {
            d_u: &mut d_u,
            d_expert_weights: &mut d_expert_weights,
            d_w_in: &mut d_w_in,
            d_w_out: &mut d_w_out,
            d_shared: Some((&mut d_shared_in, &mut d_shared_out)),
        };
        backward(case.u[..].into(), &mixture, 0.5, Some(saved[..].into()), &case.d_out, gradients);
    });
}

#[divan::bench(args = SHAPES)]
fn moe_route(bencher: Bencher<'_, '_>, shape: &Shape<5>) {
    let Case { t, d, e, k, u, router, mut logits, mut expert_ids, mut expert_weights, .. } = Case::new(shape);
    bench(bencher, Work { floats: t * (d + e + 2 * k) + e * d, flops: 2 * t * d * e }, || {
        route(&u, &router, e, k, &mut logits, &mut expert_ids, &mut expert_weights);
        Dispatch::new(&expert_ids, e, k)
    });
}

#[divan::bench(args = SHAPES)]
fn moe_route_backward(bencher: Bencher<'_, '_>, shape: &Shape<5>) {
    let Case { t, d, e, k, u, router, logits, expert_ids, expert_weights, d_out, .. } = Case::new(shape);
    let (d_weights, d_logits) = (expert_weights.clone(), logits);
    let (mut d_u, mut d_router) = (d_out, router.clone());
    bench(bencher, Work { floats: t * (3 * d + e + 3 * k) + 2 * e * d, flops: 4 * t * d * e }, || {
        let (ids, weights, d_logits) = (&expert_ids, &expert_weights, Some(&d_logits[..]));
        route_backward(u[..].into(), &router, e, k, ids, weights, &d_weights, d_logits, &mut d_u, &mut d_router);
    });
}

#[divan::bench(args = SHAPES)]
fn moe_router_losses(bencher: Bencher<'_, '_>, shape: &Shape<5>) {
    let Case { t, e, logits, dispatch, .. } = Case::new(shape);
    let tokens_per_expert: Vec<usize> = dispatch.tokens_per_expert().collect();
    let mut d_logits = logits.clone();
    bench(bencher, Work { floats: 3 * t * e, flops: 10 * t * e }, || {
        let d_losses = RouterLosses { load_balance: 0.01, z: 0.001 };
        router_losses_backward(&logits, &tokens_per_expert, d_losses, &mut d_logits);
        router_losses(&logits, &tokens_per_expert)
    });
}
