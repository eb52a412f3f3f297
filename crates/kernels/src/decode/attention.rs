//! One query a head over the keys and values of the positions so far, its own included.
//!
//! ```text
//! keys    [⌈seen/16⌉, kv_heads·w, 16]   the position varies fastest: scores of 16 positions in vector lanes
//! values  [seen, kv_heads·w]            the channel varies fastest: y adds whole vectors
//!
//! runs of 256 positions:  z = q·kᵀ·scale → e = exp(z − max z) → y = (y + Σ e·v) / Σ e
//! ```
//!
//! A maximum that grows from run to run takes what came before down with it, as in FlashAttention (arXiv 2205.14135).
//! Keys and values may be bfloat16: half of what a step reads; all arithmetic is in f32.

use super::softmax;
use crate::{
    bf16,
    simd::{Isa, exp, mul_add, simd},
    sums::{LANES, lane_sum},
};

/// Positions whose keys lie side by side.
pub const KEY_BLOCK: usize = LANES;

/// Blocks of keys whose scores exist at once.
const RUN: usize = 16;

/// Sums that are made side by side: a chain of multiply-adds waits for each of its links.
const CHAINS: usize = 4;

/// Sizes of causal grouped-query attention (arXiv 1706.03762 eq. 1, 2305.13245).
#[derive(Clone, Copy, Debug)]
pub struct AttentionStep {
    /// Query heads.
    pub n_heads: usize,
    /// Key/value heads; each serves n_heads / n_kv_heads query heads.
    pub n_kv_heads: usize,
    /// Width of a head (w).
    pub d_head: usize,
    /// Factor on the scores.
    pub scale: f32,
}

/// Keys and values of the positions so far, as numbers or as the bits of bfloat16.
///
/// # Shapes
/// keys: [⌈seen/16⌉, kv_heads·w, 16], whatever stands after the last position; values: [seen, kv_heads·w]
#[derive(Clone, Copy, Debug)]
pub enum KeysValues<'a> {
    /// The numbers.
    F32(&'a [f32], &'a [f32]),
    /// The upper halves of numbers that were rounded.
    Bf16(&'a [u16], &'a [u16]),
}

/// A number as it is remembered: itself, or the bits of the nearest bfloat16.
pub trait Remembered: Copy + Default {
    /// `x`, rounded to the nearest, ties to even.
    fn nearest(x: f32) -> Self;
    /// The number that is remembered.
    fn wide(self) -> f32;
}

impl Remembered for f32 {
    #[inline(always)]
    fn nearest(x: f32) -> Self {
        x
    }

    #[inline(always)]
    fn wide(self) -> f32 {
        self
    }
}

impl Remembered for u16 {
    #[inline(always)]
    fn nearest(x: f32) -> Self {
        bf16::nearest(x) as u16
    }

    #[inline(always)]
    fn wide(self) -> f32 {
        bf16::wide(self)
    }
}

/// `y = softmax(q·kᵀ·scale)·v` of each head.
///
/// # Shapes
/// `queries`, `y`: [heads·w]
///
/// # Panics
/// If the lengths do not fit, or there is no position.
pub fn attention_step(op: &AttentionStep, queries: &[f32], past: KeysValues<'_>, y: &mut [f32]) {
    let AttentionStep { n_heads, n_kv_heads, d_head, .. } = *op;
    assert!(n_kv_heads > 0 && n_heads.is_multiple_of(n_kv_heads) && d_head > 0, "sizes of {op:?}");
    let (keys, values) = match past {
        KeysValues::F32(keys, values) => (keys.len(), values.len()),
        KeysValues::Bf16(keys, values) => (keys.len(), values.len()),
    };
    let (kv, seen) = (n_kv_heads * d_head, values / (n_kv_heads * d_head));
    assert!(seen > 0 && values == seen * kv, "values of rows of {kv}: {values}");
    assert_eq!(keys, seen.div_ceil(KEY_BLOCK) * kv * KEY_BLOCK, "keys of {seen} positions");
    assert_eq!([queries.len(), y.len()], [n_heads * d_head; 2], "queries and output");
    attend(op, queries, past, y);
}

simd! {
    fn attend<S>(op: &AttentionStep, queries: &[f32], past: KeysValues<'_>, y: &mut [f32]) {
        match past {
            KeysValues::F32(keys, values) => attend_to::<S, _>(op, queries, keys, values, y),
            KeysValues::Bf16(keys, values) => attend_to::<S, _>(op, queries, keys, values, y),
        }
    }
}

#[inline(always)]
fn attend_to<S: Isa, R: Remembered>(op: &AttentionStep, queries: &[f32], keys: &[R], values: &[R], y: &mut [f32]) {
    let (w, kv) = (op.d_head, op.n_kv_heads * op.d_head);
    let per_kv = op.n_heads / op.n_kv_heads;
    for (head, (query, y)) in queries.chunks_exact(w).zip(y.chunks_exact_mut(w)).enumerate() {
        let column = head / per_kv * w;
        let (mut largest, mut sum) = (f32::NEG_INFINITY, 0.0);
        y.fill(0.0);
        for (keys, values) in keys.chunks(RUN * kv * KEY_BLOCK).zip(values.chunks(RUN * KEY_BLOCK * kv)) {
            let mut z = [[f32::NEG_INFINITY; KEY_BLOCK]; RUN];
            let seen = values.len() / kv;
            for (z, keys) in z.iter_mut().zip(keys.chunks_exact(kv * KEY_BLOCK)) {
                *z = scores::<S, R>(query, &keys[column * KEY_BLOCK..], op.scale);
            }
            let z = &mut z[..seen.div_ceil(KEY_BLOCK)];
            z.as_flattened_mut()[seen..].fill(f32::NEG_INFINITY);
            let (before, top) = (largest, softmax::largest(z.as_flattened()));
            largest = if top > before { top } else { before };
            let fade = exp::<S>(before - largest);
            y.iter_mut().for_each(|y| *y *= fade);
            let mut sums = [0.0; KEY_BLOCK];
            for z in &mut *z {
                for (z, sum) in z.iter_mut().zip(&mut sums) {
                    *z = exp::<S>(*z - largest);
                    *sum += *z;
                }
            }
            sum = sum * fade + lane_sum(sums);
            let weights = &z.as_flattened()[..seen];
            add_values::<S, R>(weights, values, kv, column, y);
        }
        y.iter_mut().for_each(|y| *y /= sum);
    }
}

/// q·kᵀ·scale of a block of keys [w, 16].
#[inline(always)]
fn scores<S: Isa, R: Remembered>(query: &[f32], keys: &[R], scale: f32) -> [f32; KEY_BLOCK] {
    let mut z = weighted_sum::<S, R, KEY_BLOCK>(query, keys, KEY_BLOCK, 0);
    z.iter_mut().for_each(|z| *z *= scale);
    z
}

/// y += Σ weight·value, over the columns of `values` [seen, kv] from `column`.
#[inline(always)]
fn add_values<S: Isa, R: Remembered>(weights: &[f32], values: &[R], kv: usize, column: usize, y: &mut [f32]) {
    let (blocks, rest) = y.as_chunks_mut::<LANES>();
    let start_of_rest = column + blocks.len() * LANES;
    for (y, start) in blocks.iter_mut().zip((column..).step_by(LANES)) {
        let sums = weighted_sum::<S, R, LANES>(weights, values, kv, start);
        y.iter_mut().zip(sums).for_each(|(y, sum)| *y += sum);
    }
    for (y, start) in rest.iter_mut().zip(start_of_rest..) {
        let [sum] = weighted_sum::<S, R, 1>(weights, values, kv, start);
        *y += sum;
    }
}

/// Σ weight·row of as many `rows` of `width` numbers as there are weights, the `N` columns from `column`.
#[inline(always)]
fn weighted_sum<S: Isa, R: Remembered, const N: usize>(
    weights: &[f32],
    rows: &[R],
    width: usize,
    column: usize,
) -> [f32; N] {
    let mut sums = [[0.0; N]; CHAINS];
    let (weights, last_weights) = weights.as_chunks::<CHAINS>();
    let (rows, last_rows) = rows.split_at(weights.len() * CHAINS * width);
    for (weights, rows) in weights.iter().zip(rows.chunks_exact(CHAINS * width)) {
        for chain in 0..CHAINS {
            add_row::<S, R, N>(weights[chain], &rows[chain * width + column..], &mut sums[chain]);
        }
    }
    for ((weight, row), sum) in last_weights.iter().zip(last_rows.chunks_exact(width)).zip(&mut sums) {
        add_row::<S, R, N>(*weight, &row[column..], sum);
    }
    let [mut sum, b, c, d] = sums;
    for lane in 0..N {
        sum[lane] = (sum[lane] + b[lane]) + (c[lane] + d[lane]);
    }
    sum
}

/// sum += weight·row
#[inline(always)]
fn add_row<S: Isa, R: Remembered, const N: usize>(weight: f32, row: &[R], sum: &mut [f32; N]) {
    let row: [R; N] = *row.first_chunk().expect("as many as asked for");
    for lane in 0..N {
        sum[lane] = mul_add::<S>(weight, row[lane].wide(), sum[lane]);
    }
}

/// Which two channels of a head are turned together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairs {
    /// Channel j and channel j + w/2.
    Halves,
    /// Channels 2j and 2j + 1.
    Neighbours,
}

simd! {
    /// Turn heads by the angles of their position (arXiv 2104.09864, §3.4.2).
    ///
    /// # Shapes
    /// `heads`: [any number, w]; `turns`: `[w]`, cosines and then sines of the angles of the pairs of channels
    ///
    /// # Panics
    /// If w is odd, or the heads are not whole.
    pub fn turn<S>(heads: &mut [f32], turns: &[f32], pairs: Pairs) {
        let w = turns.len();
        assert!(w > 0 && w.is_multiple_of(2) && heads.len().is_multiple_of(w), "heads of {w} channels: {}", heads.len());
        let (cos, sin) = turns.split_at(w / 2);
        for head in heads.chunks_exact_mut(w) {
            match pairs {
                Pairs::Halves => {
                    let (first, second) = head.split_at_mut(w / 2);
                    for (((x1, x2), cos), sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
                        (*x1, *x2) = turned::<S>(*x1, *x2, *cos, *sin);
                    }
                }
                Pairs::Neighbours => {
                    for (([x1, x2], cos), sin) in head.as_chunks_mut().0.iter_mut().zip(cos).zip(sin) {
                        (*x1, *x2) = turned::<S>(*x1, *x2, *cos, *sin);
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn turned<S: Isa>(x1: f32, x2: f32, cos: f32, sin: f32) -> (f32, f32) {
    (mul_add::<S>(x1, cos, -x2 * sin), mul_add::<S>(x2, cos, x1 * sin))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        attention::Attention,
        check::{assert_close, wide},
        gemm::Operands,
        reference,
        simd::{Level, with_level},
        test_data::uniform,
    };

    /// The queries of the last of `seen` positions, and all keys and values as the twin wants them.
    fn case(op: &AttentionStep, seen: usize) -> (Attention, Vec<f32>) {
        let AttentionStep { n_heads, n_kv_heads, d_head, scale } = *op;
        let op =
            Attention { batch: 1, len: seen, past: 0, n_heads, n_kv_heads, d_head, scale, operands: Operands::F32 };
        (op, uniform(seen * op.qkv_width(), seen as u64).iter().map(|x| 4.0 * x).collect())
    }

    /// Keys and values in the order of this module, NaN after the last key.
    fn stored(op: &AttentionStep, qkv: &[f32], width: usize) -> (Vec<f32>, Vec<f32>) {
        let (kv, seen) = (op.n_kv_heads * op.d_head, qkv.len() / width);
        let mut keys = vec![f32::NAN; seen.div_ceil(KEY_BLOCK) * kv * KEY_BLOCK];
        let mut values = vec![];
        for (position, row) in qkv.chunks(width).enumerate() {
            let (row, value) = row[op.n_heads * op.d_head..].split_at(kv);
            values.extend_from_slice(value);
            for (channel, key) in row.iter().enumerate() {
                keys[(position / KEY_BLOCK * kv + channel) * KEY_BLOCK + position % KEY_BLOCK] = *key;
            }
        }
        (keys, values)
    }

    #[test]
    fn agrees_with_the_last_query_of_the_twin() {
        for (n_heads, n_kv_heads, d_head) in [(1, 1, 1), (4, 2, 32), (3, 1, 17), (2, 2, 8)] {
            let op = AttentionStep { n_heads, n_kv_heads, d_head, scale: 0.3 };
            for seen in [1, 15, 16, 17, 255, 256, 257, 600] {
                let (sequence, qkv) = case(&op, seen);
                let (keys, values) = reference::keys_and_values(&sequence, None, &wide(&qkv), (&[], &[]));
                let last = Attention { len: 1, past: seen - 1, ..sequence };
                let row = &qkv[(seen - 1) * sequence.qkv_width()..];
                let (expected, _) = reference::attention(&last, None, &wide(row), &keys, &values);
                let (keys, values) = stored(&op, &qkv, sequence.qkv_width());
                for level in Level::available() {
                    let mut y = vec![f32::NAN; n_heads * d_head];
                    let past = KeysValues::F32(&keys, &values);
                    with_level(level, 1, || attention_step(&op, &row[..n_heads * d_head], past, &mut y));
                    assert_close(&y, &expected, 2e-5, (op, seen, level));
                }
            }
        }
    }

    #[test]
    fn bfloat16_are_the_numbers_that_they_stand_for() {
        let op = AttentionStep { n_heads: 4, n_kv_heads: 2, d_head: 17, scale: 0.3 };
        for seen in [1, 16, 300] {
            let (sequence, qkv) = case(&op, seen);
            let (keys, values) = stored(&op, &qkv, sequence.qkv_width());
            let halves = [&keys, &values].map(|x| x.iter().map(|x| reference::bf16(*x)).collect::<Vec<_>>());
            let wide = |half: &u16| f32::from_bits(u32::from(*half) << 16);
            let numbers = halves.each_ref().map(|halves| halves.iter().map(wide).collect::<Vec<_>>());
            assert_eq!(keys.iter().map(|x| u16::nearest(*x)).collect::<Vec<_>>(), halves[0]);
            for level in Level::available() {
                let attended = |past| {
                    let mut y = vec![f32::NAN; op.n_heads * op.d_head];
                    with_level(level, 1, || attention_step(&op, &qkv[..op.n_heads * op.d_head], past, &mut y));
                    y
                };
                let found = attended(KeysValues::Bf16(&halves[0], &halves[1]));
                assert!(found == attended(KeysValues::F32(&numbers[0], &numbers[1])), "{seen} at {level:?}");
                assert!(found != attended(KeysValues::F32(&keys, &values)), "nothing was rounded");
            }
        }
    }

    #[test]
    fn a_turn_is_that_of_complex_numbers() {
        for w in [2, 6, 34] {
            let (heads, angles) = (uniform(3 * w, 1), uniform(w / 2, 2));
            let turns: Vec<f32> = angles.iter().map(|a| a.cos()).chain(angles.iter().map(|a| a.sin())).collect();
            for pairs in [Pairs::Halves, Pairs::Neighbours] {
                let at = |j| if pairs == Pairs::Halves { [j, w / 2 + j] } else { [2 * j, 2 * j + 1] };
                let mut expected = wide(&heads);
                for head in expected.chunks_mut(w) {
                    for (j, angle) in wide(&angles).into_iter().enumerate() {
                        let [re, im] = at(j).map(|channel| head[channel]);
                        head[at(j)[0]] = re * angle.cos() - im * angle.sin();
                        head[at(j)[1]] = im * angle.cos() + re * angle.sin();
                    }
                }
                for level in Level::available() {
                    let mut found = heads.clone();
                    with_level(level, 1, || turn(&mut found, &turns, pairs));
                    assert_close(&found, &expected, 1e-6, (w, pairs, level));
                }
            }
        }
    }
}
