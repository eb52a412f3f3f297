//! The head as the products read it, range by range of the vocabulary.

use rayon::prelude::*;

use super::{HeadCrossEntropy, RANGE};
use crate::{
    gemm::{Left, Matrix, Operands, Packed, Rounded},
    scratch,
};

/// The head on the left of product 1, and on the right of product 2 if that is asked for.
pub(super) struct Head<'a> {
    rows: Left<'a>,
    vocab: usize,
    columns: Vec<Packed<'a>>,
}

impl Head<'_> {
    /// For product 1 alone.
    pub(super) fn with_rows(input: &HeadCrossEntropy<'_>, f: impl FnOnce(&Head<'_>)) {
        let (vocab, d) = (input.vocab(), input.d_model);
        let head = Matrix::new(input.head, vocab, d);
        match input.operands {
            Operands::F32 => f(&Head { rows: head.into(), vocab, columns: Vec::new() }),
            Operands::Bf16 => scratch::with(Rounded::len(vocab, d), |buffer| {
                f(&Head { rows: Rounded::par_round(head, buffer).into(), vocab, columns: Vec::new() });
            }),
        }
    }

    /// For products 1 and 2.
    pub(super) fn with_both(input: &HeadCrossEntropy<'_>, f: impl FnOnce(&Head<'_>)) {
        let (vocab, d) = (input.vocab(), input.d_model);
        let head = Matrix::new(input.head, vocab, d).with_operands(input.operands);
        let range_len = Packed::len(RANGE.min(vocab), d).max(1);
        Self::with_rows(input, |rows| {
            scratch::with(range_len * input.ranges(), |buffer| {
                let buffers = buffer.par_chunks_mut(range_len).enumerate();
                let columns = buffers.map(|(range, buffer)| {
                    let (start, count) = bounds(range, vocab);
                    Packed::pack(head.row_range(start, count), buffer)
                });
                f(&Head { rows: rows.rows, vocab, columns: columns.collect() });
            });
        });
    }

    /// Rows of a range [rows, d], and how many.
    pub(super) fn rows(&self, range: usize) -> (Left<'_>, usize) {
        let (start, count) = bounds(range, self.vocab);
        (self.rows.row_range(start, count), count)
    }

    /// A range [rows, d] as a right operand.
    pub(super) fn columns(&self, range: usize) -> Packed<'_> {
        self.columns[range]
    }
}

/// First row of a range, and how many it has.
fn bounds(range: usize, vocab: usize) -> (usize, usize) {
    let start = range * RANGE;
    (start, RANGE.min(vocab - start))
}
