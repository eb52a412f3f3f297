//! x → x + m·mixer(norm(x)) → x + m·(moe(u) + shared(u)), u = norm(x)

use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use itera_ops::{Recomputable, Routing, recompute, rms_norm};
use itera_shape::{LayerKind, ModelConfig};

use crate::{
    attention::Attention,
    dropout::Dropout,
    ffn::{Moe, SharedMlp},
    mamba::Mamba2,
    parameters::Source,
    residual::Residual,
    state::LayerState,
};

/// What mixes positions in a layer.
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
pub struct Block {
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

impl Block {
    pub(crate) fn load(config: &ModelConfig, kind: LayerKind, source: &mut Source<'_>) -> Self {
        Self {
            mixer_norm: source.next(),
            mixer: match kind {
                LayerKind::Mamba => Mixer::Mamba(Mamba2::load(config, source)),
                LayerKind::Attention => Mixer::Attention(Attention::load(config, source)),
            },
            ffn_norm: source.next(),
            moe: (config.n_experts > 0).then(|| Moe::load(config, source)),
            shared: SharedMlp::load(source),
            rms_norm_eps: config.rms_norm_eps,
            residual_multiplier: config.residual_multiplier,
        }
    }

    /// `x` [b, l, d] → ([b, l, d], next state, routing if the layer has experts)
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
    /// again (arXiv 1604.06174). Same numbers and gradients; `state` gets none.
    pub fn forward_recomputed(
        &self,
        x: Tensor<3>,
        state: LayerState,
        dropout: Option<&mut Dropout>,
    ) -> (Tensor<3>, LayerState, Option<Routing>) {
        let (before, state) = (dropout.as_deref().cloned(), state.inner());
        let output = recompute(self, x, move |block: &Self, x| {
            let mut dropout = before.clone();
            let (y, state, routing) = block.forward(x, state.clone(), false, dropout.as_mut());
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
