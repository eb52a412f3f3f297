//! [q | k | v] → rope → softmax(q·kᵀ·scale, causal) · v
//!
//! ```text
//! keys and values of a sequence and head side by side, [b, kv_heads, seen, w], packed or rounded once for all queries
//! block of 32 queries, one a lane:  z = k·qᵀ → e = exp(z − max z) → y = eᵀ·v / Σ e        forward
//!                                   p = exp(z − logsumexp), dp = v·dyᵀ
//!                                   ds = p·(dp − Σ dy·y) → dq += dsᵀ·k, dk += ds·q, dv += p·dy   backward
//! ```
//!
//! Scores are kept transposed, a row for each key, and for a block of keys at a time: FlashAttention-2 (arXiv
//! 2307.08691, algorithms 1 and 2), whose running maximum and sum make memory linear in the length of a sequence.
//! Backward computes the scores again from the logsumexp that forward saved. Keys after the last query of a block are
//! never looked at. With [`Operands::Bf16`] those of every product are rounded; maxima, sums and exponentials
//! are in f32 either way.

mod backward;
mod forward;
mod rope;
mod whole;

use rayon::prelude::*;

pub use backward::{Saved, backward};
pub use forward::{attend, forward};
pub use rope::Rope;
pub use whole::attend_whole;

use crate::{gemm::Operands, softmax::COLUMNS};

/// Keys whose scores exist at once; a block of k of the product with the values.
const KEYS: usize = 256;

/// Sizes of causal grouped-query attention (arXiv 1706.03762 eq. 1, 2305.13245).
///
/// A row of `qkv` is the queries, keys and values of one position side by side: [b·l, (heads + 2·kv_heads)·w].
#[derive(Clone, Copy, Debug)]
pub struct Attention {
    /// Sequences.
    pub batch: usize,
    /// New positions of each sequence.
    pub len: usize,
    /// Positions before them.
    pub past: usize,
    /// Query heads.
    pub n_heads: usize,
    /// Key/value heads; each serves n_heads / n_kv_heads query heads.
    pub n_kv_heads: usize,
    /// Width of a head.
    pub d_head: usize,
    /// Factor on the scores.
    pub scale: f32,
    /// What the products multiply.
    pub operands: Operands,
}

impl Attention {
    /// Positions that the last query sees.
    pub fn seen(&self) -> usize {
        self.past + self.len
    }

    /// Width of a row of `qkv`.
    pub fn qkv_width(&self) -> usize {
        (self.n_heads + 2 * self.n_kv_heads) * self.d_head
    }

    /// Width of a row of `y`.
    pub fn y_width(&self) -> usize {
        self.n_heads * self.d_head
    }

    /// Elements of all keys, or of all values: [b, kv_heads, seen, w].
    pub fn keys_len(&self) -> usize {
        self.batch * self.n_kv_heads * self.seen() * self.d_head
    }

    /// Query heads of a key/value head.
    fn per_kv(&self) -> usize {
        self.n_heads / self.n_kv_heads
    }

    /// Elements of one sequence's `qkv`.
    fn qkv_len(&self) -> usize {
        self.len * self.qkv_width()
    }

    fn check(&self, rope: Option<&Rope>, qkv: &[f32]) {
        let Self { batch, len, n_heads, n_kv_heads, d_head, .. } = *self;
        assert!(batch > 0 && len > 0 && d_head > 0, "{self:?} has nothing to attend to");
        assert!(n_kv_heads > 0 && n_heads.is_multiple_of(n_kv_heads), "{n_heads} heads share {n_kv_heads}");
        assert_eq!(qkv.len(), batch * self.qkv_len(), "queries, keys and values of {batch} × {len} positions");
        if let Some(rope) = rope {
            assert_eq!(rope.d_head(), d_head, "width of the heads that are turned");
            assert!(rope.positions() >= self.seen(), "{} angles for {} positions", rope.positions(), self.seen());
        }
    }

    /// Queries from `start` of one head, scaled and turned; rows past the last query are zero.
    ///
    /// # Shapes
    /// `qkv`: [l, qkv_width] of one sequence, `queries`: [COLUMNS, w]
    fn load_queries(&self, rope: Option<&Rope>, qkv: &[f32], start: usize, head: usize, queries: &mut [f32]) {
        let count = COLUMNS.min(self.len - start);
        let rows = qkv[start * self.qkv_width()..].chunks_exact(self.qkv_width());
        let (queries, beyond) = queries.split_at_mut(count * self.d_head);
        beyond.fill(0.0);
        for (query, row) in queries.chunks_exact_mut(self.d_head).zip(rows) {
            for (query, q) in query.iter_mut().zip(&row[head * self.d_head..]) {
                *query = self.scale * q;
            }
        }
        if let Some(rope) = rope {
            rope.rotate(queries, self.past + start);
        }
    }
}

/// All keys, turned, and values: those of the past and then those of `qkv`.
///
/// # Shapes
/// `past`: (keys, values), each [b, kv_heads, past, w]; `keys`, `values`: [b, kv_heads, seen, w]
///
/// # Panics
/// If lengths do not fit.
pub fn keys_and_values(
    op: &Attention,
    rope: Option<&Rope>,
    qkv: &[f32],
    past: (&[f32], &[f32]),
    keys: &mut [f32],
    values: &mut [f32],
) {
    op.check(rope, qkv);
    let past_len = op.past * op.d_head;
    let past_lens = op.batch * op.n_kv_heads * past_len;
    assert_eq!((past.0.len(), past.1.len()), (past_lens, past_lens), "keys and values of {} past positions", op.past);
    assert_eq!((keys.len(), values.len()), (op.keys_len(), op.keys_len()), "keys and values to write");
    let head_len = op.seen() * op.d_head;
    let heads = keys.par_chunks_exact_mut(head_len).zip(values.par_chunks_exact_mut(head_len));
    heads.enumerate().for_each(|(index, (keys, values))| {
        let (sequence, head) = (index / op.n_kv_heads, index % op.n_kv_heads);
        let (past_keys, keys) = keys.split_at_mut(past_len);
        let (past_values, values) = values.split_at_mut(past_len);
        past_keys.copy_from_slice(&past.0[index * past_len..][..past_len]);
        past_values.copy_from_slice(&past.1[index * past_len..][..past_len]);
        let rows = qkv[sequence * op.qkv_len()..].chunks_exact(op.qkv_width());
        let outputs = keys.chunks_exact_mut(op.d_head).zip(values.chunks_exact_mut(op.d_head));
        for ((key, value), row) in outputs.zip(rows) {
            key.copy_from_slice(&row[(op.n_heads + head) * op.d_head..][..op.d_head]);
            value.copy_from_slice(&row[(op.n_heads + op.n_kv_heads + head) * op.d_head..][..op.d_head]);
        }
        if let Some(rope) = rope {
            rope.rotate(keys, op.past);
        }
    });
}

/// Give −∞ to the scores `z` [keys, heads·COLUMNS] of keys from `first_key` that lie after their query; lane i of each head
/// is the query at `first_query + i`.
fn mask_future(z: &mut [f32], heads: usize, first_key: usize, first_query: usize) {
    let reached = (first_query + 1).saturating_sub(first_key);
    for (i, row) in z.chunks_exact_mut(heads * COLUMNS).enumerate().skip(reached) {
        let lanes = (first_key + i - first_query).min(COLUMNS);
        for head in row.chunks_exact_mut(COLUMNS) {
            head[..lanes].fill(f32::NEG_INFINITY);
        }
    }
}

#[cfg(test)]
mod tests;
