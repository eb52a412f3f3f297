//! hidden · headᵀ / scaling → softmax → nats of the target, and the gradients of both operands.
//!
//! ```text
//! slab of tokens, few enough that their weights stay in L3
//!   block of 32 tokens (a task), over ranges of the vocabulary:
//!       z = head·hᵀ → e = exp(z − max z), s = Σ e, g = Σ eᵀ·head            products 1 and 2
//!       nats = max z + ln s − z[target],  d_hidden = (g/s − head[target])·u/scaling
//!   rows of the head (a task):
//!       d_head += e·(h/s·u/scaling),  d_head[target] −= h·u/scaling          product 3
//! ```
//!
//! With p = e/s and the upstream gradient u, ∂nats/∂z = p − 1\[target\] (the softmax's derivative), so both gradients are
//! products with the same e; what belongs to a token, u/(s·scaling), goes onto the narrow side. Logits exist for one
//! slab at a time, never [t, v]; taking the gradients at once saves the fourth product that a later backward would
//! spend on computing the logits again.
//!
//! Logits are kept transposed, a row for each entry of the vocabulary: the head is read as it is stored, the tokens of
//! a block lie side by side in vector lanes, and sums over the vocabulary need no shuffles. A range is as much of e as
//! stays in L2 beside its rows of the head. Each range's e stands under the maximum so far (as in FlashAttention, arXiv
//! 2205.14135 §3.1); what came before a larger one fades by the exponential of the difference.

mod block;
mod head;
mod slab;

use std::ops::{Range, RangeInclusive};

use rayon::prelude::*;

use crate::{
    gemm::{Matrix, MatrixMut, Operands, Packed, Write, gemm_packed},
    scratch,
    softmax::COLUMNS,
};
use block::Outputs;
use head::Head;

/// Entries of the vocabulary whose weights a block computes at once; their rows of the head stay in L2 for product 2 and
/// for the other panels.
const RANGE: usize = 8 * HEAD_ROWS;

/// Panels of [`COLUMNS`] tokens that a block takes through each range, and its tokens.
const PANELS: usize = 2;
const BLOCK: usize = PANELS * COLUMNS;

/// Rows of the head that one task of product 3 takes.
const HEAD_ROWS: usize = 96;

/// Elements of e in a slab: 8 MiB.
const SLAB_LEN: usize = 1 << 21;

/// Tokens of a slab.
const SLAB_TOKENS: RangeInclusive<usize> = 256..=512;

/// Elements beside each row of a slab; without them rows would share the same few sets of the caches.
const SLAB_PAD: usize = 16;

/// What is compared with what.
#[derive(Clone, Copy, Debug)]
pub struct HeadCrossEntropy<'a> {
    /// [t, d]
    pub hidden: &'a [f32],
    /// [v, d]
    pub head: &'a [f32],
    /// Width of a hidden vector.
    pub d_model: usize,
    /// `[t]`, each in 0..v.
    pub targets: &'a [i32],
    /// Divisor of the logits.
    pub scaling: f32,
    /// Of the products.
    pub operands: Operands,
}

/// The loss's gradient by each token's nats.
#[derive(Clone, Copy, Debug)]
pub enum Upstream<'a> {
    /// The same for every token, as that of a mean is.
    Same(f32),
    /// `[t]`
    Each(&'a [f32]),
}

/// Where gradients go; all of it is overwritten.
#[derive(Debug)]
pub struct Gradients<'a> {
    /// [t, d]
    pub hidden: &'a mut [f32],
    /// [v, d]
    pub head: &'a mut [f32],
}

impl Upstream<'_> {
    fn of(&self, token: usize) -> f32 {
        match self {
            Self::Same(u) => *u,
            Self::Each(u) => u[token],
        }
    }
}

impl HeadCrossEntropy<'_> {
    fn tokens(&self) -> usize {
        self.targets.len()
    }

    fn vocab(&self) -> usize {
        self.head.len() / self.d_model
    }

    fn check(&self) {
        let (tokens, vocab, d) = (self.tokens(), self.vocab(), self.d_model);
        assert!(d > 0 && self.hidden.len() == tokens * d, "hidden vectors: {tokens} tokens of width {d}");
        assert_eq!(self.head.len(), vocab * d, "rows of the head");
        let outside = self.targets.iter().find(|&&target| usize::try_from(target).map_or(true, |t| t >= vocab));
        assert!(outside.is_none(), "target {outside:?} of a vocabulary of {vocab}");
    }

    /// Tokens of a slab, a function of the shapes alone.
    fn slab_tokens(&self) -> usize {
        let fitting = SLAB_LEN / self.vocab().max(1);
        fitting.clamp(*SLAB_TOKENS.start(), *SLAB_TOKENS.end()).min(self.tokens()).next_multiple_of(BLOCK)
    }

    /// Parts of the vocabulary that are computed at once.
    fn ranges(&self) -> usize {
        self.vocab().div_ceil(RANGE)
    }
}

/// Nats of each target.
///
/// `nats[t] = ln Σ_v exp(z[t, v]) − z[t, target[t]]`, `z = hidden·headᵀ / scaling`
///
/// # Shapes
/// `nats`: `[t]`
///
/// # Panics
/// If lengths do not fit, or a target is outside the vocabulary.
pub fn forward(input: &HeadCrossEntropy<'_>, nats: &mut [f32]) {
    input.check();
    assert_eq!(nats.len(), input.tokens(), "one number a token");
    Head::with_rows(input, |head| {
        let blocks = nats.par_chunks_mut(BLOCK).enumerate();
        blocks.for_each(|(block, nats)| block::nats(input, head, block * BLOCK, nats));
    });
}

/// Nats of each target, and the gradients of `Σ_t upstream[t]·nats[t]`.
///
/// # Shapes
/// `nats`: `[t]`
///
/// # Panics
/// If lengths do not fit, or a target is outside the vocabulary.
pub fn forward_backward(
    input: &HeadCrossEntropy<'_>,
    upstream: Upstream<'_>,
    nats: &mut [f32],
    gradients: Gradients<'_>,
) {
    input.check();
    let (tokens, vocab, d) = (input.tokens(), input.vocab(), input.d_model);
    let Gradients { hidden: d_hidden, head: d_head } = gradients;
    assert_eq!(nats.len(), tokens, "one number a token");
    assert_eq!((d_hidden.len(), d_head.len()), (tokens * d, vocab * d), "gradients have the shapes of their operands");
    if let Upstream::Each(upstream) = upstream {
        assert_eq!(upstream.len(), tokens, "one upstream gradient a token");
    }
    if tokens == 0 {
        d_head.fill(0.0);
        return;
    }
    let (slab_tokens, ranges) = (input.slab_tokens(), input.ranges());
    let stride = slab_tokens + SLAB_PAD;
    let packed_len = Packed::len(slab_tokens, d);
    let lens = [vocab * stride, slab_tokens * ranges, packed_len * ranges];
    Head::with_both(input, |head| {
        scratch::with_parts(lens, |[slab, factors, scaled]| {
            let slabs = nats.chunks_mut(slab_tokens).zip(d_hidden.chunks_mut(slab_tokens * d)).enumerate();
            for (index, (nats, d_hidden)) in slabs {
                let (start, tokens) = (index * slab_tokens, nats.len());
                let mut columns: Vec<_> = slab::columns(slab, stride).collect();
                let outputs = nats.par_chunks_mut(BLOCK).zip(d_hidden.par_chunks_mut(BLOCK * d));
                let outputs = outputs.zip(factors.par_chunks_mut(BLOCK * ranges)).zip(columns.par_chunks_mut(PANELS));
                outputs.enumerate().for_each(|(block, (((nats, d_hidden), factors), slabs))| {
                    let outputs = Outputs { nats, d_hidden, factors, slabs };
                    block::gradients(input, head, upstream, start + block * BLOCK, outputs);
                });

                let scaled: Vec<_> = (scaled.par_chunks_exact_mut(packed_len).enumerate())
                    .map(|(range, scaled)| input.scale_and_pack(start, tokens, factors, range, scaled))
                    .collect();
                let tasks = slab.par_chunks(HEAD_ROWS * stride).zip(d_head.par_chunks_mut(HEAD_ROWS * d));
                tasks.enumerate().for_each(|(task, (e, d_head))| {
                    let (first, rows) = (task * HEAD_ROWS, d_head.len() / d);
                    let write = if index > 0 { Write::Add } else { Write::Set };
                    let e = Matrix::strided(e, rows, tokens, stride, 1);
                    gemm_packed(e, scaled[first / RANGE], MatrixMut::new(d_head, rows, d), write);
                    input.subtract_targets(upstream, start..start + tokens, first..first + rows, d_head);
                });
            }
        });
    });
}

impl HeadCrossEntropy<'_> {
    /// The right operand of product 3 for the rows of one range: hidden under the range's factors.
    fn scale_and_pack<'b>(
        &self,
        start: usize,
        tokens: usize,
        factors: &[f32],
        range: usize,
        packed: &'b mut [f32],
    ) -> Packed<'b> {
        let d = self.d_model;
        scratch::with(tokens * d, |scaled| {
            let rows = scaled.chunks_exact_mut(d).zip(self.hidden[start * d..].chunks_exact(d));
            for (token, (scaled, hidden)) in rows.enumerate() {
                let factor = factors[(token / COLUMNS * self.ranges() + range) * COLUMNS + token % COLUMNS];
                scaled.iter_mut().zip(hidden).for_each(|(scaled, h)| *scaled = factor * h);
            }
            Packed::pack(Matrix::new(scaled, tokens, d).with_operands(self.operands), packed)
        })
    }

    /// The part of the gradient of the head's `rows` that comes from the 1 of ∂nats/∂z, for some `tokens`.
    fn subtract_targets(&self, upstream: Upstream<'_>, tokens: Range<usize>, rows: Range<usize>, d_head: &mut [f32]) {
        let d = self.d_model;
        for token in tokens {
            let target = self.targets[token] as usize;
            if rows.contains(&target) {
                let factor = upstream.of(token) / self.scaling;
                let gradient = &mut d_head[(target - rows.start) * d..][..d];
                gradient.iter_mut().zip(&self.hidden[token * d..]).for_each(|(g, h)| *g -= factor * h);
            }
        }
    }
}

#[cfg(test)]
mod tests;
