//! shape, precision → bytes that a training step saves for its backward pass
//!
//! What the fused operators keep, each value once. Widths in numbers a token; those marked * stay f32 in any precision.
//!
//! | where | kept |
//! |---|---|
//! | mamba | x d, norm d, projection 2·i + 2·g·n + h, convolved i + 2·g·n, scanned i, normalised i |
//! | attention | x d, norm d, q, k and v, mixed as wide as q, logsumexp n_attention_heads * |
//! | feed-forward | x d, norm d, gate and up of k experts and the shared one 2·(k·f + d_shared), expert weights k * |
//! | losses | router logits e * a layer, x d, norm d * |
//!
//! A mamba layer keeps its initial state as well, a few f32 a sequence. With gradient checkpointing (arXiv 1604.06174) a
//! layer keeps x alone, in f32 so that it routes its tokens as before, and the rest exists for one layer at a time, also
//! in f32.

use serde::Serialize;

use crate::{
    config::{LayerKind, ModelConfig},
    precision::{F32_BYTES, Precision},
};

/// Bytes of activations alive between the forward and the backward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SavedActivations {
    /// A token.
    pub bytes_per_token: u64,
    /// A sequence, whatever its length, on top of those of its tokens.
    pub bytes_per_sequence: u64,
    /// A token, while the layer that keeps most is computed again; 0 without gradient checkpointing.
    pub recomputed_bytes_per_token: u64,
}

/// Numbers that a layer keeps.
struct Kept {
    /// A token, in the precision of activations.
    activations: u64,
    /// A token, in f32.
    exact: u64,
    /// A sequence, in f32.
    state: u64,
}

impl ModelConfig {
    /// What a training step of this model saves for its backward pass on device `flex`. Dropout, where there is any,
    /// adds its masks.
    pub fn saved_activations(&self, precision: Precision, gradient_checkpointing: bool) -> SavedActivations {
        let (d, e, activation) = (self.d_model as u64, self.n_experts as u64, precision.bytes());
        let layers: Vec<Kept> = self.layer_kinds().into_iter().map(|kind| self.kept(kind)).collect();
        let of_layer = |activation: u64| move |kept: &Kept| kept.activations * activation + kept.exact * F32_BYTES;
        let outside = d * activation + d * F32_BYTES + layers.len() as u64 * e * F32_BYTES;
        if gradient_checkpointing {
            return SavedActivations {
                bytes_per_token: outside + layers.len() as u64 * d * F32_BYTES,
                bytes_per_sequence: 0,
                recomputed_bytes_per_token: layers.iter().map(of_layer(F32_BYTES)).max().unwrap_or(0),
            };
        }
        SavedActivations {
            bytes_per_token: outside + layers.iter().map(of_layer(activation)).sum::<u64>(),
            bytes_per_sequence: layers.iter().map(|kept| kept.state * F32_BYTES).sum(),
            recomputed_bytes_per_token: 0,
        }
    }

    fn kept(&self, kind: LayerKind) -> Kept {
        let [d, i, f, d_shared] = [self.d_model, self.d_inner(), self.d_expert, self.d_shared].map(|size| size as u64);
        let k = if self.n_experts > 0 { self.top_k as u64 } else { 0 };
        let mixer = match kind {
            LayerKind::Mamba => {
                let channels = self.d_conv_channels() as u64;
                Kept {
                    activations: 2 * d + self.d_in_proj() as u64 + channels + 2 * i,
                    exact: 0,
                    state: (self.d_conv as u64 - 1) * channels + i * self.d_state as u64,
                }
            }
            LayerKind::Attention => {
                let [queries, keys] = [self.d_queries(), self.d_keys()].map(|size| size as u64);
                Kept { activations: 2 * (d + queries + keys), exact: self.n_attention_heads as u64, state: 0 }
            }
        };
        let feed_forward = 2 * d + 2 * (k * f + d_shared);
        Kept { activations: mixer.activations + feed_forward, exact: mixer.exact + k, ..mixer }
    }
}
