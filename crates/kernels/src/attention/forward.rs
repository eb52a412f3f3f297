use rayon::prelude::*;

use super::{Attention, KEYS, Rope, keys_and_values, mask_future};
use crate::{
    gemm::{Left, Matrix, MatrixMut, Packed, Write, gemm_packed},
    scratch,
    softmax::{self, COLUMNS},
};

/// Attention of sequences without a past.
///
/// # Shapes
/// `qkv`: [b·l, (heads + 2·kv_heads)·w] → `y`: [b·l, heads·w], `logsumexp`: [b·l, heads], of the scaled scores
///
/// # Panics
/// If lengths do not fit, or there is a past.
pub fn forward(op: &Attention, rope: Option<&Rope>, qkv: &[f32], y: &mut [f32], logsumexp: &mut [f32]) {
    assert_eq!(op.past, 0, "positions without their keys and values");
    scratch::with_parts([op.keys_len(); 2], |[keys, values]| {
        keys_and_values(op, rope, qkv, (&[], &[]), keys, values);
        attend(op, rope, qkv, (keys, values), y, logsumexp);
    });
}

/// Attention of the queries in `qkv` over `keys` and `values`, which [`keys_and_values`] made.
///
/// # Shapes
/// `keys`, `values`: [b, kv_heads, seen, w] → `y`: [b·l, heads·w], `logsumexp`: [b·l, heads], of the scaled scores
///
/// # Panics
/// If lengths do not fit.
pub fn attend(
    op: &Attention,
    rope: Option<&Rope>,
    qkv: &[f32],
    (keys, values): (&[f32], &[f32]),
    y: &mut [f32],
    logsumexp: &mut [f32],
) {
    op.check(rope, qkv);
    assert_eq!((keys.len(), values.len()), (op.keys_len(), op.keys_len()), "keys and values");
    let positions = op.batch * op.len;
    assert_eq!((y.len(), logsumexp.len()), (positions * op.y_width(), positions * op.n_heads), "outputs");
    let head_len = op.seen() * op.d_head;
    scratch::with(op.batch * op.n_kv_heads * Seen::len(op), |buffer| {
        let heads = keys.par_chunks_exact(head_len).zip(values.par_chunks_exact(head_len));
        let heads = heads.zip(buffer.par_chunks_exact_mut(Seen::len(op)));
        let heads: Vec<_> = heads.map(|((keys, values), buffer)| Seen::new(op, keys, values, buffer)).collect();
        let sequences = qkv.par_chunks_exact(op.qkv_len()).zip(heads.par_chunks_exact(op.n_kv_heads));
        let outputs =
            y.par_chunks_exact_mut(op.len * op.y_width()).zip(logsumexp.par_chunks_exact_mut(op.len * op.n_heads));
        sequences.zip(outputs).for_each(|((qkv, heads), (y, logsumexp))| {
            let blocks = y.par_chunks_mut(COLUMNS * op.y_width()).zip(logsumexp.par_chunks_mut(COLUMNS * op.n_heads));
            blocks.enumerate().for_each(|(block, (y, logsumexp))| {
                for (kv, seen) in heads.iter().enumerate() {
                    attend_block(op, rope, qkv, seen, block * COLUMNS, kv * op.per_kv(), y, logsumexp);
                }
            });
        });
    });
}

/// The keys and values of one head as the products read them, each [seen, w].
struct Seen<'a> {
    keys: Left<'a>,
    values: Packed<'a>,
}

impl<'a> Seen<'a> {
    fn len(op: &Attention) -> usize {
        Left::len(op.operands, op.seen(), op.d_head) + Packed::len(op.seen(), op.d_head)
    }

    fn new(op: &Attention, keys: &'a [f32], values: &'a [f32], buffer: &'a mut [f32]) -> Self {
        let [keys, values] = [keys, values].map(|rows| Matrix::new(rows, op.seen(), op.d_head));
        let (packed, rounded) = buffer.split_at_mut(Packed::len(op.seen(), op.d_head));
        Self {
            keys: Left::new(keys, op.operands, rounded),
            values: Packed::pack(values.with_operands(op.operands), packed),
        }
    }
}

/// A head's queries, and what is known of their distributions after some keys.
struct Queries<'a> {
    /// [w, COLUMNS]
    transposed: Packed<'a>,
    max: [f32; COLUMNS],
    sum: [f32; COLUMNS],
}

/// The queries from `start` of the heads from `first_head` that share `seen`.
#[expect(clippy::too_many_arguments, reason = "a task's share of each operand")]
fn attend_block(
    op: &Attention,
    rope: Option<&Rope>,
    qkv: &[f32],
    seen: &Seen<'_>,
    start: usize,
    first_head: usize,
    y: &mut [f32],
    logsumexp: &mut [f32],
) {
    let (w, heads) = (op.d_head, op.per_kv());
    let count = COLUMNS.min(op.len - start);
    let end = op.past + start + count;
    let rounded_len = Left::len(op.operands, count, KEYS);
    let lens = [COLUMNS * w, heads * Packed::len(w, COLUMNS), KEYS * COLUMNS, rounded_len, heads * count * w];
    scratch::with_parts(lens, |[rows, packed, z, rounded, sums_y]| {
        let packed = packed.chunks_exact_mut(Packed::len(w, COLUMNS)).enumerate();
        let mut queries: Vec<_> = packed
            .map(|(head, packed)| {
                op.load_queries(rope, qkv, start, first_head + head, rows);
                let rows = Matrix::new(rows, COLUMNS, w).with_operands(op.operands);
                Queries {
                    transposed: Packed::pack(rows.t(), packed),
                    max: [f32::NEG_INFINITY; COLUMNS],
                    sum: [0.0; COLUMNS],
                }
            })
            .collect();
        for from in (0..end).step_by(KEYS) {
            let n = KEYS.min(end - from);
            let (keys, values) = (seen.keys.row_range(from, n), seen.values.row_range(from, n));
            for (Queries { transposed, max, sum }, sum_y) in queries.iter_mut().zip(sums_y.chunks_exact_mut(count * w))
            {
                let z = &mut z[..n * COLUMNS];
                gemm_packed(keys, *transposed, MatrixMut::new(z, n, COLUMNS), Write::Set);
                mask_future(z, 1, from, op.past + start);
                let next_max = softmax::max(z, max);
                let part = softmax::exp_and_sum(z, &next_max);
                let mut write = Write::Set;
                if from > 0 {
                    let fading = softmax::weights(max, &next_max);
                    sum.iter_mut().zip(&fading).for_each(|(sum, fading)| *sum *= fading);
                    for (y, fading) in sum_y.chunks_exact_mut(w).zip(&fading) {
                        y.iter_mut().for_each(|y| *y *= fading);
                    }
                    write = Write::Add;
                }
                sum.iter_mut().zip(&part).for_each(|(sum, part)| *sum += part);
                *max = next_max;
                let e_t = Left::new(Matrix::strided(z, count, n, 1, COLUMNS), op.operands, rounded);
                gemm_packed(e_t, values, MatrixMut::new(sum_y, count, w), write);
            }
        }
        for (head, (Queries { max, sum, .. }, sum_y)) in queries.iter().zip(sums_y.chunks_exact(count * w)).enumerate()
        {
            let head = first_head + head;
            let outputs = y.chunks_exact_mut(op.y_width()).zip(logsumexp.chunks_exact_mut(op.n_heads));
            for (i, ((y, logsumexp), sum_y)) in outputs.zip(sum_y.chunks_exact(w)).enumerate() {
                let inverse = sum[i].recip();
                y[head * w..][..w].iter_mut().zip(sum_y).for_each(|(y, sum_y)| *y = sum_y * inverse);
                logsumexp[head] = max[i] + sum[i].ln();
            }
        }
    });
}
