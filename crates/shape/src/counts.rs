//! tensors → parameters, bytes, FLOPs a token

use crate::{
    config::{LayerKind, ModelConfig},
    table::{TensorRole, TensorSpec},
};

/// Multiply and add.
const FLOPS_PER_MAC: u64 = 2;

impl ModelConfig {
    /// Parameters of the model; a tied head counts once.
    pub fn total_params(&self) -> usize {
        self.sum(TensorSpec::n_params)
    }

    /// Parameters that one token uses: all but the experts it is not sent to.
    pub fn active_params(&self) -> usize {
        self.sum(TensorSpec::n_active_params)
    }

    /// Bytes of the weights in f32.
    pub fn weight_bytes_f32(&self) -> u64 {
        (self.total_params() as u64).saturating_mul(size_of::<f32>() as u64)
    }

    /// FLOPs of the forward pass a token, as the mean over a sequence of `context_len` tokens; a multiply-add is two.
    ///
    /// Counted is what the equations ask for, whatever an implementation does on top, as in the "model FLOPs" of PaLM
    /// (arXiv 2204.02311, appendix B). Norms, activations and softmax are left out, as usual.
    ///
    /// | part | FLOPs a token |
    /// |---|---|
    /// | projections, router, k of e experts, shared expert, head | 2 · parameters |
    /// | convolution | 2 · d_conv a channel |
    /// | SSM (arXiv 2405.21060 eq. 1): S = a·S + Δx ⊗ B, y = S·C + D·x | 3 + 2 an entry of the state, 2 a channel |
    /// | attention (arXiv 2001.08361 table 1): q·kᵀ and weights·v | 4 · width of the queries · the (l + 1) / 2 positions seen |
    ///
    /// The chunked scan trades more FLOPs than the recurrence for large products; the recurrence is what is counted.
    pub fn flops_per_token(&self, context_len: usize) -> u64 {
        let products: usize = self.sum(|tensor| match tensor.role {
            // the lookup of the embedding is free, and its product is the tied head's
            TensorRole::Embedding if !self.tie_embeddings => 0,
            TensorRole::Norm | TensorRole::Ssm => 0,
            TensorRole::Conv if tensor.shape.len() == 1 => 0,
            _ => tensor.n_active_params(),
        });
        let mixers = self.layer_kinds().into_iter().map(|kind| self.mixer_flops(kind, context_len));
        mixers.fold(FLOPS_PER_MAC * products as u64, u64::saturating_add)
    }

    /// FLOPs of a training step a token: those of [forward](Self::flops_per_token), and twice as many backward, where
    /// each product has the gradients of both its factors (arXiv 2204.02311, appendix B). What is computed a second
    /// time instead of saved does not count, nor does the optimiser.
    pub fn train_flops_per_token(&self, context_len: usize) -> u64 {
        self.flops_per_token(context_len).saturating_mul(3)
    }

    /// FLOPs a token of what a mixer does without weights, and with d_skip.
    fn mixer_flops(&self, kind: LayerKind, context_len: usize) -> u64 {
        let [i, n, l] = [self.d_inner(), self.d_state, context_len].map(|size| size as u64);
        match kind {
            LayerKind::Mamba => (3 + FLOPS_PER_MAC) * i * n + FLOPS_PER_MAC * i,
            LayerKind::Attention => (FLOPS_PER_MAC * self.d_queries() as u64).saturating_mul(l.saturating_add(1)),
        }
    }

    fn sum(&self, count: impl Fn(&TensorSpec) -> usize) -> usize {
        self.tensors().iter().map(count).fold(0, usize::saturating_add)
    }
}
