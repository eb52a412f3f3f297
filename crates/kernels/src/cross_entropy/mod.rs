//! hidden · headᵀ / scaling → softmax → nats of the target, and the gradients of both operands.
//!
//! ```text
//! slab of tokens, few enough that its weights stay in L3
//!   block of 32 tokens (a task):   z = head·hᵀ → e = exp(z − max z), s = Σ e      product 1
//!                                  nats = max z + ln s − z[target];  e[target] −= s
//!                                  d_hidden = eᵀ·head · u/(s·scaling)             product 2
//!   rows of the head (a task):     d_head += e · (hidden·u/(s·scaling))           product 3
//! ```
//!
//! With p = e/s, ∂nats/∂z = p − 1[target] (the softmax's derivative), so both gradients are products with the same e;
//! the token's factor u/(s·scaling), u the upstream gradient, goes onto the narrow side. Logits exist for one slab at a
//! time, never [t, v]; computing the gradients at once saves the fourth product that a later backward would spend on
//! computing the logits again.
//!
//! Logits are kept transposed, a row for each entry of the vocabulary: the head is read as it is stored, the tokens of
//! a block lie side by side in vector lanes, and sums over the vocabulary need no shuffles.

mod slab;

use rayon::prelude::*;

use crate::{
    gemm::{Matrix, MatrixMut, Packed, Write, gemm_packed},
    scratch,
    softmax::{self, LANES},
};
use slab::{Slab, exp_and_sum_twice};

/// Elements of e in a slab: 8 MiB.
const SLAB_LEN: usize = 1 << 21;

/// Tokens of a slab, at least and at most.
const SLAB_TOKENS: std::ops::RangeInclusive<usize> = 128..=512;

/// Elements beside each row of a slab; without them rows would share the same few sets of the caches.
const SLAB_PAD: usize = 16;

/// Rows of the head that one task of product 3 takes.
const HEAD_ROWS: usize = 96;

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
}

/// The loss's gradient by each token's nats.
#[derive(Clone, Copy, Debug)]
pub enum Upstream<'a> {
    /// The same for every token, as that of a mean is.
    Same(f32),
    /// `[t]`
    Each(&'a [f32]),
}

/// Where gradients go.
#[derive(Debug)]
pub struct Gradients<'a> {
    /// [t, d], overwritten.
    pub hidden: &'a mut [f32],
    /// [v, d]
    pub head: &'a mut [f32],
    /// Whether the gradient of the head replaces what is there or is added to it.
    pub write_head: Write<'a>,
}

impl Upstream<'_> {
    fn of(&self, token: usize) -> f32 {
        match self {
            Self::Same(u) => *u,
            Self::Each(u) => u[token],
        }
    }
}

impl<'a> HeadCrossEntropy<'a> {
    fn tokens(&self) -> usize {
        self.targets.len()
    }

    fn vocab(&self) -> usize {
        self.head.len() / self.d_model
    }

    fn head(&self) -> Matrix<'a> {
        Matrix::new(self.head, self.vocab(), self.d_model)
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
        fitting.clamp(*SLAB_TOKENS.start(), *SLAB_TOKENS.end()).min(self.tokens()).next_multiple_of(LANES)
    }

    /// Product 1: exp(z − max z) of the tokens from `start` into `e` and its sums into `sums`.
    ///
    /// # Shapes
    /// `nats`: `[tokens]`, at most [`LANES`]; `e`: [v, LANES]
    fn exponentials(&self, start: usize, nats: &mut [f32], e: &mut [f32], slab: Option<&mut Slab<'_>>) -> [f32; LANES] {
        let (tokens, vocab, d) = (nats.len(), self.vocab(), self.d_model);
        let targets = &self.targets[start..start + tokens];
        scratch::with_parts([LANES * d, Packed::len(d, LANES)], |[hidden, packed]| {
            let inverse = self.scaling.recip();
            hidden[tokens * d..].fill(0.0);
            let rows = hidden.iter_mut().zip(&self.hidden[start * d..][..tokens * d]);
            rows.for_each(|(scaled, h)| *scaled = h * inverse);
            let hidden_t = Packed::pack(Matrix::new(hidden, LANES, d).t(), packed);
            gemm_packed(self.head(), hidden_t, MatrixMut::new(e, vocab, LANES), Write::Set);
        });
        let max = softmax::max(e, &[f32::NEG_INFINITY; LANES]);
        for (lane, (nats, target)) in nats.iter_mut().zip(targets).enumerate() {
            *nats = max[lane] - e[*target as usize * LANES + lane];
        }
        let sums = match slab {
            Some(slab) => exp_and_sum_twice(e, &max, slab),
            None => softmax::exp_and_sum(e, &max),
        };
        nats.iter_mut().zip(sums).for_each(|(nats, sum)| *nats += sum.ln());
        sums
    }

    /// Products 1 and 2 for the tokens from `start`; leaves the scaled rows of hidden for product 3 in `scaled`.
    #[expect(clippy::too_many_arguments, reason = "a task's share of each operand")]
    fn backward_hidden(
        &self,
        upstream: Upstream<'_>,
        start: usize,
        head: Packed<'_>,
        nats: &mut [f32],
        d_hidden: &mut [f32],
        scaled: &mut [f32],
        mut slab: Slab<'_>,
    ) {
        let (tokens, vocab, d) = (nats.len(), self.vocab(), self.d_model);
        scratch::with(vocab * LANES, |e| {
            let sums = self.exponentials(start, nats, e, Some(&mut slab));
            for (lane, target) in self.targets[start..start + tokens].iter().enumerate() {
                let target = *target as usize;
                e[target * LANES + lane] -= sums[lane];
                slab.write_row(target, e[target * LANES..].first_chunk().expect("a row of e"));
            }
            let e_t = Matrix::strided(e, tokens, vocab, 1, LANES);
            gemm_packed(e_t, head, MatrixMut::new(d_hidden, tokens, d), Write::Set);
            let hidden = self.hidden[start * d..].chunks_exact(d);
            let rows = d_hidden.chunks_exact_mut(d).zip(scaled.chunks_exact_mut(d)).zip(hidden);
            for (row, (((d_hidden, scaled), hidden), sum)) in rows.zip(sums).enumerate() {
                let factor = upstream.of(start + row) / (sum * self.scaling);
                d_hidden.iter_mut().for_each(|g| *g *= factor);
                scaled.iter_mut().zip(hidden).for_each(|(s, h)| *s = h * factor);
            }
        });
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
    nats.par_chunks_mut(LANES).enumerate().for_each(|(block, nats)| {
        scratch::with(input.vocab() * LANES, |e| {
            input.exponentials(block * LANES, nats, e, None);
        });
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
    let Gradients { hidden: d_hidden, head: d_head, write_head } = gradients;
    assert_eq!(nats.len(), tokens, "one number a token");
    assert_eq!((d_hidden.len(), d_head.len()), (tokens * d, vocab * d), "gradients have the shapes of their operands");
    if let Upstream::Each(upstream) = upstream {
        assert_eq!(upstream.len(), tokens, "one upstream gradient a token");
    }
    if let Write::Onto(base) = write_head {
        assert_eq!(base.len(), d_head.len(), "the gradient to add to");
    }
    if tokens == 0 {
        match write_head {
            Write::Set => d_head.fill(0.0),
            Write::Add => {}
            Write::Onto(base) => d_head.copy_from_slice(base),
        }
        return;
    }
    let slab_tokens = input.slab_tokens();
    let stride = slab_tokens + SLAB_PAD;
    let lens = [Packed::len(vocab, d), vocab * stride, slab_tokens * d, Packed::len(slab_tokens, d)];
    scratch::with_parts(lens, |[head, slab, scaled, packed]| {
        let head = Packed::par_pack(input.head(), head);
        let slabs = nats.chunks_mut(slab_tokens).zip(d_hidden.chunks_mut(slab_tokens * d)).enumerate();
        for (index, (nats, d_hidden)) in slabs {
            let (start, tokens) = (index * slab_tokens, nats.len());
            let scaled = &mut scaled[..tokens * d];
            let columns = Slab::columns(slab, stride).take(tokens.div_ceil(LANES)).collect::<Vec<_>>();
            let outputs = nats.par_chunks_mut(LANES).zip(d_hidden.par_chunks_mut(LANES * d));
            let outputs = outputs.zip(scaled.par_chunks_mut(LANES * d)).zip(columns);
            outputs.enumerate().for_each(|(block, (((nats, d_hidden), scaled), columns))| {
                input.backward_hidden(upstream, start + block * LANES, head, nats, d_hidden, scaled, columns);
            });

            let scaled = Packed::par_pack(Matrix::new(scaled, tokens, d), packed);
            let tasks = slab.par_chunks(HEAD_ROWS * stride).zip(d_head.par_chunks_mut(HEAD_ROWS * d));
            tasks.enumerate().for_each(|(task, (e, d_head))| {
                let rows = d_head.len() / d;
                let write = match write_head {
                    _ if index > 0 => Write::Add,
                    Write::Onto(base) => Write::Onto(&base[task * HEAD_ROWS * d..]),
                    first => first,
                };
                let e = Matrix::strided(e, rows, tokens, stride, 1);
                gemm_packed(e, scaled, MatrixMut::new(d_head, rows, d), write);
            });
        }
    });
}

#[cfg(test)]
mod tests;
