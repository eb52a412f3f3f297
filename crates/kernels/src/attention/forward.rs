use rayon::prelude::*;

use super::{Attention, KEYS, Rope, keys_and_values, mask_future};
use crate::{
    gemm::{Matrix, MatrixMut, Packed, Write, gemm, gemm_packed},
    scratch,
    softmax::{self, LANES},
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
    let sequence_len = op.n_kv_heads * op.seen() * op.d_head;
    let inputs = qkv.par_chunks_exact(op.qkv_len());
    let inputs = inputs.zip(keys.par_chunks_exact(sequence_len)).zip(values.par_chunks_exact(sequence_len));
    let outputs =
        y.par_chunks_exact_mut(op.len * op.y_width()).zip(logsumexp.par_chunks_exact_mut(op.len * op.n_heads));
    inputs.zip(outputs).for_each(|(((qkv, keys), values), (y, logsumexp))| {
        let blocks = y.par_chunks_mut(LANES * op.y_width()).zip(logsumexp.par_chunks_mut(LANES * op.n_heads));
        blocks.enumerate().for_each(|(block, (y, logsumexp))| {
            for head in 0..op.n_heads {
                let start = head / op.per_kv() * op.seen() * op.d_head;
                let end = start + op.seen() * op.d_head;
                let seen = (&keys[start..end], &values[start..end]);
                attend_block(op, rope, qkv, seen, block * LANES, head, y, logsumexp);
            }
        });
    });
}

/// One head's queries from `start` over its `keys` and `values` [seen, w].
#[expect(clippy::too_many_arguments, reason = "a task's share of each operand")]
fn attend_block(
    op: &Attention,
    rope: Option<&Rope>,
    qkv: &[f32],
    (keys, values): (&[f32], &[f32]),
    start: usize,
    head: usize,
    y: &mut [f32],
    logsumexp: &mut [f32],
) {
    let w = op.d_head;
    let count = LANES.min(op.len - start);
    let seen = op.past + start + count;
    let lens = [LANES * w, Packed::len(w, LANES), KEYS * LANES, count * w];
    scratch::with_parts(lens, |[queries, packed, z, sum_y]| {
        op.load_queries(rope, qkv, start, head, queries);
        let queries_t = Packed::pack(Matrix::new(queries, LANES, w).t(), packed);
        let mut max = [f32::NEG_INFINITY; LANES];
        let mut sum = [0.0; LANES];
        for from in (0..seen).step_by(KEYS) {
            let n = KEYS.min(seen - from);
            let z = &mut z[..n * LANES];
            gemm_packed(rows(keys, from, n, w), queries_t, MatrixMut::new(z, n, LANES), Write::Set);
            mask_future(z, from, op.past + start);
            let next_max = softmax::max(z, &max);
            let part = softmax::exp_and_sum(z, &next_max);
            let mut write = Write::Set;
            if from > 0 {
                let fading = softmax::weights(&max, &next_max);
                sum.iter_mut().zip(&fading).for_each(|(sum, fading)| *sum *= fading);
                for (y, fading) in sum_y.chunks_exact_mut(w).zip(&fading) {
                    y.iter_mut().for_each(|y| *y *= fading);
                }
                write = Write::Add;
            }
            sum.iter_mut().zip(&part).for_each(|(sum, part)| *sum += part);
            max = next_max;
            let z_t = Matrix::strided(z, count, n, 1, LANES);
            gemm(z_t, rows(values, from, n, w), MatrixMut::new(sum_y, count, w), write);
        }
        let outputs = y.chunks_exact_mut(op.y_width()).zip(logsumexp.chunks_exact_mut(op.n_heads));
        for (i, ((y, logsumexp), sum_y)) in outputs.zip(sum_y.chunks_exact(w)).enumerate() {
            let inverse = sum[i].recip();
            y[head * w..][..w].iter_mut().zip(sum_y).for_each(|(y, sum_y)| *y = sum_y * inverse);
            logsumexp[head] = max[i] + sum[i].ln();
        }
    });
}

/// `count` rows of width `w` from the one at `start`.
pub(super) fn rows(data: &[f32], start: usize, count: usize, w: usize) -> Matrix<'_> {
    Matrix::new(&data[start * w..(start + count) * w], count, w)
}
