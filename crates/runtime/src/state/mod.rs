//! What a model remembers of the tokens it has seen: a value to clone, reset, save and load.
//!
//! ```text
//! mamba      window [d_conv − 1, ch]   the last inputs of the convolution
//!            ssm    [h, n, p]          S of the recurrence, channels fastest
//! attention  keys   [⌈seen/16⌉, kv, 16], values [seen, kv]: bfloat16 where activations are rounded, or else f32
//! ```
//!
//! A mamba layer's memory has one size for ever; that of attention grows with the text, up to the model's longest context.

mod bytes;
mod keys_values;

use std::sync::Arc;

use itera_formats::{ModelFile, RotaryPairs};
use itera_kernels::matvec::Activations;
use itera_shape::LayerKind;

use crate::{
    buffer::bytes,
    error::{Result, RuntimeError},
};
pub(crate) use keys_values::KeysValues;

/// What decides the size of a state. States of models of one shape are interchangeable, though seldom useful.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StateShape {
    layers: Vec<LayerShape>,
    max_seq_len: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LayerShape {
    Mamba { carried: usize, channels: usize, n_heads: usize, d_head: usize, d_state: usize },
    Attention { n_kv_heads: usize, d_head: usize, pairs: usize, activations: Activations },
}

impl StateShape {
    /// Of the model in `file` that is run with such activations.
    pub(crate) fn new(file: &ModelFile, activations: Activations) -> Self {
        let config = file.config();
        // keys of the two are different numbers
        let pairs = match file.rotary_pairs() {
            RotaryPairs::Halves => 0,
            RotaryPairs::Neighbours => 1,
        };
        let layer = |kind| match kind {
            LayerKind::Mamba => LayerShape::Mamba {
                carried: config.d_conv - 1,
                channels: config.d_conv_channels(),
                n_heads: config.n_heads(),
                d_head: config.d_head,
                d_state: config.d_state,
            },
            LayerKind::Attention => LayerShape::Attention {
                n_kv_heads: config.n_kv_heads,
                d_head: config.d_attention_head(),
                pairs,
                activations,
            },
        };
        Self { layers: config.layer_kinds().into_iter().map(layer).collect(), max_seq_len: config.max_seq_len }
    }

    /// Positions that can be seen, if a layer looks back at all of them.
    pub(crate) fn longest(&self) -> Option<usize> {
        let looks_back = self.layers.iter().any(|layer| matches!(layer, LayerShape::Attention { .. }));
        looks_back.then_some(self.max_seq_len)
    }
}

/// Memory of one layer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum LayerState {
    Mamba(MambaState),
    Attention(KeysValues),
}

/// Memory of a mamba layer, of one size for ever.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MambaState {
    /// [d_conv − 1, ch]
    pub(crate) window: Vec<f32>,
    /// [h, n, p]
    pub(crate) ssm: Vec<f32>,
}

/// What one text has left in a model. Cloning forks the text.
#[derive(Clone, Debug)]
pub struct State {
    shape: Arc<StateShape>,
    position: usize,
    layers: Vec<LayerState>,
}

impl State {
    pub(crate) fn new(shape: Arc<StateShape>) -> Self {
        let layer = |shape: &LayerShape| match *shape {
            LayerShape::Mamba { carried, channels, n_heads, d_head, d_state } => LayerState::Mamba(MambaState {
                window: vec![0.0; carried * channels],
                ssm: vec![0.0; n_heads * d_head * d_state],
            }),
            LayerShape::Attention { n_kv_heads, d_head, activations, .. } => {
                LayerState::Attention(KeysValues::new(n_kv_heads * d_head, activations))
            }
        };
        Self { layers: shape.layers.iter().map(layer).collect(), shape, position: 0 }
    }

    /// Forget everything, and keep the memory.
    pub fn reset(&mut self) {
        self.position = 0;
        for layer in &mut self.layers {
            match layer {
                LayerState::Mamba(MambaState { window, ssm }) => {
                    window.fill(0.0);
                    ssm.fill(0.0);
                }
                LayerState::Attention(past) => past.clear(),
            }
        }
    }

    /// Tokens seen so far.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Make room for `tokens` more, so that none of them allocates.
    pub fn reserve(&mut self, tokens: usize) {
        for layer in &mut self.layers {
            if let LayerState::Attention(past) = layer {
                past.reserve(tokens.min(self.shape.max_seq_len - self.position));
            }
        }
    }

    /// Positions that are left before an attention layer could not look back at all of them; `None` if no layer looks
    /// back.
    pub fn room(&self) -> Option<usize> {
        self.shape.longest().map(|longest| longest - self.position)
    }

    /// Bytes of the heap that the state holds, room for positions to come included.
    pub fn size_bytes(&self) -> usize {
        self.bytes_by(KeysValues::size_bytes)
    }

    /// Bytes of the heap that a state holds at most.
    pub(crate) fn most_bytes(&self) -> usize {
        self.bytes_by(|past| past.most_bytes(self.shape.max_seq_len))
    }

    /// Bytes of the heap, those of keys and values as they are told.
    fn bytes_by(&self, past_bytes: impl Fn(&KeysValues) -> usize) -> usize {
        let of_layer = |layer: &LayerState| match layer {
            LayerState::Mamba(MambaState { window, ssm }) => bytes(window) + bytes(ssm),
            LayerState::Attention(past) => past_bytes(past),
        };
        self.layers.iter().map(of_layer).fold(bytes(&self.layers), usize::saturating_add)
    }

    /// The memory of layer `index`, a mamba layer.
    pub(crate) fn mamba_mut(&mut self, index: usize) -> &mut MambaState {
        match &mut self.layers[index] {
            LayerState::Mamba(state) => state,
            LayerState::Attention(_) => unreachable!("{MISMATCH}"),
        }
    }

    /// The memory of layer `index`, an attention layer.
    pub(crate) fn attention_mut(&mut self, index: usize) -> &mut KeysValues {
        match &mut self.layers[index] {
            LayerState::Attention(past) => past,
            LayerState::Mamba(_) => unreachable!("{MISMATCH}"),
        }
    }

    /// Whether it is a state of models of `shape`, with room for `tokens` more.
    pub(crate) fn check(&self, shape: &Arc<StateShape>, tokens: usize) -> Result<()> {
        if !Arc::ptr_eq(&self.shape, shape) && self.shape != *shape {
            return Err(RuntimeError::ForeignState);
        }
        match self.room() {
            Some(room) if tokens > room => Err(RuntimeError::ContextFull {
                len: self.position.saturating_add(tokens),
                max_seq_len: self.shape.max_seq_len,
            }),
            _ => Ok(()),
        }
    }

    pub(crate) fn advance(&mut self, tokens: usize) {
        self.position += tokens;
    }
}

/// `check` comes before any layer is asked for its memory.
const MISMATCH: &str = "a state has the layers of its model";

impl PartialEq for State {
    /// Whether both have the same shape and the same numbers.
    fn eq(&self, other: &Self) -> bool {
        self.shape == other.shape && self.position == other.position && self.layers == other.layers
    }
}
