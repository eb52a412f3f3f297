//! One block of tokens against the whole vocabulary.

use super::{COLUMNS, Head, HeadCrossEntropy, PANELS, RANGE, Upstream, slab::exp_and_sum_twice};
use crate::{
    gemm::{Matrix, MatrixMut, Packed, Write, gemm_packed},
    scratch,
    shared::RowsMut,
    softmax,
};

/// A block's share of the results.
pub(super) struct Outputs<'a, 'b> {
    /// `[tokens]`
    pub nats: &'a mut [f32],
    /// [tokens, d]
    pub d_hidden: &'a mut [f32],
    /// [panels, ranges, COLUMNS]: what the weights of a range are to be multiplied by.
    pub factors: &'a mut [f32],
    /// The columns for the weights of each panel.
    pub slabs: &'a mut [RowsMut<'b>],
}

/// What is known of the distributions of a block's tokens after some ranges.
struct Distributions {
    max: [f32; COLUMNS],
    sum: [f32; COLUMNS],
    /// The target's logit.
    hit: [f32; COLUMNS],
}

impl Distributions {
    /// −ln p of the targets.
    fn write_nats(&self, nats: &mut [f32]) {
        for (lane, nats) in nats.iter_mut().enumerate() {
            *nats = self.max[lane] - self.hit[lane] + self.sum[lane].ln();
        }
    }
}

/// Nats of the tokens from `start`.
pub(super) fn nats(input: &HeadCrossEntropy<'_>, head: &Head<'_>, start: usize, nats: &mut [f32]) {
    let weigh = |_, _, e: &mut [f32], max: &[f32; COLUMNS]| softmax::exp_and_sum(e, max);
    let found = over_ranges(input, head, start, nats.len(), weigh, |_, _, _, _, _| ());
    found.iter().zip(nats.chunks_mut(COLUMNS)).for_each(|(found, nats)| found.write_nats(nats));
}

/// Nats of the tokens from `start`, their weights, and the gradient of hidden.
pub(super) fn gradients(
    input: &HeadCrossEntropy<'_>,
    head: &Head<'_>,
    upstream: Upstream<'_>,
    start: usize,
    outputs: Outputs<'_, '_>,
) {
    let Outputs { nats, d_hidden, factors, slabs } = outputs;
    let (tokens, d, ranges) = (nats.len(), input.d_model, input.ranges());
    let (factors, _) = factors.as_chunks_mut::<COLUMNS>();
    let found = over_ranges(
        input,
        head,
        start,
        tokens,
        |range, panel, e, max| exp_and_sum_twice(e, max, range * RANGE, &mut slabs[panel]),
        |range, panel, e, max, fading| {
            let count = COLUMNS.min(tokens - panel * COLUMNS);
            let d_hidden = &mut d_hidden[panel * COLUMNS * d..][..count * d];
            if range > 0 {
                for (d_hidden, fading) in d_hidden.chunks_exact_mut(d).zip(fading) {
                    d_hidden.iter_mut().for_each(|g| *g *= fading);
                }
            }
            let e_t = Matrix::strided(e, count, e.len() / COLUMNS, 1, COLUMNS);
            let write = if range == 0 { Write::Set } else { Write::Add };
            gemm_packed(e_t, head.columns(range), MatrixMut::new(d_hidden, count, d), write);
            factors[panel * ranges + range] = *max;
        },
    );
    let panels = found.iter().zip(nats.chunks_mut(COLUMNS)).zip(d_hidden.chunks_mut(COLUMNS * d));
    for (panel, (((found, nats), d_hidden), factors)) in panels.zip(factors.chunks_exact_mut(ranges)).enumerate() {
        found.write_nats(nats);
        let first = start + panel * COLUMNS;
        for (lane, d_hidden) in d_hidden.chunks_exact_mut(d).enumerate() {
            let per_weight = upstream.of(first + lane) / input.scaling;
            let factor = per_weight / found.sum[lane];
            let target = &input.head[input.targets[first + lane] as usize * d..];
            d_hidden.iter_mut().zip(target).for_each(|(g, w)| *g = factor * *g - per_weight * w);
        }
        for factors in factors {
            let fading = softmax::weights(factors, &found.max);
            for (lane, (factor, fading)) in factors.iter_mut().zip(fading).enumerate().take(nats.len()) {
                *factor = upstream.of(first + lane) / (found.sum[lane] * input.scaling) * fading;
            }
        }
    }
}

/// Product 1 for the tokens from `start`, range by range and panel by panel of [`COLUMNS`] tokens:
/// `weigh(range, panel, z, max)` turns the logits into e and sums them, `each(range, panel, e, max, fading)` sees e
/// under the maximum `max` of this and earlier ranges, and by what e under the earlier maximum fades.
fn over_ranges(
    input: &HeadCrossEntropy<'_>,
    head: &Head<'_>,
    start: usize,
    tokens: usize,
    mut weigh: impl FnMut(usize, usize, &mut [f32], &[f32; COLUMNS]) -> [f32; COLUMNS],
    mut each: impl FnMut(usize, usize, &[f32], &[f32; COLUMNS], &[f32; COLUMNS]),
) -> [Distributions; PANELS] {
    let d = input.d_model;
    let mut found = [const { Distributions { max: [f32::NEG_INFINITY; COLUMNS], sum: [0.0; COLUMNS], hit: [0.0; COLUMNS] } };
        PANELS];
    let packed_len = Packed::len(d, COLUMNS);
    let lens = [COLUMNS * d, PANELS * packed_len, RANGE.min(input.vocab()) * COLUMNS];
    scratch::with_parts(lens, |[hidden, packed, e]| {
        let inverse = input.scaling.recip();
        let mut panels = Vec::with_capacity(PANELS);
        for (panel, packed) in packed.chunks_exact_mut(packed_len).enumerate().take(tokens.div_ceil(COLUMNS)) {
            let first = panel * COLUMNS;
            let count = COLUMNS.min(tokens - first);
            hidden[count * d..].fill(0.0);
            let rows = hidden.iter_mut().zip(&input.hidden[(start + first) * d..][..count * d]);
            rows.for_each(|(scaled, h)| *scaled = h * inverse);
            let targets = &input.targets[start + first..][..count];
            let hidden_t = Matrix::new(hidden, COLUMNS, d).t().with_operands(input.operands);
            panels.push((Packed::pack(hidden_t, packed), targets));
        }
        for range in 0..input.ranges() {
            let (head, rows) = head.rows(range);
            let e = &mut e[..rows * COLUMNS];
            for (panel, ((hidden_t, targets), found)) in panels.iter().zip(&mut found).enumerate() {
                gemm_packed(head, *hidden_t, MatrixMut::new(e, rows, COLUMNS), Write::Set);
                for (lane, target) in targets.iter().enumerate() {
                    if let Some(row) = (*target as usize).checked_sub(range * RANGE).filter(|row| *row < rows) {
                        found.hit[lane] = e[row * COLUMNS + lane];
                    }
                }
                let max = softmax::max(e, &found.max);
                let fading = softmax::weights(&found.max, &max);
                let part = weigh(range, panel, e, &max);
                for lane in 0..COLUMNS {
                    found.sum[lane] = found.sum[lane] * fading[lane] + part[lane];
                }
                found.max = max;
                each(range, panel, e, &max, &fading);
            }
        }
    });
    found
}
