//! rows of a matrix in a file → f32, a piece at a time, in buffers that are kept.

use std::ops::Range;

use itera_formats::{SafetensorsReader, TensorPlace};
use itera_kernels::quant::{Kind, dequantize};
use rayon::prelude::*;

use crate::error::{PtqError, Result};

/// Numbers of a piece: 16 MB of f32.
pub(crate) const PIECE: usize = 1 << 22;

/// Longest row that is worked on, a piece alone.
pub(crate) const MAX_COLS: usize = PIECE;

/// A matrix in a file: a tensor, or some rows of one.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    pub(crate) shard: usize,
    /// The tensor's name in the file.
    pub(crate) tensor: String,
    pub(crate) kind: Kind,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    /// Its first byte, from the beginning of the file.
    pub(crate) start: u64,
    /// Numbers of the tensor before it.
    pub(crate) first: u64,
}

/// The kind of the numbers of a tensor, if they are worked on: F32, F16 or BF16.
pub(crate) fn wide_kind(tensor: &TensorPlace) -> Option<Kind> {
    tensor.kind().filter(|kind| *kind != Kind::F8E4M3)
}

/// What pieces are read into.
#[derive(Default)]
pub(crate) struct Buffers {
    raw: Vec<u8>,
    numbers: Vec<f32>,
}

impl Rows {
    /// Its rows in pieces, each but the last of a multiple of `step` rows.
    pub(crate) fn pieces(&self, step: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let rows = self.rows;
        let n = (PIECE / self.cols / step).max(1) * step;
        (0..rows).step_by(n).map(move |first| first..(first + n).min(rows))
    }

    /// Some of its rows, every number finite.
    pub(crate) fn read<'b>(
        &self,
        reader: &mut SafetensorsReader,
        rows: Range<usize>,
        buffers: &'b mut Buffers,
    ) -> Result<&'b [f32]> {
        let (n_numbers, width) = (rows.len() * self.cols, self.kind.block_bytes());
        let Buffers { raw, numbers } = buffers;
        raw.resize(n_numbers * width, 0);
        numbers.resize(n_numbers, 0.0);
        reader.read(self.start + (rows.start * self.cols * width) as u64, raw)?;
        const TASK: usize = 1 << 16;
        raw.par_chunks(TASK * width)
            .zip(numbers.par_chunks_mut(TASK))
            .for_each(|(raw, numbers)| dequantize(self.kind, raw, numbers));
        if let Some(at) = numbers.par_iter().position_first(|number| !number.is_finite()) {
            let index = self.first + (rows.start * self.cols + at) as u64;
            let (path, tensor, value) = (reader.path().to_owned(), self.tensor.clone(), numbers[at]);
            return Err(PtqError::NotFinite { path, tensor, index, value });
        }
        Ok(numbers)
    }
}

/// The largest magnitude, 0 of nothing.
pub(crate) fn largest(numbers: &[f32]) -> f32 {
    numbers.iter().fold(0.0, |largest: f32, x| largest.max(x.abs()))
}
