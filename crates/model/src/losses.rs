//! routings → auxiliary losses and expert use

use burn::tensor::{Tensor, activation::softmax};
use itera_ops::Routing;

/// Load-balancing loss (Switch Transformer, arXiv 2101.03961 eq. 4–6), the mean over layers of `e · Σ_e f_e · P_e`.
///
/// `f` is the share of assignments that went to an expert (so it sums to 1 for any top_k), `P` the mean router
/// probability; perfect balance gives 1. One value; `None` without experts.
pub fn load_balance_loss(routings: &[Routing]) -> Option<Tensor<1>> {
    mean_over_layers(routings, |routing| {
        let [t, e] = routing.logits.dims();
        let chosen = routing.chosen.clone().float();
        let top_k = chosen.clone().sum().div_scalar(t as f64);
        let share = chosen.mean_dim(0) / top_k.unsqueeze();
        let probability = softmax(routing.logits.clone(), 1).mean_dim(0);
        (share * probability).sum().mul_scalar(e as f64)
    })
}

/// Router z-loss (ST-MoE, arXiv 2202.08906 eq. 5), the mean over layers and tokens of `logsumexp(logits)²`.
/// One value; `None` without experts.
pub fn z_loss(routings: &[Routing]) -> Option<Tensor<1>> {
    mean_over_layers(routings, |routing| {
        let max = routing.logits.clone().detach().max_dim(1);
        let log_sum_exp = (routing.logits.clone() - max.clone()).exp().sum_dim(1).log() + max;
        log_sum_exp.square().mean()
    })
}

/// Tokens that each expert got: one row a layer with experts.
pub fn tokens_per_expert(routings: &[Routing]) -> Vec<Vec<u64>> {
    routings
        .iter()
        .map(|routing| {
            let counts = routing.chosen.clone().int().sum_dim(0).into_data();
            counts.iter::<i64>().map(|count| count as u64).collect()
        })
        .collect()
}

fn mean_over_layers(routings: &[Routing], loss: impl Fn(&Routing) -> Tensor<1>) -> Option<Tensor<1>> {
    let sum = routings.iter().map(loss).reduce(|a, b| a + b)?;
    Some(sum.div_scalar(routings.len() as f64))
}
