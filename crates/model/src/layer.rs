//! x → x + m·mixer(norm(x)) → x + m·(moe(u) + shared(u)), u = norm(x)

use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use itera_ops::{Recomputable, Routing, rms_norm};
use itera_shape::{LayerKind, ModelConfig};

use crate::{
    attention::Attention,
    dropout::Dropout,
    ffn::{Moe, SharedMlp},
    mamba::Mamba2,
    recompute::recompute_module,
    residual::Residual,
    state::LayerState,
    weights::Weights,
};

/// The part of a layer that mixes positions.
#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one a layer, and it lives as long as the model")]
pub enum Mixer {
    /// State space.
    Mamba(Mamba2),
    /// Attention.
    Attention(Attention),
}

/// One layer.
#[derive(Module, Debug)]
pub struct Layer {
    mixer_norm: Param<Tensor<1>>,
    mixer: Mixer,
    ffn_norm: Param<Tensor<1>>,
    moe: Option<Moe>,
    shared: SharedMlp,
    #[module(skip)]
    rms_norm_eps: f64,
    #[module(skip)]
    residual_multiplier: f64,
}

impl Layer {
    pub(crate) fn load(config: &ModelConfig, kind: LayerKind, weights: &mut Weights<'_>) -> Self {
        Self {
            mixer_norm: weights.next("mixer_norm"),
            mixer: match kind {
                LayerKind::Mamba => Mixer::Mamba(Mamba2::load(config, weights)),
                LayerKind::Attention => Mixer::Attention(Attention::load(config, weights)),
            },
            ffn_norm: weights.next("ffn_norm"),
            moe: (config.n_experts > 0).then(|| Moe::load(config, weights)),
            shared: SharedMlp::load(weights),
            rms_norm_eps: config.rms_norm_eps,
            residual_multiplier: config.residual_multiplier,
        }
    }

    /// `x' = x + m·mixer(norm(x))`, `y = x' + m·(moe(u) + shared(u))` with `u = norm(x')`.
    ///
    /// With `recurrent`, `x` is one position and goes through the recurrence of the SSM.
    ///
    /// # Shapes
    /// `x`: [b, l, d] → (y [b, l, d], next state, routing of the b·l tokens if the layer has experts)
    pub fn forward(
        &self,
        x: Tensor<3>,
        state: LayerState,
        recurrent: bool,
        mut dropout: Option<&mut Dropout>,
    ) -> (Tensor<3>, LayerState, Option<Routing>) {
        let u = rms_norm(x.clone(), self.mixer_norm.val(), self.rms_norm_eps);
        let residual = Residual { x, multiplier: self.residual_multiplier, dropout: dropout.as_deref_mut() };
        let (x, state) = match (&self.mixer, state) {
            (Mixer::Mamba(mamba), LayerState::Mamba(state)) => {
                let (x, state) = mamba.forward(u, state, recurrent, residual);
                (x, LayerState::Mamba(state))
            }
            (Mixer::Attention(attention), LayerState::Attention(past)) => {
                let (x, past) = attention.forward(u, past, residual);
                (x, LayerState::Attention(Some(past)))
            }
            _ => unreachable!("a state is made from the same layer pattern as its model"),
        };

        let u = rms_norm(x.clone(), self.ffn_norm.val(), self.rms_norm_eps);
        let residual = Residual { x, multiplier: self.residual_multiplier, dropout };
        match &self.moe {
            Some(moe) => {
                let (x, routing) = moe.forward(u, &self.shared, residual);
                (x, state, Some(routing))
            }
            None => (self.shared.forward(u, residual), state, None),
        }
    }

    /// [`Self::forward`] over a whole sequence, of which only `x` is kept for the backward pass: that computes the rest
    /// again (arXiv 1604.06174). Numbers and gradients are the same; `state` gets no gradient.
    ///
    /// # Shapes
    /// As [`Self::forward`].
    pub fn forward_recomputed(
        &self,
        x: Tensor<3>,
        state: LayerState,
        dropout: Option<&mut Dropout>,
    ) -> (Tensor<3>, LayerState, Option<Routing>) {
        let (before, state) = (dropout.as_deref().cloned(), state.inner());
        let output = recompute_module(self, x, move |layer: &Self, x| {
            let mut dropout = before.clone();
            let (y, state, routing) = layer.forward(x, state.clone(), false, dropout.as_mut());
            let (side, expert_ids) = routing.map(|routing| (routing.logits, routing.expert_ids)).unzip();
            Recomputable { y, side, rest: (state.inner(), expert_ids, dropout) }
        });
        let Recomputable { y, side, rest: (state, expert_ids, after) } = output;
        if let (Some(dropout), Some(after)) = (dropout, after) {
            *dropout = after;
        }
        (y, state, side.zip(expert_ids).map(|(logits, expert_ids)| Routing { logits, expert_ids }))
    }
}
