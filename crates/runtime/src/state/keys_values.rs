//! Keys and values of an attention layer, in the order in which [`decode`](itera_kernels::decode) reads them.

use itera_kernels::{
    decode::{self, KEY_BLOCK, Remembered},
    matvec::Activations,
};

use crate::buffer::bytes;

/// Positions by which keys and values grow.
const GROWTH: usize = 256;

/// Keys and values, as precise as the activations that they came from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum KeysValues {
    F32(Columns<f32>),
    Bf16(Columns<u16>),
}

/// The numbers of all positions.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Columns<R> {
    /// Channels of all key/value heads.
    pub(super) width: usize,
    /// [⌈seen/16⌉, kv, 16]
    pub(super) keys: Vec<R>,
    /// [seen, kv]
    pub(super) values: Vec<R>,
}

/// The same of either kind of number.
macro_rules! of_either {
    ($past:expr, $columns:ident => $what:expr) => {
        match $past {
            KeysValues::F32($columns) => $what,
            KeysValues::Bf16($columns) => $what,
        }
    };
}

impl KeysValues {
    pub(super) fn new(width: usize, activations: Activations) -> Self {
        match activations {
            Activations::Exact => Self::F32(Columns { width, keys: vec![], values: vec![] }),
            Activations::Int8 => Self::Bf16(Columns { width, keys: vec![], values: vec![] }),
        }
    }

    pub(super) fn clear(&mut self) {
        of_either!(self, columns => {
            columns.keys.clear();
            columns.values.clear();
        });
    }

    /// Make room for so many positions more.
    pub(super) fn reserve(&mut self, positions: usize) {
        of_either!(self, columns => columns.reserve(positions));
    }

    /// Bytes of the heap that it holds.
    pub(super) fn size_bytes(&self) -> usize {
        of_either!(self, columns => bytes(&columns.keys) + bytes(&columns.values))
    }

    /// Bytes of the heap that it holds at most after so many positions.
    pub(super) fn most_bytes(&self, positions: usize) -> usize {
        of_either!(self, columns => columns.most_bytes(positions))
    }

    /// Positions seen.
    pub(crate) fn seen(&self) -> usize {
        of_either!(self, columns => columns.seen())
    }

    /// One more position.
    pub(crate) fn push(&mut self, key: &[f32], value: &[f32]) {
        of_either!(self, columns => columns.push(key, value));
    }

    /// All of them, as a step reads them.
    pub(crate) fn all(&self) -> decode::KeysValues<'_> {
        match self {
            Self::F32(columns) => decode::KeysValues::F32(&columns.keys, &columns.values),
            Self::Bf16(columns) => decode::KeysValues::Bf16(&columns.keys, &columns.values),
        }
    }

    /// All keys and all values by heads of `d_head` channels, each [kv_heads, seen, w]: as kernels for whole sequences
    /// want them.
    pub(crate) fn write_by_head(&self, d_head: usize, keys: &mut [f32], values: &mut [f32]) {
        of_either!(self, columns => columns.write_by_head(d_head, keys, values));
    }
}

impl<R: Remembered> Columns<R> {
    fn seen(&self) -> usize {
        self.values.len() / self.width
    }

    fn reserve(&mut self, positions: usize) {
        let positions = (self.seen() + positions).next_multiple_of(GROWTH);
        self.keys.reserve_exact(positions * self.width - self.keys.len());
        self.values.reserve_exact(positions * self.width - self.values.len());
    }

    fn most_bytes(&self, positions: usize) -> usize {
        let positions = positions.checked_next_multiple_of(GROWTH).unwrap_or(usize::MAX);
        positions.saturating_mul(2 * self.width * size_of::<R>())
    }

    fn push(&mut self, key: &[f32], value: &[f32]) {
        if self.values.capacity() < self.values.len() + self.width {
            self.reserve(1);
        }
        let lane = self.seen() % KEY_BLOCK;
        if lane == 0 {
            self.keys.resize(self.keys.len() + self.width * KEY_BLOCK, R::default());
        }
        let block = self.keys.len() - self.width * KEY_BLOCK;
        for (keys, key) in self.keys[block..].chunks_exact_mut(KEY_BLOCK).zip(key) {
            keys[lane] = R::nearest(*key);
        }
        self.values.extend(value.iter().map(|value| R::nearest(*value)));
    }

    fn write_by_head(&self, d_head: usize, keys: &mut [f32], values: &mut [f32]) {
        let seen = self.seen();
        let heads = keys.chunks_exact_mut(seen * d_head).zip(values.chunks_exact_mut(seen * d_head));
        for (head, (keys, values)) in heads.enumerate() {
            let rows = keys.chunks_exact_mut(d_head).zip(values.chunks_exact_mut(d_head));
            for (position, (key, value)) in rows.enumerate() {
                let column = head * d_head;
                for (value, stored) in value.iter_mut().zip(&self.values[position * self.width + column..]) {
                    *value = stored.wide();
                }
                let block = (position / KEY_BLOCK * self.width + column) * KEY_BLOCK + position % KEY_BLOCK;
                for (key, stored) in key.iter_mut().zip(self.keys[block..].iter().step_by(KEY_BLOCK)) {
                    *key = stored.wide();
                }
            }
        }
    }
}
