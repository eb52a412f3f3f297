//! x → x + m·mixer(norm(x)) → x + m·(moe(u) + shared(u)), u = norm(x)

use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use itera_config::{LayerKind, ModelConfig};
use itera_ops::{Routing, rms_norm};

use crate::{
    attention::Attention,
    dropout::Dropout,
    ffn::{Moe, SharedMlp},
    mamba::Mamba2,
    parameters::Source,
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
        let mut residual = |x: Tensor<3>, branch: Tensor<3>| {
            let branch = match dropout.as_deref_mut() {
                Some(dropout) => dropout.apply(branch),
                None => branch,
            };
            x + branch.mul_scalar(self.residual_multiplier)
        };

        let u = rms_norm(x.clone(), self.mixer_norm.val(), self.rms_norm_eps);
        let (mixed, state) = match (&self.mixer, state) {
            (Mixer::Mamba(mamba), LayerState::Mamba { conv, ssm }) => {
                let (y, (conv, ssm)) = mamba.forward(u, (conv, ssm), recurrent);
                (y, LayerState::Mamba { conv, ssm })
            }
            (Mixer::Attention(attention), LayerState::Attention(past)) => {
                let (y, past) = attention.forward(u, past);
                (y, LayerState::Attention(past))
            }
            _ => unreachable!("a state is made from the same layer pattern as its model"),
        };
        let x = residual(x, mixed);

        let u = rms_norm(x.clone(), self.ffn_norm.val(), self.rms_norm_eps);
        let shared = self.shared.forward(u.clone());
        let (y, routing) = match &self.moe {
            Some(moe) => {
                let (y, routing) = moe.forward(u);
                (y + shared, Some(routing))
            }
            None => (shared, None),
        };
        (residual(x, y), state, routing)
    }
}
