//! What a model remembers of the positions it has seen.

use burn::tensor::{Device, Tensor};
use itera_ops::{Mamba2State, PastKeysValues};
use itera_shape::{LayerKind, ModelConfig};

/// Memory of one layer.
#[derive(Clone, Debug)]
pub enum LayerState {
    /// Last inputs of the convolution and the state of the recurrence.
    Mamba(Mamba2State),
    /// Keys and values of every past position; `None` before the first.
    Attention(Option<PastKeysValues>),
}

impl LayerState {
    /// The same numbers without autodiff.
    pub(crate) fn inner(self) -> Self {
        match self {
            Self::Mamba(Mamba2State { conv, ssm }) => Self::Mamba(Mamba2State { conv: conv.inner(), ssm: ssm.inner() }),
            Self::Attention(past) => Self::Attention(past.map(|(keys, values)| (keys.inner(), values.inner()))),
        }
    }
}

/// Memory of a whole model: a plain value, cloned to fork a text.
#[derive(Clone, Debug)]
pub struct State {
    /// One entry a layer.
    pub layers: Vec<LayerState>,
}

impl State {
    /// The state before the first position, for `batch` sequences.
    pub fn initial(config: &ModelConfig, batch: usize, device: &Device) -> Self {
        let layers = config
            .layer_kinds()
            .into_iter()
            .map(|kind| match kind {
                LayerKind::Mamba => LayerState::Mamba(Mamba2State {
                    conv: Tensor::zeros([batch, config.d_conv - 1, config.d_conv_channels()], device),
                    ssm: Tensor::zeros([batch, config.n_heads(), config.d_head, config.d_state], device),
                }),
                LayerKind::Attention => LayerState::Attention(None),
            })
            .collect();
        Self { layers }
    }
}
