//! mlp, mixture, router_losses

use burn::tensor::{Int, Tensor, TensorData};
use itera_ops::{MixtureWeights, MlpWeights, Routing, mixture, mlp, router_losses};
use itera_testkit::{F32_REORDERED, uniform};

use crate::case::{Case, Output};

#[test]
fn mlp_is_its_composite() {
    for [b, l, d, f] in
        [[1, 1, 1, 1], [1, 3, 7, 5], [2, 33, 16, 24], [1, 65, 33, 17], [2, 64, 128, 128], [3, 50, 64, 1]]
    {
        for multiplier in [1.0, -0.3] {
            Case::new(format!("mlp, {b} of {l}, d {d}, f {f}, times {multiplier}"), F32_REORDERED)
                .uniform(b * l * d, -1.0, 1.0)
                .uniform(2 * f * d, -0.5, 0.5)
                .uniform(d * f, -0.5, 0.5)
                .uniform(b * l * d, -1.0, 1.0)
                .check(|inputs| {
                    let [u, w_in, w_out, residual] = inputs else { unreachable!() };
                    let rows = |t: &Tensor<1>| t.clone().reshape([b, l, d]);
                    let weights =
                        MlpWeights { w_in: w_in.clone().reshape([2 * f, d]), w_out: w_out.clone().reshape([d, f]) };
                    vec![mlp(rows(u), weights, rows(residual), multiplier).into()]
                });
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Sizes {
    b: usize,
    l: usize,
    d: usize,
    e: usize,
    k: usize,
    f: usize,
    /// d_expert of the shared expert
    f_shared: usize,
    multiplier: f64,
}

impl Sizes {
    fn new([b, l, d, e, k, f, f_shared]: [usize; 7], multiplier: f64) -> Self {
        Self { b, l, d, e, k, f, f_shared, multiplier }
    }

    fn check(&self, what: &str, u: Vec<f32>, router: Vec<f32>) {
        let Self { b, l, d, e, k, f, f_shared, multiplier } = *self;
        Case::new(format!("mixture {what}, {self:?}"), F32_REORDERED)
            .input(u)
            .input(router)
            .uniform(e * 2 * f * d, -0.5, 0.5)
            .uniform(e * d * f, -0.5, 0.5)
            .uniform(2 * f_shared * d, -0.5, 0.5)
            .uniform(d * f_shared, -0.5, 0.5)
            .uniform(b * l * d, -1.0, 1.0)
            .check(|inputs| {
                let [u, router, w_in, w_out, shared_in, shared_out, residual] = inputs else { unreachable!() };
                let rows = |t: &Tensor<1>| t.clone().reshape([b, l, d]);
                let shared = MlpWeights {
                    w_in: shared_in.clone().reshape([2 * f_shared, d]),
                    w_out: shared_out.clone().reshape([d, f_shared]),
                };
                let weights = MixtureWeights {
                    router: router.clone().reshape([e, d]),
                    w_in: w_in.clone().reshape([e, 2 * f, d]),
                    w_out: w_out.clone().reshape([e, d, f]),
                    shared,
                };
                let (y, routing) = mixture(rows(u), weights, k, rows(residual), multiplier);
                vec![y.into(), routing.logits.into(), Output::ids(routing.expert_ids)]
            });
    }

    fn random_u(&self) -> Vec<f32> {
        uniform(self.b * self.l * self.d, -1.0, 1.0, 50)
    }
}

#[test]
fn mixture_is_its_composite() {
    for sizes in [
        [1, 1, 1, 1, 1, 1, 1],
        [1, 1, 8, 4, 2, 8, 8],
        [2, 5, 7, 3, 1, 5, 9],
        [1, 33, 16, 4, 2, 16, 16],
        // every expert of every token
        [2, 17, 12, 5, 5, 6, 4],
        // more experts than assignments, so that some are empty
        [1, 3, 16, 16, 2, 8, 8],
        [3, 43, 33, 8, 3, 17, 31],
        [2, 64, 64, 4, 2, 32, 64],
    ] {
        for multiplier in [1.0, 0.22] {
            let sizes = Sizes::new(sizes, multiplier);
            sizes.check("of a random router", sizes.random_u(), uniform(sizes.e * sizes.d, -1.0, 1.0, 51));
        }
    }
}

#[test]
fn all_tokens_may_go_to_the_same_experts() {
    for sizes in [[2, 40, 16, 6, 1, 8, 8], [2, 40, 16, 6, 2, 8, 8]] {
        let sizes = Sizes::new(sizes, 0.5);
        // positive rows, and a router that falls from the last expert to the first
        let u = uniform(sizes.b * sizes.l * sizes.d, 0.5, 1.0, 50);
        let router = (0..sizes.e * sizes.d).map(|i| 0.2 * (i / sizes.d) as f32).collect();
        sizes.check("to the last experts", u, router);
    }
}

#[test]
fn ties_go_to_the_lower_expert() {
    let sizes = Sizes::new([1, 20, 8, 4, 2, 8, 8], 1.0);
    sizes.check("of a router that does not care", sizes.random_u(), vec![0.0; 32]);
}

/// Losses of a routing of `t` tokens, the chosen experts given by `choose(token, rank)`.
fn check_losses([t, e, k]: [usize; 3], choose: impl Fn(usize, usize) -> usize) {
    let ids: Vec<i32> = (0..t * k).map(|i| choose(i / k, i % k) as i32).collect();
    Case::new(format!("router losses, {t} tokens, top {k} of {e}"), F32_REORDERED).uniform(t * e, -4.0, 4.0).check(
        |inputs| {
            let expert_ids = Tensor::<2, Int>::from_data(TensorData::new(ids.clone(), [t, k]), &inputs[0].device());
            let [load_balance, z] = router_losses(&Routing { logits: inputs[0].clone().reshape([t, e]), expert_ids });
            vec![load_balance.into(), z.into()]
        },
    );
}

#[test]
fn router_losses_are_their_composite() {
    for [t, e, k] in [[1, 1, 1], [1, 8, 2], [5, 3, 1], [64, 4, 2], [130, 17, 3], [33, 5, 5]] {
        check_losses([t, e, k], |token, rank| (token * 3 + rank) % e);
        // the same experts for every token, the others empty
        check_losses([t, e, k], |_, rank| rank);
    }
}
