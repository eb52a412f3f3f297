//! routings → auxiliary losses

use burn::tensor::Tensor;
use itera_ops::{Routing, router_losses};

/// Auxiliary losses of the routers, means over layers, one value each: see [`router_losses`].
#[derive(Clone, Debug)]
pub struct AuxiliaryLosses {
    /// Load-balancing loss; perfect balance gives 1.
    pub load_balance: Tensor<1>,
    /// Router z-loss.
    pub z: Tensor<1>,
}

/// The auxiliary losses of all layers with experts; `None` without experts.
pub fn auxiliary_losses(routings: &[Routing]) -> Option<AuxiliaryLosses> {
    let [load_balance, z] = routings
        .iter()
        .map(router_losses)
        .reduce(|[balance_a, z_a], [balance_b, z_b]| [balance_a + balance_b, z_a + z_b])?
        .map(|sum| sum.div_scalar(routings.len() as f64));
    Some(AuxiliaryLosses { load_balance, z })
}
