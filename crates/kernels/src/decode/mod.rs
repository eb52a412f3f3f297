//! What a position goes through between its matrix–vector products: one call a stage, one thread, no memory of its own.
//!
//! ```text
//! x += m·branch   → rms_norm → u                                                              join_norm
//! z | x B C | dt ← window, state → conv + silu → recurrence → gate, norm → y                  mamba2_step
//! q | k | v → turn → keys and values → softmax(q·kᵀ)·v                                        attention_step
//! u → logits → the top k, their weights           gate, up → silu(gate)·up                      route, swiglu
//! logits → the likeliest token; what one costs; how likely each is                 likeliest, nats, likelihoods
//! ```
//!
//! A stage is a few hundred vector instructions, so what counts is one pass over memory and one choice of the instruction
//! set. What the kernels for whole sequences share between positions is here, at one position, not worth preparing.

mod attention;
mod join;
mod mamba2;
mod router;
mod softmax;
mod swiglu;

pub use attention::{AttentionStep, KEY_BLOCK, KeysValues, Pairs, Remembered, attention_step, turn};
pub use join::join_norm;
pub use mamba2::{Mamba2Step, mamba2_step};
pub use router::route;
pub use softmax::{likeliest, likelihoods, nats};
pub use swiglu::swiglu;
