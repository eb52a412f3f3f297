//! One block of rows through one MLP, forward and backward, on one thread.
//!
//! ```text
//! forward    x ─w_in→ gate|up ─swiglu·factor→ h ─w_out→ y
//! backward   dy ─w_outᵀ→ g ─swiglu′·factor→ d_gate|d_up ─w_inᵀ→ dx      d_w_in += d_gate_upᵀ·x    d_w_out += dyᵀ·h
//! ```
//!
//! A block and the weights stay in L2 together: memory sees x, y and what is saved once.

use super::{Mlp, swiglu};
use crate::gemm::{Matrix, MatrixMut, Operands, Packed, Write, gemm, gemm_packed};

/// Rows of a block: a multiple of the product's 12.
pub(crate) const BLOCK_ROWS: usize = 96;

/// Weights laid out for the products of the forward pass.
#[derive(Clone, Copy)]
pub(crate) struct PackedMlp<'a> {
    w_in: Packed<'a>,
    w_out: Packed<'a>,
    d: usize,
    f: usize,
}

impl<'a> PackedMlp<'a> {
    /// Floats that [`pack`](Self::pack) needs.
    pub(crate) fn len(d: usize, f: usize) -> usize {
        Packed::len(d, 2 * f) + Packed::len(f, d)
    }

    /// Lay out `mlp` in `buffer`, over all threads.
    pub(crate) fn pack(mlp: &Mlp<'_>, buffer: &'a mut [f32]) -> Self {
        let Mlp { d, f, operands, .. } = *mlp;
        let (w_in, w_out) = buffer.split_at_mut(Packed::len(d, 2 * f));
        let (w_in, w_out) = rayon::join(
            || Packed::par_pack(Matrix::new(mlp.w_in, 2 * f, d).t().with_operands(operands), w_in),
            || Packed::par_pack(Matrix::new(mlp.w_out, d, f).t().with_operands(operands), w_out),
        );
        Self { w_in, w_out, d, f }
    }

    /// (d, f)
    pub(crate) fn widths(&self) -> (usize, usize) {
        (self.d, self.f)
    }

    /// gate | up = x·w_inᵀ. `x`: [rows, d], `gate_up`: [rows, 2·f]
    pub(crate) fn gate_up(&self, x: &[f32], rows: usize, gate_up: &mut [f32]) {
        let out = MatrixMut::new(gate_up, rows, 2 * self.f);
        gemm_packed(Matrix::new(x, rows, self.d), self.w_in, out, Write::Set);
    }

    /// The whole forward pass of a block; `gate_up` and `hidden` are written on the way.
    ///
    /// # Shapes
    /// `x`, `y`: [rows, d], `factors`: [rows], `gate_up`: [rows, 2·f], `hidden`: [rows, f]
    pub(crate) fn forward(
        &self,
        x: &[f32],
        factors: &[f32],
        gate_up: &mut [f32],
        hidden: &mut [f32],
        y: &mut [f32],
        write: Write<'_>,
    ) {
        let rows = factors.len();
        self.gate_up(x, rows, gate_up);
        swiglu::forward_rows(gate_up, factors, self.f, hidden);
        gemm_packed(Matrix::new(hidden, rows, self.f), self.w_out, MatrixMut::new(y, rows, self.d), write);
    }
}

/// Buffers that the backward pass of a block fills on the way.
pub(crate) struct Workspace<'a> {
    d_hidden: &'a mut [f32],
    hidden: &'a mut [f32],
    d_gate_up: &'a mut [f32],
}

impl<'a> Workspace<'a> {
    /// Floats that [`new`](Self::new) needs.
    pub(crate) fn len(f: usize) -> usize {
        4 * f * BLOCK_ROWS
    }

    pub(crate) fn new(buffer: &'a mut [f32], f: usize) -> Self {
        let (d_hidden, rest) = buffer.split_at_mut(f * BLOCK_ROWS);
        let (hidden, d_gate_up) = rest.split_at_mut(f * BLOCK_ROWS);
        Self { d_hidden, hidden, d_gate_up }
    }
}

/// Gradients that a block adds to, or sets if it is the first.
pub(crate) struct WeightGradients<'a> {
    pub(crate) w_in: &'a mut [f32],
    pub(crate) w_out: &'a mut [f32],
    pub(crate) write: Write<'static>,
}

/// Weights laid out for the products of the backward pass.
#[derive(Clone, Copy)]
pub(crate) struct PackedTransposes<'a> {
    w_in: Packed<'a>,
    w_out: Packed<'a>,
    d: usize,
    f: usize,
    operands: Operands,
}

impl<'a> PackedTransposes<'a> {
    /// Floats that [`pack`](Self::pack) needs.
    pub(crate) fn len(d: usize, f: usize) -> usize {
        Packed::len(2 * f, d) + Packed::len(d, f)
    }

    /// Lay out `mlp` in `buffer`.
    pub(crate) fn pack(mlp: &Mlp<'_>, buffer: &'a mut [f32]) -> Self {
        let Mlp { d, f, operands, .. } = *mlp;
        let (w_in, w_out) = buffer.split_at_mut(Packed::len(2 * f, d));
        let w_in = Packed::pack(Matrix::new(mlp.w_in, 2 * f, d).with_operands(operands), w_in);
        let w_out = Packed::pack(Matrix::new(mlp.w_out, d, f).with_operands(operands), w_out);
        Self { w_in, w_out, d, f, operands }
    }

    /// The backward pass of a block.
    ///
    /// # Shapes
    /// `x`, `d_y`, `d_x`: [rows, d], `factors`, `d_factors`: [rows], `gate_up`: [rows, 2·f]
    #[expect(clippy::too_many_arguments, reason = "what the forward pass read and wrote, and the gradients of both")]
    pub(crate) fn backward(
        &self,
        x: &[f32],
        d_y: &[f32],
        factors: &[f32],
        gate_up: &[f32],
        work: &mut Workspace<'_>,
        d_x: &mut [f32],
        d_factors: &mut [f32],
        gradients: &mut WeightGradients<'_>,
    ) {
        let Self { w_in, w_out, d, f, operands } = *self;
        let rows = factors.len();
        let d_hidden = &mut work.d_hidden[..rows * f];
        let hidden = &mut work.hidden[..rows * f];
        let d_gate_up = &mut work.d_gate_up[..rows * 2 * f];
        let (x, d_y) = (Matrix::new(x, rows, d).with_operands(operands), Matrix::new(d_y, rows, d));

        gemm_packed(d_y, w_out, MatrixMut::new(d_hidden, rows, f), Write::Set);
        swiglu::backward_rows(gate_up, factors, d_hidden, f, d_gate_up, hidden, d_factors);

        let d_gate_up = Matrix::new(d_gate_up, rows, 2 * f);
        let hidden = Matrix::new(hidden, rows, f).with_operands(operands);
        gemm_packed(d_gate_up, w_in, MatrixMut::new(d_x, rows, d), Write::Set);
        gemm(d_gate_up.t(), x, MatrixMut::new(gradients.w_in, 2 * f, d), gradients.write);
        gemm(d_y.t(), hidden, MatrixMut::new(gradients.w_out, d, f), gradients.write);
        gradients.write = Write::Add;
    }
}
