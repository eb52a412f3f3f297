//! Attention of a text in which every position looks at all others, behind it and ahead.
//!
//! ```text
//! block of 32 queries of a head, one a lane:  z = k·qᵀ → e = exp(z − max z) → y = eᵀ·v / Σ e
//! ```
//!
//! A text has as many positions as its model has embeddings, some hundred, so the scores of a block exist at once.

use rayon::prelude::*;

use crate::{
    gemm::{Matrix, MatrixMut, Packed, Write, gemm_packed},
    scratch,
    softmax::{self, COLUMNS},
};

/// `y = softmax(q·kᵀ / √w)·v` of each head of one text (arXiv 1706.03762 eq. 1).
///
/// # Shapes
/// `qkv`: [l, 3·heads·w], queries, keys and values side by side → `y`: [l, heads·w]
///
/// # Panics
/// If the lengths do not fit.
pub fn attend_whole(n_heads: usize, d_head: usize, qkv: &[f32], y: &mut [f32]) {
    let d = n_heads * d_head;
    assert!(d > 0 && y.len().is_multiple_of(d) && qkv.len() == 3 * y.len(), "{n_heads} heads of {d_head} floats");
    let len = y.len() / d;
    // a head a task: each writes rows of its own, which are then set side by side
    scratch::with(y.len(), |heads| {
        heads.par_chunks_mut((len * d_head).max(1)).enumerate().for_each(|(head, y)| {
            let part = |part: usize| &qkv[(part * d + head * d_head).min(qkv.len())..];
            attend_head(len, d_head, 3 * d, [part(0), part(1), part(2)], y);
        });
        for (head, rows) in heads.chunks((len * d_head).max(1)).enumerate() {
            for (y, row) in y.chunks_exact_mut(d).zip(rows.chunks_exact(d_head)) {
                y[head * d_head..][..d_head].copy_from_slice(row);
            }
        }
    });
}

/// One head, whose queries, keys and values have rows `stride` apart. `y`: [l, w]
fn attend_head(len: usize, w: usize, stride: usize, [queries, keys, values]: [&[f32]; 3], y: &mut [f32]) {
    let scale = 1.0 / (w as f32).sqrt();
    let keys = Matrix::strided(keys, len, w, stride, 1);
    let lens = [COLUMNS * w, Packed::len(w, COLUMNS), Packed::len(len, w), len * COLUMNS];
    scratch::with_parts(lens, |[rows, packed_queries, packed_values, z]| {
        let values = Packed::pack(Matrix::strided(values, len, w, stride, 1), packed_values);
        for (block, y) in y.chunks_mut(COLUMNS * w).enumerate() {
            let count = y.len() / w;
            rows.fill(0.0);
            for (row, query) in
                rows.chunks_exact_mut(w).zip(queries[block * COLUMNS * stride..].chunks(stride)).take(count)
            {
                row.iter_mut().zip(query).for_each(|(row, query)| *row = scale * query);
            }
            let transposed = Packed::pack(Matrix::new(rows, COLUMNS, w).t(), packed_queries);
            gemm_packed(keys, transposed, MatrixMut::new(z, len, COLUMNS), Write::Set);
            let max = softmax::max(z, &[f32::NEG_INFINITY; COLUMNS]);
            let sums = softmax::exp_and_sum(z, &max);
            gemm_packed(Matrix::strided(z, count, len, 1, COLUMNS), values, MatrixMut::new(y, count, w), Write::Set);
            for (y, sum) in y.chunks_exact_mut(w).zip(sums) {
                let inverse = sum.recip();
                y.iter_mut().for_each(|y| *y *= inverse);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::{assert_close, wide},
        reference,
        simd::{Level, with_level},
        test_data::{for_thread_counts, uniform},
    };

    #[test]
    fn every_position_looks_at_all_as_the_twin_does() {
        for (len, heads, w) in [(0, 2, 4), (1, 1, 1), (2, 3, 5), (31, 2, 8), (32, 1, 16), (33, 2, 8), (100, 2, 32)] {
            let qkv: Vec<f32> = uniform(len * 3 * heads * w, 1).iter().map(|x| 3.0 * x).collect();
            let slow = reference::attention_whole(heads, w, &wide(&qkv));
            for level in Level::available() {
                let mut y = vec![f32::NAN; len * heads * w];
                with_level(level, 2, || attend_whole(heads, w, &qkv, &mut y));
                assert_close(&y, &slow, 3e-6, (len, heads, w, level));
            }
        }
    }

    #[test]
    fn every_thread_count_gives_the_same_bits() {
        let (len, heads, w) = (70, 4, 8);
        let qkv = uniform(len * 3 * heads * w, 1);
        let results = for_thread_counts(|| {
            let mut y = vec![0.0; len * heads * w];
            attend_whole(heads, w, &qkv, &mut y);
            y
        });
        assert!(results.iter().all(|result| *result == results[0]));
    }
}
