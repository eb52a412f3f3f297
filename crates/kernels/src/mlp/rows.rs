//! Which rows go through an MLP, and with which factor.

use std::{iter::repeat, ops::Range};

use super::BLOCK_ROWS;
use crate::stored::Stored;

/// How many rows before it is copied a row is asked for: they lie in L3 or memory, in no order that the processor
/// could guess.
const AHEAD: usize = 32;

/// The next `len` floats of `free`, which keeps the rest.
pub(crate) fn take<'a>(free: &mut &'a mut [f32], len: usize) -> &'a mut [f32] {
    free.split_off_mut(..len).expect("buffers are cut in as many rows as they have")
}

/// The rows of one MLP: all tokens for a dense one, those that the router sent it for an expert.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rows<'a> {
    /// Row i is token i.
    Tokens { count: usize, factor: f32 },
    /// Row i is token `assignments[i] / top_k`, with `factor` times the weight of that assignment.
    Assigned { assignments: &'a [u32], top_k: usize, weights: &'a [f32], factor: f32 },
}

impl Rows<'_> {
    /// Number of rows.
    pub(crate) fn count(&self) -> usize {
        match self {
            Self::Tokens { count, .. } => *count,
            Self::Assigned { assignments, .. } => assignments.len(),
        }
    }

    /// The rows of blocks of [`BLOCK_ROWS`], the last one shorter.
    pub(crate) fn blocks(range: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        range.clone().step_by(BLOCK_ROWS).map(move |start| start..range.end.min(start + BLOCK_ROWS))
    }

    /// Rows `range` of this MLP's input out of `tokens` [t, d]: gathered or widened in `buffer`, or in place with all
    /// after them, which a product asks for ahead.
    pub(crate) fn read<'b>(
        &self,
        tokens: Stored<'b>,
        d: usize,
        range: Range<usize>,
        buffer: &'b mut [f32],
    ) -> &'b [f32] {
        match self {
            Self::Tokens { .. } => match tokens {
                Stored::F32(tokens) => &tokens[range.start * d..],
                Stored::Bf16(_) => tokens.range(range.start * d..range.end * d).read(buffer),
            },
            Self::Assigned { assignments, top_k, .. } => {
                let rows = &mut buffer[..range.len() * d];
                let row_of = |assignment: &u32| {
                    let token = *assignment as usize / top_k;
                    tokens.range(token * d..(token + 1) * d)
                };
                let ahead = assignments.iter().skip(range.start + AHEAD).map(Some).chain(repeat(None));
                for ((row, assignment), ahead) in rows.chunks_exact_mut(d).zip(&assignments[range]).zip(ahead) {
                    if let Some(ahead) = ahead {
                        row_of(ahead).prefetch();
                    }
                    row_of(assignment).copy_to(row);
                }
                rows
            }
        }
    }

    /// The factors of rows `range`.
    pub(crate) fn factors(&self, range: Range<usize>, buffer: &mut [f32; BLOCK_ROWS]) {
        match self {
            Self::Tokens { factor, .. } => buffer[..range.len()].fill(*factor),
            Self::Assigned { assignments, weights, factor, .. } => {
                for (slot, assignment) in buffer.iter_mut().zip(&assignments[range]) {
                    *slot = factor * weights[*assignment as usize];
                }
            }
        }
    }
}
