//! Dropless mixture of experts.
//!
//! ```text
//! u → router → ids, weights → slots sorted by expert
//!        rows of an expert: gather u → w_in → swiglu · weight → w_out → y, one row a slot
//!        token: residual + shared(u) + Σ_k y[slot of (token, k)] → out
//! ```
//!
//! Every row is moved by a gather: a slot reads its token, a token reads its slots. Nothing is scattered, so no two
//! tasks write the same place and sums have one order.

mod dispatch;
mod experts;
mod losses;
mod route;

pub use dispatch::{Dispatch, sort_by_expert};
pub use experts::{Experts, Gradients, Mixture, backward, forward};
pub use losses::{RouterLosses, router_losses, router_losses_backward};
pub use route::{route, route_backward};

#[cfg(test)]
mod tests;
