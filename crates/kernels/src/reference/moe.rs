//! Mixture of experts, a token and an expert at a time.

use super::{Mlp, mlp, mlp_backward};

/// What the router decides for each token.
#[derive(Clone, Debug)]
pub struct Routed {
    /// [t, e]
    pub logits: Vec<f64>,
    /// [t, k], from the largest logit.
    pub expert_ids: Vec<u32>,
    /// [t, k], a softmax over the chosen.
    pub expert_weights: Vec<f64>,
}

/// Twin of [`moe::route`](crate::moe::route): the `top_k` largest logits, ties to the lower index, and a softmax over
/// them, arXiv 2401.04088 §2.1.
///
/// # Shapes
/// `u`: [t, d], `router`: [e, d]
pub fn route(u: &[f64], router: &[f64], n_experts: usize, top_k: usize) -> Routed {
    let d = router.len() / n_experts;
    let mut routed = Routed { logits: Vec::new(), expert_ids: Vec::new(), expert_weights: Vec::new() };
    for u in u.chunks(d) {
        let logits: Vec<f64> = router.chunks(d).map(|row| row.iter().zip(u).map(|(w, u)| w * u).sum()).collect();
        let mut ids: Vec<usize> = (0..n_experts).collect();
        ids.sort_by(|a, b| logits[*b].total_cmp(&logits[*a]).then(a.cmp(b)));
        ids.truncate(top_k);
        routed.expert_weights.extend(softmax(&ids.iter().map(|id| logits[*id]).collect::<Vec<_>>()));
        routed.expert_ids.extend(ids.iter().map(|id| *id as u32));
        routed.logits.extend(logits);
    }
    routed
}

/// Twin of [`moe::route_backward`](crate::moe::route_backward): `(d_u, d_router)`.
///
/// # Shapes
/// `u`: [t, d], `router`: [e, d], `d_expert_weights`: [t, k], `d_logits`: [t, e] → ([t, d], [e, d])
pub fn route_backward(
    u: &[f64],
    router: &[f64],
    n_experts: usize,
    top_k: usize,
    d_expert_weights: &[f64],
    d_logits: &[f64],
) -> (Vec<f64>, Vec<f64>) {
    let d = router.len() / n_experts;
    let routed = route(u, router, n_experts, top_k);
    let (mut d_u, mut d_router) = (vec![0.0; u.len()], vec![0.0; router.len()]);
    for t in 0..u.len() / d {
        let chosen = t * top_k..(t + 1) * top_k;
        let (ids, weights) = (&routed.expert_ids[chosen.clone()], &routed.expert_weights[chosen.clone()]);
        let d_weights = &d_expert_weights[chosen];
        for e in 0..n_experts {
            let mut d_logit = d_logits[t * n_experts + e];
            for i in (0..top_k).filter(|i| ids[*i] as usize == e) {
                for j in 0..top_k {
                    // ∂weight_j/∂logit_i = weight_j·(δᵢⱼ − weight_i)
                    let same = if i == j { 1.0 } else { 0.0 };
                    d_logit += d_weights[j] * weights[j] * (same - weights[i]);
                }
            }
            for i in 0..d {
                d_u[t * d + i] += d_logit * router[e * d + i];
                d_router[e * d + i] += d_logit * u[t * d + i];
            }
        }
    }
    (d_u, d_router)
}

/// Twin of [`moe::forward`](crate::moe::forward) without the residual and the shared expert:
/// `Σ_k weight_k·expert_k(u)`.
///
/// # Shapes
/// `u`: [t, d], `expert_ids`, `expert_weights`: [t, k] → [t, d]
pub fn experts(u: &[f64], experts: &[Mlp<'_>], expert_ids: &[u32], expert_weights: &[f64]) -> Vec<f64> {
    let d = experts[0].d;
    let top_k = expert_ids.len() * d / u.len().max(1);
    let mut y = vec![0.0; u.len()];
    for a in 0..expert_ids.len() {
        let token = a / top_k * d..(a / top_k + 1) * d;
        let row = mlp(&u[token.clone()], &experts[expert_ids[a] as usize]);
        for (y, x) in y[token].iter_mut().zip(row) {
            *y += expert_weights[a] * x;
        }
    }
    y
}

/// Gradients of a mixture.
#[derive(Clone, Debug)]
pub struct ExpertGradients {
    /// [t, d]
    pub d_u: Vec<f64>,
    /// [t, k]
    pub d_expert_weights: Vec<f64>,
    /// [e, 2·f, d]
    pub d_w_in: Vec<f64>,
    /// [e, d, f]
    pub d_w_out: Vec<f64>,
}

/// Twin of [`moe::backward`](crate::moe::backward) without the shared expert.
///
/// # Shapes
/// `u`, `d_y`: [t, d], `expert_ids`, `expert_weights`: [t, k]
pub fn experts_backward(
    u: &[f64],
    experts: &[Mlp<'_>],
    expert_ids: &[u32],
    expert_weights: &[f64],
    d_y: &[f64],
) -> ExpertGradients {
    let Mlp { d, f, .. } = experts[0];
    let top_k = expert_ids.len() * d / u.len().max(1);
    let len = f * d;
    let mut gradients = ExpertGradients {
        d_u: vec![0.0; u.len()],
        d_expert_weights: Vec::new(),
        d_w_in: vec![0.0; experts.len() * 2 * len],
        d_w_out: vec![0.0; experts.len() * len],
    };
    for a in 0..expert_ids.len() {
        let (token, e) = (a / top_k * d..(a / top_k + 1) * d, expert_ids[a] as usize);
        let (u, d_y) = (&u[token.clone()], &d_y[token.clone()]);
        let y = mlp(u, &experts[e]);
        gradients.d_expert_weights.push(y.iter().zip(d_y).map(|(y, d_y)| y * d_y).sum());
        let d_y: Vec<f64> = d_y.iter().map(|d_y| expert_weights[a] * d_y).collect();
        let own = mlp_backward(u, &experts[e], &d_y);
        add(&mut gradients.d_u[token], &own.d_u);
        add(&mut gradients.d_w_in[e * 2 * len..], &own.d_w_in);
        add(&mut gradients.d_w_out[e * len..], &own.d_w_out);
    }
    gradients
}

/// Twin of [`moe::router_losses`](crate::moe::router_losses): `e·Σ_e share_e·P_e` (arXiv 2101.03961 eq. 4–6) and the
/// mean of `logsumexp²` (arXiv 2202.08906 eq. 5).
///
/// # Shapes
/// `logits`: [t, e], `tokens_per_expert`: `[e]`
pub fn router_losses(logits: &[f64], tokens_per_expert: &[usize]) -> [f64; 2] {
    let e = tokens_per_expert.len();
    let tokens = (logits.len() / e) as f64;
    let assignments = tokens_per_expert.iter().sum::<usize>() as f64;
    let mut losses = [0.0; 2];
    for logits in logits.chunks(e) {
        let probabilities = softmax(logits);
        for (p, count) in probabilities.iter().zip(tokens_per_expert) {
            losses[0] += e as f64 * (*count as f64 / assignments) * p / tokens;
        }
        losses[1] += logits.iter().map(|x| x.exp()).sum::<f64>().ln().powi(2) / tokens;
    }
    losses
}

fn softmax(x: &[f64]) -> Vec<f64> {
    let sum: f64 = x.iter().map(|x| x.exp()).sum();
    x.iter().map(|x| x.exp() / sum).collect()
}

fn add(to: &mut [f64], x: &[f64]) {
    to.iter_mut().zip(x).for_each(|(to, x)| *to += x);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::{assert_gradient, inner, wide},
        test_data::uniform,
    };

    #[test]
    fn gradients_of_the_router_are_slopes() {
        let (t, d, e, k) = (5, 3, 4, 2);
        let (u, router) = (wide(&uniform(t * d, 1)), wide(&uniform(e * d, 2)));
        let (d_weights, d_logits) = (wide(&uniform(t * k, 3)), wide(&uniform(t * e, 4)));
        let loss = |u: &[f64], router: &[f64]| {
            let routed = route(u, router, e, k);
            inner(&routed.expert_weights, &d_weights) + inner(&routed.logits, &d_logits)
        };
        let (d_u, d_router) = route_backward(&u, &router, e, k, &d_weights, &d_logits);
        assert_gradient(|u| loss(u, &router), &u, &d_u, "u");
        assert_gradient(|router| loss(&u, router), &router, &d_router, "router");
    }

    #[test]
    fn gradients_of_the_experts_are_slopes() {
        let (t, d, f, e, k) = (4, 3, 2, 3, 2);
        let (u, d_y) = (wide(&uniform(t * d, 1)), wide(&uniform(t * d, 2)));
        let (w_in, w_out) = (wide(&uniform(e * 2 * f * d, 3)), wide(&uniform(e * d * f, 4)));
        let (ids, weights) = ([0, 2, 2, 1, 0, 1, 2, 0], wide(&uniform(t * k, 5)));
        let mlps = |w_in: &[f64], w_out: &[f64], then: &dyn Fn(&[Mlp<'_>]) -> f64| {
            let pairs = w_in.chunks(2 * f * d).zip(w_out.chunks(d * f));
            then(&pairs.map(|(w_in, w_out)| Mlp { w_in, w_out, d, f }).collect::<Vec<_>>())
        };
        let loss = |u: &[f64], weights: &[f64], w_in: &[f64], w_out: &[f64]| {
            mlps(w_in, w_out, &|mlps| inner(&experts(u, mlps, &ids, weights), &d_y))
        };
        mlps(&w_in, &w_out, &|mlps| {
            let gradients = experts_backward(&u, mlps, &ids, &weights, &d_y);
            assert_gradient(|u| loss(u, &weights, &w_in, &w_out), &u, &gradients.d_u, "u");
            assert_gradient(|w| loss(&u, w, &w_in, &w_out), &weights, &gradients.d_expert_weights, "weights");
            assert_gradient(|w| loss(&u, &weights, w, &w_out), &w_in, &gradients.d_w_in, "w_in");
            assert_gradient(|w| loss(&u, &weights, &w_in, w), &w_out, &gradients.d_w_out, "w_out");
            0.0
        });
    }
}
