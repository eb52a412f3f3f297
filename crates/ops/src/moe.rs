//! u → router → top-k experts, weighted → sum
//!
//! This composite runs every expert on every token and gives the experts that a token was not sent to the weight zero:
//! the same function as sending each token to its k experts (dropless), with shapes that do not depend on the data.

use burn::tensor::{Bool, Int, Tensor, activation::softmax};

use crate::{linear, swiglu};

/// Where the router sent each token.
#[derive(Clone, Debug)]
pub struct Routing {
    /// Router logits [t, e], f32.
    pub logits: Tensor<2>,
    /// Whether expert e was chosen for token t [t, e].
    pub chosen: Tensor<2, Bool>,
    /// Softmax of the logits over the chosen experts; zero elsewhere [t, e].
    pub weights: Tensor<2>,
}

/// Choose the `top_k` experts with the largest logits (ties to the lower index) and weigh them by a softmax over the
/// chosen (arXiv 2401.04088 §2.1).
///
/// # Shapes
/// `u_td`: [t, d], `router_ed`: [e, d]
pub fn route(u_td: Tensor<2>, router_ed: Tensor<2>, top_k: usize) -> Routing {
    let logits = linear(u_td, router_ed);
    let [t, e] = logits.dims();
    let ids = Tensor::<1, Int>::arange(0..e as i64, &logits.device()).unsqueeze::<2>().expand([t, e]);
    let mut left = logits.clone().detach();
    for _ in 0..top_k {
        let best = left.clone().argmax(1).expand([t, e]).equal(ids.clone());
        left = left.mask_fill(best, f32::NEG_INFINITY);
    }
    let chosen = left.equal_elem(f32::NEG_INFINITY);
    let weights = softmax(logits.clone().mask_fill(chosen.clone().bool_not(), f32::NEG_INFINITY), 1);
    Routing { logits, chosen, weights }
}

/// The weighted sum of the experts' outputs: `Σ_e weight_e · w_out_e · swiglu(w_in_e · u)`.
///
/// # Shapes
/// `u_td`: [t, d], `weights_te`: [t, e], `w_in`: [e, 2f, d], `w_out`: [e, d, f] → [t, d]
pub fn experts(u_td: Tensor<2>, weights_te: Tensor<2>, w_in: Tensor<3>, w_out: Tensor<3>) -> Tensor<2> {
    let [t, _] = u_td.dims();
    let [e, d, f] = w_out.dims();
    let gate_up = linear(u_td, w_in.reshape([e * 2 * f, d])).reshape([t, e, 2 * f]);
    let hidden = swiglu(gate_up) * weights_te.unsqueeze_dim::<3>(2);
    // the sum over experts happens inside one product over (e, f)
    linear(hidden.reshape([t, e * f]), w_out.swap_dims(0, 1).reshape([d, e * f]))
}
