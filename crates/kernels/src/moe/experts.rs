//! Experts on the rows that were sent to them, forward and backward.

use rayon::prelude::*;

use super::Dispatch;
use crate::{
    gemm::{Operands, Write},
    mlp::{self, BLOCK_ROWS, Group, Join, Mlp, PackedMlp, Rows, backward_groups, forward_block, forward_onto, take},
    scratch,
    simd::simd,
    stored::{Stored, StoredMut},
};

/// Weights of `n_experts` MLPs of one shape, one row an output.
#[derive(Clone, Copy, Debug)]
pub struct Experts<'a> {
    w_in: &'a [f32],
    w_out: &'a [f32],
    n_experts: usize,
    d: usize,
    f: usize,
    operands: Operands,
}

impl<'a> Experts<'a> {
    /// From `w_in` [e, 2·f, d], the gate's rows first, and `w_out` [e, d, f].
    ///
    /// # Panics
    /// If a length does not fit, or a width is 0.
    pub fn new(w_in: &'a [f32], w_out: &'a [f32], n_experts: usize, d: usize, f: usize) -> Self {
        assert!(d > 0 && f > 0, "experts of width {f} over {d}");
        assert_eq!(w_in.len(), n_experts * 2 * f * d, "w_in of {n_experts} × 2·{f} × {d}");
        assert_eq!(w_out.len(), n_experts * d * f, "w_out of {n_experts} × {d} × {f}");
        Self { w_in, w_out, n_experts, d, f, operands: Operands::F32 }
    }

    /// The same with products of such `operands`, forward and backward.
    pub fn with_operands(self, operands: Operands) -> Self {
        Self { operands, ..self }
    }

    fn expert(&self, i: usize) -> Mlp<'a> {
        let len = self.f * self.d;
        let mlp = Mlp::new(&self.w_in[i * 2 * len..][..2 * len], &self.w_out[i * len..][..len], self.d, self.f);
        mlp.with_operands(self.operands)
    }
}

/// Experts, what the router decided, and the expert that every token goes through.
#[derive(Clone, Copy, Debug)]
pub struct Mixture<'a> {
    /// The routed experts.
    pub experts: Experts<'a>,
    /// Where tokens go.
    pub dispatch: &'a Dispatch,
    /// Weight of each assignment [t, k].
    pub expert_weights: &'a [f32],
    /// The shared expert, with weight 1.
    pub shared: Option<Mlp<'a>>,
}

impl<'a> Mixture<'a> {
    /// Floats that the forward pass can keep for the backward pass: gate | up of each slot, then of each token.
    pub fn saved_len(&self) -> usize {
        let shared = self.shared.map_or(0, |shared| shared.saved_len(self.dispatch.tokens()));
        self.routed_len() + shared
    }

    fn routed_len(&self) -> usize {
        self.dispatch.len() * 2 * self.experts.f
    }

    fn rows(&self, expert: usize, multiplier: f32) -> Rows<'a> {
        Rows::Assigned {
            assignments: self.dispatch.assignments(expert),
            top_k: self.dispatch.top_k(),
            weights: self.expert_weights,
            factor: multiplier,
        }
    }

    #[track_caller]
    fn assert_fits(&self, token_lens: &[usize], saved_len: Option<usize>) {
        assert_eq!(self.dispatch.n_experts(), self.experts.n_experts, "experts of the dispatch and of the weights");
        assert_eq!(self.expert_weights.len(), self.dispatch.len(), "a weight for each assignment");
        for len in token_lens {
            assert_eq!(*len, self.dispatch.tokens() * self.experts.d, "rows of {} floats", self.experts.d);
        }
        if let Some(len) = saved_len {
            assert_eq!(len, self.saved_len(), "saved");
        }
        if let Some(shared) = self.shared {
            assert_eq!(shared.d(), self.experts.d, "width of the shared expert's input");
        }
    }
}

/// `out = residual + multiplier·(shared(u) + Σ_k weight_k·expert_k(u))` (arXiv 2401.04088 §2.1).
///
/// `saved` receives gate | up, which [`backward`] otherwise computes again (a third of its work on top):
/// [`Mixture::saved_len`].
///
/// # Shapes
/// `u`, `out`: [t, d]
///
/// # Panics
/// If a length does not fit.
pub fn forward(u: &[f32], mixture: &Mixture<'_>, join: Join<'_>, saved: Option<StoredMut<'_>>, out: &mut [f32]) {
    mixture.assert_fits(&[u.len(), out.len()], saved.as_ref().map(StoredMut::len));
    if let Some(residual) = join.residual {
        assert_eq!(residual.len(), u.len(), "residual and u");
    }
    let Experts { d, .. } = mixture.experts;
    let (routed, shared) = saved.map(|saved| saved.split_at(mixture.routed_len())).unzip();
    scratch::with(mixture.dispatch.len() * d, |y| {
        routed_rows(u, mixture, join.multiplier, routed, y);
        let combine = |first: usize, out: &mut [f32]| {
            let residual = join.residual.map(|residual| &residual[first * d..][..out.len()]);
            let (k, slots) = (mixture.dispatch.top_k(), mixture.dispatch.slots());
            sum_slots(y, &slots[first * k..][..out.len() / d * k], k, d, residual, out);
            Write::Add
        };
        match &mixture.shared {
            Some(shared_mlp) => forward_onto(u, shared_mlp, join.multiplier, shared, out, combine),
            None => out.par_chunks_mut(BLOCK_ROWS * d).enumerate().for_each(|(i, out)| {
                combine(i * BLOCK_ROWS, out);
            }),
        }
    });
}

/// `y` [slots, d]: the output of each slot's expert, times `multiplier` and its weight.
fn routed_rows(u: &[f32], mixture: &Mixture<'_>, multiplier: f32, saved: Option<StoredMut<'_>>, y: &mut [f32]) {
    let Experts { n_experts, d, f, .. } = mixture.experts;
    let packed_len = PackedMlp::len(d, f);
    scratch::with(n_experts * packed_len, |buffer| {
        // one entry to the thread pool for both
        rayon::scope(|_| {
            let buffers = buffer.par_chunks_mut(packed_len).enumerate();
            let pack = |(e, buffer)| PackedMlp::pack(&mixture.experts.expert(e), buffer);
            let packed: Vec<_> = buffers.map(pack).collect();
            let mut blocks = Vec::new();
            let (mut y, mut saved) = (y, saved);
            for (e, packed) in packed.iter().enumerate() {
                let rows = mixture.rows(e, multiplier);
                for block in Rows::blocks(0..rows.count()) {
                    let saved = StoredMut::take(&mut saved, block.len() * 2 * f);
                    blocks.push((packed, rows, block.start, saved, take(&mut y, block.len() * d)));
                }
            }
            blocks.into_par_iter().with_max_len(1).for_each(|(packed, rows, first, saved, y)| {
                forward_block(packed, &rows, first, u, saved, y, Write::Set);
            });
        });
    });
}

simd! {
    /// out = residual + Σ_k rows[slot of (token, k)], in order of k. `rows`: [slots, d], `out`: [tokens, d]
    fn sum_slots<S>(rows: &[f32], slots: &[u32], top_k: usize, d: usize, residual: Option<&[f32]>, out: &mut [f32]) {
        for (i, (out, slots)) in out.chunks_exact_mut(d).zip(slots.chunks_exact(top_k)).enumerate() {
            let first = &rows[slots[0] as usize * d..][..d];
            match residual {
                Some(residual) => {
                    for ((out, residual), row) in out.iter_mut().zip(&residual[i * d..][..d]).zip(first) {
                        *out = residual + row;
                    }
                }
                None => out.copy_from_slice(first),
            }
            add_slots(rows, &slots[1..], out);
        }
    }
}

#[inline(always)]
fn add_slots(rows: &[f32], slots: &[u32], out: &mut [f32]) {
    let d = out.len();
    for slot in slots {
        for (out, row) in out.iter_mut().zip(&rows[*slot as usize * d..][..d]) {
            *out += row;
        }
    }
}

simd! {
    /// out += Σ_k rows[slot of (token, k)].
    fn add_all_slots<S>(rows: &[f32], slots: &[u32], top_k: usize, d: usize, out: &mut [f32]) {
        for (out, slots) in out.chunks_exact_mut(d).zip(slots.chunks_exact(top_k)) {
            add_slots(rows, slots, out);
        }
    }
}

/// Where [`backward`] writes.
#[derive(Debug)]
pub struct Gradients<'a> {
    /// [t, d]
    pub d_u: &'a mut [f32],
    /// [t, k]
    pub d_expert_weights: &'a mut [f32],
    /// [e, 2·f, d]
    pub d_w_in: &'a mut [f32],
    /// [e, d, f]
    pub d_w_out: &'a mut [f32],
    /// [2·f, d] and [d, f] of the shared expert if there is one.
    pub d_shared: Option<(&'a mut [f32], &'a mut [f32])>,
}

/// Gradients of [`forward`]'s branch for the gradient `d_out` [t, d] of `out`. That of the residual is `d_out` itself.
///
/// The gradient of a weight is ⟨d_out·w_out, hidden⟩, so the experts' outputs are not needed again.
///
/// # Panics
/// If a length does not fit, or there are gradients of a shared expert without one.
pub fn backward(
    u: Stored<'_>,
    mixture: &Mixture<'_>,
    multiplier: f32,
    saved: Option<Stored<'_>>,
    d_out: &[f32],
    gradients: Gradients<'_>,
) {
    let Gradients { d_u, d_expert_weights, d_w_in, d_w_out, d_shared } = gradients;
    let (experts, dispatch) = (mixture.experts, mixture.dispatch);
    let Experts { n_experts, d, f, .. } = experts;
    mixture.assert_fits(&[u.len(), d_out.len(), d_u.len()], saved.map(Stored::len));
    assert_eq!(d_expert_weights.len(), dispatch.len(), "d_expert_weights");
    assert_eq!((d_w_in.len(), d_w_out.len()), (experts.w_in.len(), experts.w_out.len()), "d_w_in and d_w_out");
    assert_eq!(d_shared.is_some(), mixture.shared.is_some(), "gradients of the shared expert");

    let (mut routed, shared_saved) = saved.map(|saved| saved.split_at(mixture.routed_len())).unzip();
    let slots = dispatch.len();
    scratch::with(slots * (d + 1), |buffer| {
        let (d_x, d_factors) = buffer.split_at_mut(slots * d);
        {
            let (mut d_x, mut d_factors) = (&mut *d_x, &mut *d_factors);
            let weights = d_w_in.chunks_exact_mut(2 * f * d).zip(d_w_out.chunks_exact_mut(f * d));
            let mut groups: Vec<Group<'_>> = (0..n_experts)
                .zip(weights)
                .map(|(e, (d_w_in, d_w_out))| {
                    let rows = mixture.rows(e, multiplier);
                    let count = rows.count();
                    Group {
                        mlp: experts.expert(e),
                        rows,
                        gate_up: routed.as_mut().map(|saved| saved.take(count * 2 * f)),
                        d_x: take(&mut d_x, count * d),
                        d_factors: take(&mut d_factors, count),
                        d_w_in,
                        d_w_out,
                    }
                })
                .collect();
            match (&mixture.shared, d_shared) {
                (Some(shared), Some((d_w_in, d_w_out))) => {
                    let tokens = dispatch.tokens();
                    groups.push(mlp::group(shared, tokens, multiplier, shared_saved, d_u, d_w_in, d_w_out));
                }
                _ => d_u.par_chunks_mut(crate::TASK_LEN).for_each(|d_u| d_u.fill(0.0)),
            }
            backward_groups(u, d_out, groups);
        }
        // what each token gets back from its slots
        let k = dispatch.top_k();
        let d_u = d_u.par_chunks_mut(BLOCK_ROWS * d);
        let blocks =
            d_u.zip(d_expert_weights.par_chunks_mut(BLOCK_ROWS * k)).zip(dispatch.slots().par_chunks(BLOCK_ROWS * k));
        blocks.for_each(|((d_u, d_weights), slots)| {
            add_all_slots(d_x, slots, k, d, d_u);
            for (d_weight, slot) in d_weights.iter_mut().zip(slots) {
                *d_weight = multiplier * d_factors[*slot as usize];
            }
        });
    });
}
