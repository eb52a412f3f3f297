//! u → router → top-k experts, weighted, and the shared expert → added to the residual stream

use burn::tensor::{Int, Tensor};

use crate::composite;

/// Weights of a SwiGLU MLP: `w_out·(silu(gate) · up)`, `gate | up = w_in·u` (arXiv 2002.05202 eq. 6).
#[derive(Clone, Debug)]
pub struct MlpWeights {
    /// [2·f, d], the gate's rows first.
    pub w_in: Tensor<2>,
    /// [d, f]
    pub w_out: Tensor<2>,
}

/// Weights of a mixture of SwiGLU experts with a shared one.
#[derive(Clone, Debug)]
pub struct MixtureWeights {
    /// [e, d]
    pub router: Tensor<2>,
    /// [e, 2·f, d], the gate's rows of an expert first.
    pub w_in: Tensor<3>,
    /// [e, d, f]
    pub w_out: Tensor<3>,
    /// The expert that every token goes through.
    pub shared: MlpWeights,
}

/// Where the router sent each token.
#[derive(Clone, Debug)]
pub struct Routing {
    /// Router logits [t, e], f32.
    pub logits: Tensor<2>,
    /// Ids of the chosen experts [t, k], from the largest logit.
    pub expert_ids: Tensor<2, Int>,
}

impl Routing {
    /// Tokens that each expert got.
    pub fn tokens_per_expert(&self) -> Vec<u64> {
        let mut counts = vec![0; self.logits.dims()[1]];
        for id in self.expert_ids.to_data().iter::<i64>() {
            counts[id as usize] += 1;
        }
        counts
    }
}

/// `residual + multiplier · mlp(u)`.
///
/// # Shapes
/// `u`, `residual`: [b, l, d] → [b, l, d]
pub fn mlp(u: Tensor<3>, weights: MlpWeights, residual: Tensor<3>, multiplier: f64) -> Tensor<3> {
    #[cfg(feature = "flex")]
    if crate::function::fused(&u) {
        let MlpWeights { w_in, w_out } = weights;
        let inputs = [u.into_dispatch(), w_in.into_dispatch(), w_out.into_dispatch(), residual.into_dispatch()];
        let products = crate::precision::precisions().products;
        let [y] = crate::function::apply(flex::Mlp { products, multiplier: multiplier as f32 }, inputs);
        return Tensor::from_dispatch(y);
    }
    composite::mlp(u, weights, residual, multiplier)
}

/// `residual + multiplier · (shared(u) + Σ_k weight_k · expert_k(u))`: each token goes through the `top_k` experts with
/// the largest router logits (ties to the lower index), weighed by a softmax over those (arXiv 2401.04088 §2.1). No
/// token is dropped.
///
/// # Shapes
/// `u`, `residual`: [b, l, d] → [b, l, d]
pub fn mixture(
    u: Tensor<3>,
    weights: MixtureWeights,
    top_k: usize,
    residual: Tensor<3>,
    multiplier: f64,
) -> (Tensor<3>, Routing) {
    #[cfg(feature = "flex")]
    if crate::function::fused(&u) {
        return flex::mixture(u, weights, top_k, residual, multiplier as f32);
    }
    composite::mixture(u, weights, top_k, residual, multiplier)
}

/// The auxiliary losses of a router, one value each:
///
/// - load balancing (Switch Transformer, arXiv 2101.03961 eq. 4–6): `e · Σ_e f_e · P_e`, f the share of assignments
///   that went to an expert (so it sums to 1 for any top_k), P the mean router probability; perfect balance gives 1;
/// - z-loss (ST-MoE, arXiv 2202.08906 eq. 5): the mean over tokens of `logsumexp(logits)²`.
pub fn router_losses(routing: &Routing) -> [Tensor<1>; 2] {
    #[cfg(feature = "flex")]
    if crate::function::fused(&routing.logits) {
        let tokens_per_expert = routing.tokens_per_expert().into_iter().map(|count| count as usize).collect();
        let losses = flex::RouterLosses { tokens_per_expert };
        return crate::function::apply(losses, [routing.logits.clone().into_dispatch()]).map(Tensor::from_dispatch);
    }
    composite::router_losses(routing)
}

#[cfg(feature = "flex")]
mod flex;
