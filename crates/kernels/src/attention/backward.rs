use rayon::prelude::*;

use super::{Attention, KEYS, Rope, forward::rows, keys_and_values, mask_future};
use crate::{
    CHUNK_LEN,
    gemm::{Matrix, MatrixMut, Packed, Write, gemm, gemm_packed},
    scratch,
    simd::simd,
    softmax::{LANES, weight},
    sums::{self, ROWS},
};

/// Tasks that keep all threads busy until the end of a round.
const TASKS: usize = 32;

/// Positions of a segment at least, and segments of a sequence at most.
const MIN_SEGMENT: usize = 128;
const MAX_SEGMENTS: usize = 32;

/// What forward read and made, and the gradient of what it made.
#[derive(Clone, Copy, Debug)]
pub struct Saved<'a> {
    /// [b·l, (heads + 2·kv_heads)·w]
    pub qkv: &'a [f32],
    /// [b·l, heads·w]
    pub y: &'a [f32],
    /// [b·l, heads]
    pub logsumexp: &'a [f32],
}

/// Gradient of [`forward`](super::forward) with respect to `qkv`, for the gradient `d_y` of `y`.
///
/// A task owns a segment of the queries of one sequence and key/value head, and one of its keys. Segments i of queries
/// and j ≤ i of keys meet in round (i + j) mod n, so that in no round two tasks write to the same place, every round
/// has about n/2 tasks a head, and each sum has its order.
///
/// # Shapes
/// `d_y`: [b·l, heads·w] → `d_qkv`: [b·l, (heads + 2·kv_heads)·w]
///
/// # Panics
/// If lengths do not fit, or there is a past: sequences that train begin without one.
pub fn backward(op: &Attention, rope: Option<&Rope>, saved: Saved<'_>, d_y: &[f32], d_qkv: &mut [f32]) {
    assert_eq!(op.past, 0, "gradients do not reach the past");
    op.check(rope, saved.qkv);
    op.check(rope, d_qkv);
    let positions = op.batch * op.len;
    let lens = (saved.y.len(), d_y.len(), saved.logsumexp.len());
    assert_eq!(lens, (positions * op.y_width(), positions * op.y_width(), positions * op.n_heads), "saved tensors");

    let (keys_len, queries_len) = (op.keys_len(), positions * op.y_width());
    scratch::with_parts([keys_len, keys_len, queries_len, keys_len, keys_len], |[keys, values, d_q, d_k, d_v]| {
        keys_and_values(op, rope, saved.qkv, (&[], &[]), keys, values);
        for gradient in [&mut *d_q, &mut *d_k, &mut *d_v] {
            gradient.par_chunks_mut(CHUNK_LEN).for_each(|part| part.fill(0.0));
        }
        let segment = segment_len(op);
        for round in 0..op.len.div_ceil(segment) {
            let tasks = tasks(op, segment, round, [d_q, d_k, d_v]);
            tasks.into_par_iter().with_max_len(1).for_each(|mut task| task.run(op, rope, &saved, (keys, values), d_y));
        }
        collect(op, rope, [d_q, d_k, d_v], d_qkv);
    });
}

/// Positions of a segment, a function of the shapes alone: all of a sequence's if there are enough sequences and heads.
fn segment_len(op: &Attention) -> usize {
    let units = op.batch * op.n_kv_heads;
    let segments = if units >= TASKS { 1 } else { (2 * TASKS).div_ceil(units).min(MAX_SEGMENTS) };
    op.len.div_ceil(segments).next_multiple_of(LANES).max(MIN_SEGMENT)
}

/// Queries from `query` on meet keys from `key` on.
struct Task<'a> {
    /// sequence · kv_heads + key/value head
    unit: usize,
    query: usize,
    key: usize,
    /// [queries, per_kv·w]
    d_q: &'a mut [f32],
    /// [keys, w]
    d_k: &'a mut [f32],
    /// [keys, w]
    d_v: &'a mut [f32],
}

/// The tasks of one round, with their shares of `d_q` [b, kv_heads, l, per_kv·w], `d_k` and `d_v` [b, kv_heads, l, w].
fn tasks<'a>(op: &Attention, segment: usize, round: usize, [d_q, d_k, d_v]: [&'a mut [f32]; 3]) -> Vec<Task<'a>> {
    let segments = op.len.div_ceil(segment);
    let (q_width, w) = (op.per_kv() * op.d_head, op.d_head);
    let units = d_k.chunks_exact_mut(op.len * w).zip(d_v.chunks_exact_mut(op.len * w));
    let units = units.zip(d_q.chunks_exact_mut(op.len * q_width));
    let mut tasks = Vec::new();
    for (unit, ((d_k, d_v), d_q)) in units.enumerate() {
        let mut of_keys: Vec<_> = d_k.chunks_mut(segment * w).zip(d_v.chunks_mut(segment * w)).map(Some).collect();
        for (i, d_q) in d_q.chunks_mut(segment * q_width).enumerate() {
            let j = (segments + round - i) % segments;
            if j <= i {
                let (d_k, d_v) = of_keys[j].take().expect("a segment of keys has one task in a round");
                tasks.push(Task { unit, query: i * segment, key: j * segment, d_q, d_k, d_v });
            }
        }
    }
    tasks
}

impl Task<'_> {
    fn run(
        &mut self,
        op: &Attention,
        rope: Option<&Rope>,
        saved: &Saved<'_>,
        (keys, values): (&[f32], &[f32]),
        d_y: &[f32],
    ) {
        let (sequence, kv) = (self.unit / op.n_kv_heads, self.unit % op.n_kv_heads);
        let (w, y_width, first) = (op.d_head, op.y_width(), sequence * op.len);
        let (n_queries, n_keys) = (self.d_q.len() / (op.per_kv() * w), self.d_k.len() / w);
        let qkv = &saved.qkv[sequence * op.qkv_len()..][..op.qkv_len()];
        let (keys, values) = (rows(keys, self.unit * op.len, op.len, w), rows(values, self.unit * op.len, op.len, w));
        let panel = Packed::len(w, LANES);
        scratch::with_parts([LANES * w, panel, LANES * w, panel, KEYS * LANES, KEYS * LANES], |parts| {
            let [queries, q_panel, d_ys, d_y_panel, p, d_s] = parts;
            for (start, head) in (0..n_queries).step_by(LANES).flat_map(|q| (0..op.per_kv()).map(move |h| (q, h))) {
                let count = LANES.min(n_queries - start);
                let (query, column) = (self.query + start, kv * op.per_kv() + head);
                op.load_queries(rope, qkv, query, column, queries);
                let q_t = Packed::pack(Matrix::new(queries, LANES, w).t(), q_panel);

                let (mut logsumexp, mut dots) = ([0.0; LANES], [0.0; LANES]);
                d_ys[count * w..].fill(0.0);
                for i in 0..count {
                    let at = (first + query + i) * y_width + column * w;
                    let (y, d_y) = (&saved.y[at..][..w], &d_y[at..][..w]);
                    d_ys[i * w..][..w].copy_from_slice(d_y);
                    dots[i] = dot(y, d_y);
                    logsumexp[i] = saved.logsumexp[(first + query + i) * op.n_heads + column];
                }
                let d_y_t = Packed::pack(Matrix::new(d_ys, LANES, w).t(), d_y_panel);

                let seen = n_keys.min(query + count - self.key);
                for from in (0..seen).step_by(KEYS) {
                    let n = KEYS.min(seen - from);
                    let (keys, values) = (keys.row_range(self.key + from, n), values.row_range(self.key + from, n));
                    let (p, d_s) = (&mut p[..n * LANES], &mut d_s[..n * LANES]);
                    gemm_packed(keys, q_t, MatrixMut::new(p, n, LANES), Write::Set);
                    mask_future(p, self.key + from, query);
                    gemm_packed(values, d_y_t, MatrixMut::new(d_s, n, LANES), Write::Set);
                    softmax_backward(p, d_s, &logsumexp, &dots);

                    let (p, d_s) = (Matrix::new(p, n, LANES), Matrix::new(d_s, n, LANES));
                    let of_keys = from * w..(from + n) * w;
                    let d_k = MatrixMut::new(&mut self.d_k[of_keys.clone()], n, w);
                    gemm(d_s, Matrix::new(queries, LANES, w), d_k, Write::Add);
                    let d_v = MatrixMut::new(&mut self.d_v[of_keys], n, w);
                    gemm(p, Matrix::new(d_ys, LANES, w), d_v, Write::Add);
                    let d_q = &mut self.d_q[(start * op.per_kv() + head) * w..];
                    let d_q = MatrixMut::strided(d_q, count, w, op.per_kv() * w);
                    gemm(d_s.t().row_range(0, count), keys, d_q, Write::Add);
                }
            }
        });
    }
}

simd! {
    /// From scores and the gradient of their weights to the weights p = exp(z − logsumexp) and the gradient of the
    /// scores, p·(dp − Σ dy·y): the softmax's derivative, with Σ p·dp written as a sum over channels.
    fn softmax_backward<S>(z: &mut [f32], d_p: &mut [f32], logsumexp: &[f32; LANES], dots: &[f32; LANES]) {
        for (z, d_p) in z.as_chunks_mut::<LANES>().0.iter_mut().zip(d_p.as_chunks_mut::<LANES>().0) {
            for lane in 0..LANES {
                let p = weight::<S>(z[lane] - logsumexp[lane]);
                z[lane] = p;
                d_p[lane] = p * (d_p[lane] - dots[lane]);
            }
        }
    }
}

simd! {
    fn dot<S>(a: &[f32], b: &[f32]) -> f32 {
        sums::dot::<S>(a, b)
    }
}

/// Turn the gradients of rotated and scaled queries and keys back, and lay them out as `qkv`.
fn collect(op: &Attention, rope: Option<&Rope>, [d_q, d_k, d_v]: [&[f32]; 3], d_qkv: &mut [f32]) {
    let w = op.d_head;
    let width = op.qkv_width();
    d_qkv.par_chunks_mut(ROWS * width).enumerate().for_each(|(block, rows)| {
        for (i, row) in rows.chunks_exact_mut(width).enumerate() {
            let (sequence, position) = ((block * ROWS + i) / op.len, (block * ROWS + i) % op.len);
            let (queries, rest) = row.split_at_mut(op.n_heads * w);
            let (keys, values) = rest.split_at_mut(op.n_kv_heads * w);
            let at = |kv: usize| (sequence * op.n_kv_heads + kv) * op.len + position;
            for (head, query) in queries.chunks_exact_mut(w).enumerate() {
                let from = (at(head / op.per_kv()) * op.per_kv() + head % op.per_kv()) * w;
                query.iter_mut().zip(&d_q[from..]).for_each(|(query, d_q)| *query = op.scale * d_q);
            }
            for (kv, (key, value)) in keys.chunks_exact_mut(w).zip(values.chunks_exact_mut(w)).enumerate() {
                key.copy_from_slice(&d_k[at(kv) * w..][..w]);
                value.copy_from_slice(&d_v[at(kv) * w..][..w]);
            }
            if let Some(rope) = rope {
                rope.rotate_back(queries, position);
                rope.rotate_back(keys, position);
            }
        }
    });
}
