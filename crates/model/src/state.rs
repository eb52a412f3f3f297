//! What a model remembers of the positions it has seen.

use burn::tensor::{Device, Tensor};
use itera_config::{LayerKind, ModelConfig};

/// Memory of one layer.
#[derive(Clone, Debug)]
pub enum LayerState {
    /// Last inputs of the convolution [b, d_conv − 1, channels] and the SSM state [b, h, p, n].
    Mamba {
        /// Inputs that the convolution still sees.
        conv: Tensor<3>,
        /// S of the recurrence.
        ssm: Tensor<4>,
    },
    /// Keys and values of every past position, each [b, kv_heads, past, w]; `None` before the first.
    Attention(Option<(Tensor<4>, Tensor<4>)>),
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
                LayerKind::Mamba => LayerState::Mamba {
                    conv: Tensor::zeros([batch, config.d_conv - 1, config.d_conv_channels()], device),
                    ssm: Tensor::zeros([batch, config.n_heads(), config.d_head, config.d_state], device),
                },
                LayerKind::Attention => LayerState::Attention(None),
            })
            .collect();
        Self { layers }
    }
}
