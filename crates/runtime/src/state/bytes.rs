//! A state as bytes, to keep it beside the text that led to it.
//!
//! ```text
//! "IteraSt\0" | version u32 | shape: count u32, then as many u32 | position u64 | numbers | CRC-32C of all before
//! ```
//!
//! Little-endian throughout. Bytes that are read are not trusted: their length must be the one that shape and position
//! give before anything of that size is allocated.

use std::sync::Arc;

use itera_kernels::{decode::KEY_BLOCK, matvec::Activations};

use super::{
    LayerShape, LayerState, MambaState, State, StateShape,
    keys_values::{Columns, KeysValues},
};
use crate::error::{Result, StateError};

const MAGIC: [u8; 8] = *b"IteraSt\0";
const VERSION: u32 = 2;
const CHECKSUM_BYTES: usize = 4;
const FLOAT: usize = size_of::<f32>();
const HALF: usize = size_of::<u16>();

impl State {
    /// The state as bytes that [`Model::load_state`](crate::Model::load_state) reads.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = header(&self.shape);
        bytes.extend((self.position as u64).to_le_bytes());
        for layer in &self.layers {
            match layer {
                LayerState::Mamba(MambaState { window, ssm }) => bytes.extend(of_floats([window, ssm])),
                LayerState::Attention(KeysValues::F32(past)) => bytes.extend(of_floats([&past.keys, &past.values])),
                LayerState::Attention(KeysValues::Bf16(past)) => {
                    bytes.extend([&past.keys, &past.values].into_iter().flatten().flat_map(|x| x.to_le_bytes()));
                }
            }
        }
        let checksum = crc32c::crc32c(&bytes);
        bytes.extend(checksum.to_le_bytes());
        bytes
    }

    /// The state of a model of `shape` that `bytes` hold.
    pub(crate) fn from_bytes(shape: &Arc<StateShape>, bytes: &[u8]) -> Result<Self> {
        let expected_header = header(shape);
        let rest = bytes.strip_prefix(&MAGIC).ok_or(StateError::Magic)?;
        let found = rest.first_chunk().map(|version| u32::from_le_bytes(*version)).ok_or(StateError::Magic)?;
        if found != VERSION {
            return Err(StateError::Version { found, supported: VERSION }.into());
        }
        let rest = bytes.strip_prefix(expected_header.as_slice()).ok_or(StateError::OtherModel)?;
        let cut = StateError::Length { expected: expected_header.len() + 8 + CHECKSUM_BYTES, found: bytes.len() };
        let (position, numbers) = rest.split_first_chunk().ok_or(cut)?;
        let position = shape.checked_position(u64::from_le_bytes(*position))?;

        let sizes = shape.sizes(position);
        // an overflow is longer than any bytes
        let numbers_bytes = shape.numbers_bytes(position).unwrap_or(usize::MAX);
        let expected = (bytes.len() - numbers.len()).saturating_add(numbers_bytes).saturating_add(CHECKSUM_BYTES);
        if bytes.len() != expected {
            return Err(StateError::Length { expected, found: bytes.len() }.into());
        }
        let (content, checksum) = bytes.split_at(bytes.len() - CHECKSUM_BYTES);
        if crc32c::crc32c(content).to_le_bytes() != checksum {
            return Err(StateError::Damaged.into());
        }

        let mut numbers = numbers;
        let mut take = |size: Option<usize>| {
            let (taken, rest) = numbers.split_at(size.unwrap_or(0));
            numbers = rest;
            taken
        };
        let layers = shape.layers.iter().zip(sizes).map(|(layer, sizes)| match (*layer, sizes.map(&mut take)) {
            (LayerShape::Mamba { .. }, [window, ssm]) => {
                LayerState::Mamba(MambaState { window: floats(window), ssm: floats(ssm) })
            }
            (LayerShape::Attention { n_kv_heads, d_head, activations, .. }, [keys, values]) => {
                let width = n_kv_heads * d_head;
                LayerState::Attention(match activations {
                    Activations::Exact => {
                        KeysValues::F32(Columns { width, keys: floats(keys), values: floats(values) })
                    }
                    Activations::Int8 => {
                        KeysValues::Bf16(Columns { width, keys: halves(keys), values: halves(values) })
                    }
                })
            }
        });
        Ok(Self { layers: layers.collect(), shape: shape.clone(), position })
    }
}

impl StateShape {
    fn checked_position(&self, found: u64) -> Result<usize, StateError> {
        let too_far = StateError::Position { position: found, max_seq_len: self.max_seq_len };
        let position = usize::try_from(found).map_err(|_| too_far.clone())?;
        if self.longest().is_some_and(|longest| position > longest) { Err(too_far) } else { Ok(position) }
    }

    /// Bytes of what a text remembers after `position` tokens; `None` if that overflows.
    pub(crate) fn numbers_bytes(&self, position: usize) -> Option<usize> {
        self.sizes(position).into_iter().flatten().try_fold(0usize, |sum, size| sum.checked_add(size?))
    }

    /// The same of the two parts of each layer's memory.
    fn sizes(&self, position: usize) -> Vec<[Option<usize>; 2]> {
        let product =
            |factors: &[usize]| factors.iter().try_fold(1usize, |product, factor| product.checked_mul(*factor));
        let layer = |layer: &LayerShape| match *layer {
            LayerShape::Mamba { carried, channels, n_heads, d_head, d_state } => {
                [product(&[carried, channels, FLOAT]), product(&[n_heads, d_head, d_state, FLOAT])]
            }
            LayerShape::Attention { n_kv_heads, d_head, activations, .. } => {
                let number = match activations {
                    Activations::Exact => FLOAT,
                    Activations::Int8 => HALF,
                };
                [
                    product(&[position.div_ceil(KEY_BLOCK), n_kv_heads, d_head, KEY_BLOCK, number]),
                    product(&[position, n_kv_heads, d_head, number]),
                ]
            }
        };
        self.layers.iter().map(layer).collect()
    }
}

/// Everything before the position: a function of the model's shape.
fn header(shape: &StateShape) -> Vec<u8> {
    let mut numbers = vec![shape.max_seq_len];
    for layer in &shape.layers {
        match *layer {
            LayerShape::Mamba { carried, channels, n_heads, d_head, d_state } => {
                numbers.extend([0, carried, channels, n_heads, d_head, d_state]);
            }
            LayerShape::Attention { n_kv_heads, d_head, pairs, activations } => {
                numbers.extend([1, n_kv_heads, d_head, pairs, usize::from(activations == Activations::Int8)]);
            }
        }
    }
    let numbers = [numbers.len()].into_iter().chain(numbers).flat_map(|number| (number as u32).to_le_bytes());
    MAGIC.into_iter().chain(VERSION.to_le_bytes()).chain(numbers).collect()
}

fn of_floats(buffers: [&Vec<f32>; 2]) -> impl Iterator<Item = u8> {
    buffers.into_iter().flatten().flat_map(|number| number.to_le_bytes())
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn halves(bytes: &[u8]) -> Vec<u16> {
    bytes.as_chunks().0.iter().map(|bytes| u16::from_le_bytes(*bytes)).collect()
}
