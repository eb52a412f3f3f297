//! The SwiGLU MLP that every token goes through.
//!
//! ```text
//! u ─w_in→ gate|up → silu(gate)·up ─w_out→ · multiplier (+ residual) → out
//! ```
//!
//! Blocks of rows go through the whole of it while they are in L2. What the two products need of an expert of a
//! mixture is the same, so [`moe`](crate::moe) builds on the blocks of this module.

mod block;
mod gradient;
mod rows;
mod swiglu;

use rayon::prelude::*;

pub(crate) use block::{BLOCK_ROWS, PackedMlp};
pub(crate) use gradient::{Group, backward as backward_groups};
pub(crate) use rows::{Rows, take};

use crate::{
    gemm::{Operands, Write},
    scratch,
    stored::{Stored, StoredMut},
};

/// Weights of `y = w_out·(silu(gate) · up)`, `gate | up = w_in·u` (arXiv 2002.05202 eq. 6), one row an output.
#[derive(Clone, Copy, Debug)]
pub struct Mlp<'a> {
    w_in: &'a [f32],
    w_out: &'a [f32],
    d: usize,
    f: usize,
    operands: Operands,
}

impl<'a> Mlp<'a> {
    /// From `w_in` [2·f, d], the gate's rows first, and `w_out` [d, f].
    ///
    /// # Panics
    /// If a length does not fit, or a width is 0.
    pub fn new(w_in: &'a [f32], w_out: &'a [f32], d: usize, f: usize) -> Self {
        assert!(d > 0 && f > 0, "an MLP of width {f} over {d}");
        assert_eq!(w_in.len(), 2 * f * d, "w_in of 2·{f} × {d}");
        assert_eq!(w_out.len(), d * f, "w_out of {d} × {f}");
        Self { w_in, w_out, d, f, operands: Operands::F32 }
    }

    /// The same with products of such `operands`, forward and backward.
    pub fn with_operands(self, operands: Operands) -> Self {
        Self { operands, ..self }
    }

    /// Floats of gate | up that the forward pass of `tokens` tokens can keep for the backward pass.
    pub fn saved_len(&self, tokens: usize) -> usize {
        2 * self.f * tokens
    }

    /// Number of weights.
    pub(crate) fn len(&self) -> usize {
        3 * self.f * self.d
    }

    pub(crate) fn packed_len(&self) -> usize {
        PackedMlp::len(self.d, self.f)
    }

    pub(crate) fn d(&self) -> usize {
        self.d
    }
}

/// How a branch joins the residual stream: `out = residual + multiplier·branch`.
#[derive(Clone, Copy, Debug)]
pub struct Join<'a> {
    /// [t, d], or nothing to add.
    pub residual: Option<&'a [f32]>,
    /// Factor of the branch.
    pub multiplier: f32,
}

impl Join<'_> {
    /// The branch alone.
    pub const NONE: Self = Self { residual: None, multiplier: 1.0 };
}

/// `out = residual + multiplier·mlp(u)`.
///
/// `saved` receives gate | up, which [`backward`] otherwise computes again (a third of its work on top): 2·f numbers a
/// token.
///
/// # Shapes
/// `u`, `out`: [t, d], `saved`: [t, 2·f]
///
/// # Panics
/// If a length does not fit.
pub fn forward(u: &[f32], mlp: &Mlp<'_>, join: Join<'_>, saved: Option<StoredMut<'_>>, out: &mut [f32]) {
    assert_eq!(u.len(), out.len(), "u and out");
    let d = mlp.d;
    if let Some(residual) = join.residual {
        assert_eq!(residual.len(), u.len(), "residual and u");
    }
    forward_onto(u, mlp, join.multiplier, saved, out, |first, _| match join.residual {
        Some(residual) => Write::Onto(&residual[first * d..]),
        None => Write::Set,
    });
}

/// [`forward`] in blocks of tokens, each written as `prepare(first token, its rows of out)` says: it may fill the rows
/// and have the product added.
pub(crate) fn forward_onto<'b>(
    u: &[f32],
    mlp: &Mlp<'_>,
    multiplier: f32,
    mut saved: Option<StoredMut<'_>>,
    out: &mut [f32],
    prepare: impl Fn(usize, &mut [f32]) -> Write<'b> + Sync,
) {
    let Mlp { d, f, .. } = *mlp;
    let tokens = u.len() / d;
    assert_eq!(u.len(), tokens * d, "u of rows of {d}");
    let rows = Rows::Tokens { count: tokens, factor: multiplier };
    scratch::with(mlp.packed_len(), |buffer| {
        // one entry to the thread pool for both
        rayon::scope(|_| {
            let packed = PackedMlp::pack(mlp, buffer);
            if let Some(saved) = &saved {
                assert_eq!(saved.len(), mlp.saved_len(tokens), "saved of {tokens} × 2·{f}");
            }
            let blocks = out.chunks_mut(BLOCK_ROWS * d).enumerate();
            let blocks: Vec<_> = blocks
                .map(|(i, out)| (i * BLOCK_ROWS, StoredMut::take(&mut saved, out.len() / d * 2 * f), out))
                .collect();
            blocks.into_par_iter().with_max_len(1).for_each(|(first, saved, out)| {
                let write = prepare(first, out);
                forward_block(&packed, &rows, first, u, saved, out, write);
            });
        });
    });
}

/// The rows from `first` that `y` has room for, through `mlp`: [`PackedMlp::forward`] with its buffers.
pub(crate) fn forward_block(
    mlp: &PackedMlp<'_>,
    rows: &Rows<'_>,
    first: usize,
    u: &[f32],
    saved: Option<StoredMut<'_>>,
    y: &mut [f32],
    write: Write<'_>,
) {
    let (d, f) = mlp.widths();
    let range = first..first + y.len() / d;
    let gate_up_len = saved.as_ref().map_or(2 * f * BLOCK_ROWS, StoredMut::buffer_len);
    scratch::with((d + f) * BLOCK_ROWS + gate_up_len, |buffer| {
        let (x, rest) = buffer.split_at_mut(d * BLOCK_ROWS);
        let (hidden, gate_up) = rest.split_at_mut(f * BLOCK_ROWS);
        let mut factors = [0.0; BLOCK_ROWS];
        rows.factors(range.clone(), &mut factors);
        let x = rows.read(u.into(), d, range.clone(), x);
        let (factors, hidden) = (&factors[..range.len()], &mut hidden[..range.len() * f]);
        match saved {
            Some(saved) => saved.write(gate_up, |gate_up| mlp.forward(x, factors, gate_up, hidden, y, write)),
            None => mlp.forward(x, factors, &mut gate_up[..range.len() * 2 * f], hidden, y, write),
        }
    });
}

/// Gradients of [`forward`]'s branch for the gradient `d_out` of `out`. That of the residual is `d_out` itself.
///
/// # Shapes
/// `u`, `d_out`, `d_u`: [t, d], `saved`: [t, 2·f] of [`forward`], `d_w_in`: [2·f, d], `d_w_out`: [d, f]
///
/// # Panics
/// If a length does not fit.
#[expect(clippy::too_many_arguments, reason = "what the forward pass read and saved, and the gradients of it")]
pub fn backward(
    u: Stored<'_>,
    mlp: &Mlp<'_>,
    multiplier: f32,
    saved: Option<Stored<'_>>,
    d_out: &[f32],
    d_u: &mut [f32],
    d_w_in: &mut [f32],
    d_w_out: &mut [f32],
) {
    let tokens = u.len() / mlp.d;
    assert_eq!((u.len(), d_out.len(), d_u.len()), (tokens * mlp.d, u.len(), u.len()), "u, d_out and d_u");
    let group = group(mlp, tokens, multiplier, saved, d_u, d_w_in, d_w_out);
    backward_groups(u, d_out, vec![group]);
}

/// All `tokens` through one MLP.
pub(crate) fn group<'a>(
    mlp: &Mlp<'a>,
    tokens: usize,
    multiplier: f32,
    saved: Option<Stored<'a>>,
    d_u: &'a mut [f32],
    d_w_in: &'a mut [f32],
    d_w_out: &'a mut [f32],
) -> Group<'a> {
    if let Some(saved) = saved {
        assert_eq!(saved.len(), mlp.saved_len(tokens), "saved of {tokens} × 2·{}", mlp.f);
    }
    assert_eq!((d_w_in.len(), d_w_out.len()), (mlp.w_in.len(), mlp.w_out.len()), "d_w_in and d_w_out");
    let rows = Rows::Tokens { count: tokens, factor: multiplier };
    Group { mlp: *mlp, rows, gate_up: saved, d_x: d_u, d_factors: &mut [], d_w_in, d_w_out }
}

#[cfg(test)]
mod tests;
