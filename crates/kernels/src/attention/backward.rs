use rayon::prelude::*;

use super::{Attention, KEYS, Rope, keys_and_values, mask_future};
use crate::{
    TASK_LEN,
    gemm::{Left, Matrix, MatrixMut, Packed, Write, gemm_packed},
    scratch,
    simd::simd,
    softmax::{COLUMNS, weight},
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

    let (units, blocks, keys_len) = (op.batch * op.n_kv_heads, op.len.div_ceil(COLUMNS), op.keys_len());
    let prepared_len = units * (Seen::len(op) + blocks * Queries::len(op));
    let d_q_len = units * blocks * lanes(op) * op.d_head;
    scratch::with_parts([keys_len, keys_len, prepared_len, d_q_len, keys_len, keys_len], |parts| {
        let [keys, values, prepared, d_q, d_k, d_v] = parts;
        keys_and_values(op, rope, saved.qkv, (&[], &[]), keys, values);
        let (of_heads, of_queries) = prepared.split_at_mut(units * Seen::len(op));
        let heads = keys.par_chunks_exact(op.len * op.d_head).zip(values.par_chunks_exact(op.len * op.d_head));
        let heads = heads.zip(of_heads.par_chunks_exact_mut(Seen::len(op)));
        let heads: Vec<_> = heads.map(|((keys, values), buffer)| Seen::new(op, keys, values, buffer)).collect();
        let queries = of_queries.par_chunks_exact_mut(Queries::len(op)).enumerate();
        let queries: Vec<_> = queries
            .map(|(i, buffer)| Queries::new(op, rope, &saved, d_y, i / blocks, i % blocks * COLUMNS, buffer))
            .collect();
        for gradient in [&mut *d_q, &mut *d_k, &mut *d_v] {
            gradient.par_chunks_mut(TASK_LEN).for_each(|part| part.fill(0.0));
        }
        let segment = segment_len(op);
        for round in 0..op.len.div_ceil(segment) {
            let tasks = tasks(op, &heads, &queries, segment, round, [d_q, d_k, d_v]);
            tasks.into_par_iter().with_max_len(1).for_each(|task| task.run(op));
        }
        collect(op, rope, [d_q, d_k, d_v], d_qkv);
    });
}

/// Lanes of a block of queries: its positions in each of the heads that share keys and values.
fn lanes(op: &Attention) -> usize {
    op.per_kv() * COLUMNS
}

/// Positions of a segment, a function of the shapes alone: all of a sequence's if there are enough sequences and heads.
fn segment_len(op: &Attention) -> usize {
    let units = op.batch * op.n_kv_heads;
    let segments = if units >= TASKS { 1 } else { (2 * TASKS).div_ceil(units).min(MAX_SEGMENTS) };
    op.len.div_ceil(segments).next_multiple_of(COLUMNS).max(MIN_SEGMENT)
}

/// The keys and values of one head as the products read them, each [l, w].
struct Seen<'a> {
    keys: Left<'a>,
    values: Left<'a>,
    /// The keys again.
    packed: Packed<'a>,
}

impl<'a> Seen<'a> {
    fn len(op: &Attention) -> usize {
        2 * Left::len(op.operands, op.len, op.d_head) + Packed::len(op.len, op.d_head)
    }

    fn new(op: &Attention, keys: &'a [f32], values: &'a [f32], buffer: &'a mut [f32]) -> Self {
        let [keys, values] = [keys, values].map(|rows| Matrix::new(rows, op.len, op.d_head));
        let (packed, rounded) = buffer.split_at_mut(Packed::len(op.len, op.d_head));
        let (rounded_keys, rounded_values) = rounded.split_at_mut(rounded.len() / 2);
        Self {
            keys: Left::new(keys, op.operands, rounded_keys),
            values: Left::new(values, op.operands, rounded_values),
            packed: Packed::pack(keys.with_operands(op.operands), packed),
        }
    }
}

/// A block of queries of the heads that share keys and values, and the gradients of their outputs.
struct Queries<'a> {
    start: usize,
    count: usize,
    /// [lanes, w], and [w, lanes]
    q: Packed<'a>,
    q_t: Packed<'a>,
    d_y: Packed<'a>,
    d_y_t: Packed<'a>,
    /// [lanes]
    logsumexp: &'a [f32],
    /// Σ dy·y [lanes]
    dots: &'a [f32],
}

impl<'a> Queries<'a> {
    fn len(op: &Attention) -> usize {
        2 * (Packed::len(lanes(op), op.d_head) + Packed::len(op.d_head, lanes(op)) + lanes(op))
    }

    /// Those from `start` of the heads of `unit` = sequence · kv_heads + key/value head. Lanes past the last query are
    /// zero.
    fn new(
        op: &Attention,
        rope: Option<&Rope>,
        saved: &Saved<'_>,
        d_y: &[f32],
        unit: usize,
        start: usize,
        buffer: &'a mut [f32],
    ) -> Self {
        let (w, lanes, count) = (op.d_head, lanes(op), COLUMNS.min(op.len - start));
        let (sequence, first_head) = (unit / op.n_kv_heads, unit % op.n_kv_heads * op.per_kv());
        let qkv = &saved.qkv[sequence * op.qkv_len()..][..op.qkv_len()];
        let (statistics, packed) = buffer.split_at_mut(2 * lanes);
        let (logsumexp, dots) = statistics.split_at_mut(lanes);
        logsumexp.fill(0.0);
        dots.fill(0.0);
        scratch::with_parts([lanes * w; 2], |[q, d_y_rows]| {
            d_y_rows.fill(0.0);
            let heads = q.chunks_exact_mut(COLUMNS * w).zip(d_y_rows.chunks_exact_mut(COLUMNS * w));
            let heads = heads.zip(logsumexp.chunks_exact_mut(COLUMNS).zip(dots.chunks_exact_mut(COLUMNS)));
            for (head, ((q, d_y_rows), (logsumexp, dots))) in heads.enumerate() {
                let head = first_head + head;
                op.load_queries(rope, qkv, start, head, q);
                for (i, row) in d_y_rows.chunks_exact_mut(w).enumerate().take(count) {
                    let position = sequence * op.len + start + i;
                    let at = position * op.y_width() + head * w;
                    row.copy_from_slice(&d_y[at..][..w]);
                    dots[i] = dot(&saved.y[at..][..w], row);
                    logsumexp[i] = saved.logsumexp[position * op.n_heads + head];
                }
            }
            let [q, d_y] = [q, d_y_rows].map(|rows| Matrix::new(rows, lanes, w).with_operands(op.operands));
            let (rows_len, columns_len) = (Packed::len(lanes, w), Packed::len(w, lanes));
            let (of_q, rest) = packed.split_at_mut(rows_len);
            let (of_d_y, rest) = rest.split_at_mut(rows_len);
            let (of_q_t, of_d_y_t) = rest.split_at_mut(columns_len);
            Self {
                start,
                count,
                q: Packed::pack(q, of_q),
                q_t: Packed::pack(q.t(), of_q_t),
                d_y: Packed::pack(d_y, of_d_y),
                d_y_t: Packed::pack(d_y.t(), of_d_y_t),
                logsumexp,
                dots,
            }
        })
    }
}

/// Blocks of queries meet keys from `first_key` on.
struct Task<'a> {
    seen: &'a Seen<'a>,
    queries: &'a [Queries<'a>],
    first_key: usize,
    /// [blocks, lanes, w]
    d_q: &'a mut [f32],
    /// [keys, w]
    d_k: &'a mut [f32],
    /// [keys, w]
    d_v: &'a mut [f32],
}

/// The tasks of one round, with their shares of `d_q` [b, kv_heads, blocks, lanes, w], `d_k` and `d_v`
/// [b, kv_heads, l, w].
fn tasks<'a>(
    op: &Attention,
    heads: &'a [Seen<'a>],
    queries: &'a [Queries<'a>],
    segment: usize,
    round: usize,
    [d_q, d_k, d_v]: [&'a mut [f32]; 3],
) -> Vec<Task<'a>> {
    let (segments, blocks) = (op.len.div_ceil(segment), op.len.div_ceil(COLUMNS));
    let (block_len, w) = (lanes(op) * op.d_head, op.d_head);
    let units = d_k.chunks_exact_mut(op.len * w).zip(d_v.chunks_exact_mut(op.len * w));
    let units = units.zip(d_q.chunks_exact_mut(blocks * block_len)).zip(heads.iter().zip(queries.chunks_exact(blocks)));
    let mut tasks = Vec::new();
    for (((d_k, d_v), d_q), (seen, queries)) in units {
        let mut of_keys: Vec<_> = d_k.chunks_mut(segment * w).zip(d_v.chunks_mut(segment * w)).map(Some).collect();
        let of_queries = d_q.chunks_mut(segment / COLUMNS * block_len).zip(queries.chunks(segment / COLUMNS));
        for (i, (d_q, queries)) in of_queries.enumerate() {
            let j = (segments + round - i) % segments;
            if j <= i {
                let (d_k, d_v) = of_keys[j].take().expect("a segment of keys has one task in a round");
                tasks.push(Task { seen, queries, first_key: j * segment, d_q, d_k, d_v });
            }
        }
    }
    tasks
}

impl Task<'_> {
    fn run(self, op: &Attention) {
        let (w, lanes, n_keys) = (op.d_head, lanes(op), self.d_k.len() / op.d_head);
        let rounded_len = Left::len(op.operands, KEYS, lanes).max(Left::len(op.operands, lanes, KEYS));
        scratch::with_parts([KEYS * lanes, KEYS * lanes, rounded_len], |[p, d_s, rounded]| {
            for (queries, d_q) in self.queries.iter().zip(self.d_q.chunks_exact_mut(lanes * w)) {
                let seen = n_keys.min(queries.start + queries.count - self.first_key);
                for from in (0..seen).step_by(KEYS) {
                    let (first, n) = (self.first_key + from, KEYS.min(seen - from));
                    let (p, d_s) = (&mut p[..n * lanes], &mut d_s[..n * lanes]);
                    let (keys, values) = (self.seen.keys.row_range(first, n), self.seen.values.row_range(first, n));
                    gemm_packed(keys, queries.q_t, MatrixMut::new(p, n, lanes), Write::Set);
                    gemm_packed(values, queries.d_y_t, MatrixMut::new(d_s, n, lanes), Write::Set);
                    mask_future(p, op.per_kv(), first, queries.start);
                    softmax_backward(p, d_s, queries.logsumexp, queries.dots);

                    let (p, d_s) = (Matrix::new(p, n, lanes), Matrix::new(d_s, n, lanes));
                    let of_keys = from * w..(from + n) * w;
                    let d_v = MatrixMut::new(&mut self.d_v[of_keys.clone()], n, w);
                    gemm_packed(Left::new(p, op.operands, rounded), queries.d_y, d_v, Write::Add);
                    let d_k = MatrixMut::new(&mut self.d_k[of_keys], n, w);
                    gemm_packed(Left::new(d_s, op.operands, rounded), queries.q, d_k, Write::Add);
                    let d_q = MatrixMut::new(d_q, lanes, w);
                    let keys = self.seen.packed.row_range(first, n);
                    gemm_packed(Left::new(d_s.t(), op.operands, rounded), keys, d_q, Write::Add);
                }
            }
        });
    }
}

simd! {
    /// From scores and the gradient of their weights, each [keys, lanes], to the weights p = exp(z − logsumexp) and the
    /// gradient of the scores, p·(dp − Σ dy·y): the softmax's derivative, with Σ p·dp written as a sum over channels.
    fn softmax_backward<S>(z: &mut [f32], d_p: &mut [f32], logsumexp: &[f32], dots: &[f32]) {
        let lanes = logsumexp.len();
        for (z, d_p) in z.chunks_exact_mut(lanes).zip(d_p.chunks_exact_mut(lanes)) {
            for (((z, d_p), logsumexp), dot) in z.iter_mut().zip(d_p).zip(logsumexp).zip(dots) {
                *z = weight::<S>(*z - logsumexp);
                *d_p = *z * (*d_p - dot);
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
    let (w, width, blocks) = (op.d_head, op.qkv_width(), op.len.div_ceil(COLUMNS));
    d_qkv.par_chunks_mut(ROWS * width).enumerate().for_each(|(block, rows)| {
        for (i, row) in rows.chunks_exact_mut(width).enumerate() {
            let (sequence, position) = ((block * ROWS + i) / op.len, (block * ROWS + i) % op.len);
            let (queries, rest) = row.split_at_mut(op.n_heads * w);
            let (keys, values) = rest.split_at_mut(op.n_kv_heads * w);
            let unit = |kv: usize| sequence * op.n_kv_heads + kv;
            for (head, query) in queries.chunks_exact_mut(w).enumerate() {
                let block = unit(head / op.per_kv()) * blocks + position / COLUMNS;
                let from = ((block * op.per_kv() + head % op.per_kv()) * COLUMNS + position % COLUMNS) * w;
                query.iter_mut().zip(&d_q[from..]).for_each(|(query, d_q)| *query = op.scale * d_q);
            }
            for (kv, (key, value)) in keys.chunks_exact_mut(w).zip(values.chunks_exact_mut(w)).enumerate() {
                let from = (unit(kv) * op.len + position) * w;
                key.copy_from_slice(&d_k[from..][..w]);
                value.copy_from_slice(&d_v[from..][..w]);
            }
            if let Some(rope) = rope {
                rope.rotate_back(queries, position);
                rope.rotate_back(keys, position);
            }
        }
    });
}
