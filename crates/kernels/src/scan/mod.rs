//! x, Δ, B, C → the SSM of Mamba-2 over whole sequences, and its gradient
//!
//! ```text
//! Δ_t = softplus(raw_t + dt_bias)      a_t = exp(−exp(a_log)·Δ_t)
//! S_t = a_t · S_{t−1} + Δ_t · x_t ⊗ B_t
//! y_t = S_t · C_t + D · x_t
//! ```
//!
//! arXiv 2405.21060 eq. 1, with Δ folded into x and a head's state [p, n]. The paper computes it by chunks, as products
//! of q×q matrices, because its processors multiply matrices far faster than they do anything else. A CPU does not: with
//! the decay out of the way (see `gates`) the recurrence itself is two fused multiply-adds an element of the state and
//! position, all of them in registers (see `sweep`), fewer than any chunked form, and there is no chunk length.
//!
//! Backward keeps nothing but the inputs. With G_t = ∂L/∂S_t, which obeys the same recurrence backwards in time,
//!
//! ```text
//! G_t = a_{t+1} · G_{t+1} + dy_t ⊗ C_t
//! dC_t = S_tᵀ·dy_t     dB_t = Δ_t·G_tᵀ·x_t     d(Δx)_t = G_t·B_t     (dB and dC summed over the heads of a group)
//! u_t = ∂L/∂ log a_t = a_t·⟨G_t, S_{t−1}⟩ = u_{t+1} + ⟨dy_t, a_t·S_{t−1}·C_t⟩ − Δ_t·⟨x_t, a_{t+1}·G_{t+1}·B_t⟩
//! ```
//!
//! The last line takes the decay's gradient from numbers at hand instead of a product of two states a position. What x_t
//! and dy_t add to S_t and G_t would cancel in it, and is left out, so that a fast decay has an exact gradient too. The
//! sum starts anew from ⟨G, S⟩ at the end of every chunk: rounding does not add up along the sequence.
//!
//! Tasks are sequences and blocks of their heads, cut by the shape alone.

mod backward;
mod combine;
mod forward;
mod gates;
mod sequence;
mod slopes;
mod sweep;
#[cfg(test)]
mod tests;

pub use backward::{ScanGradient, scan_backward};
pub use forward::scan;

use crate::{columns::Columns, shared::Rows, stored::Stored};

/// Positions that the blocks of heads of a sequence go through side by side, so that they find each other's rows in the
/// cache; a multiple of the chunk.
const ROUND: usize = 128;

/// Sizes of a scan, none of them zero; `n_groups` divides `n_heads`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanShape {
    /// Sequences, b.
    pub batch: usize,
    /// Positions of each, l.
    pub len: usize,
    /// Heads, h.
    pub n_heads: usize,
    /// Channels of a head, p.
    pub d_head: usize,
    /// Size of the state of a channel, n.
    pub d_state: usize,
    /// Groups of heads that share B and C, g.
    pub n_groups: usize,
}

impl ScanShape {
    /// Channels of x and y: h·p.
    pub fn d_inner(&self) -> usize {
        self.n_heads * self.d_head
    }

    /// Channels of a row x | B | C.
    pub fn channels(&self) -> usize {
        self.d_inner() + 2 * self.n_groups * self.d_state
    }

    /// Elements of the state of a head: p·n.
    pub fn state_len(&self) -> usize {
        self.d_head * self.d_state
    }

    fn tokens(&self) -> usize {
        self.batch * self.len
    }

    fn heads_per_group(&self) -> usize {
        self.n_heads / self.n_groups
    }

    /// The first column of a head's B in x | B | C.
    fn b_column(&self, head: usize) -> usize {
        self.d_inner() + head / self.heads_per_group() * self.d_state
    }

    /// The first column of a head's C.
    fn c_column(&self, head: usize) -> usize {
        self.b_column(head) + self.n_groups * self.d_state
    }

    /// A head's x from row `row` of x | B | C.
    fn x_rows<'a>(&self, xbc: &'a [f32], row: usize, head: usize) -> Rows<'a> {
        Rows::new(xbc, self.channels(), row, head * self.d_head, self.d_head)
    }

    /// A head's B from row `row`.
    fn b_rows<'a>(&self, xbc: &'a [f32], row: usize, head: usize) -> Rows<'a> {
        Rows::new(xbc, self.channels(), row, self.b_column(head), self.d_state)
    }

    /// A head's C from row `row`.
    fn c_rows<'a>(&self, xbc: &'a [f32], row: usize, head: usize) -> Rows<'a> {
        Rows::new(xbc, self.channels(), row, self.c_column(head), self.d_state)
    }

    /// A head's part of rows of y from row `row`.
    fn y_rows<'a>(&self, y: &'a [f32], row: usize, head: usize) -> Rows<'a> {
        Rows::new(y, self.d_inner(), row, head * self.d_head, self.d_head)
    }

    /// The most heads a task can have so that there are at least `tasks` tasks, if possible; divides a group.
    fn heads_per_task(&self, tasks: usize) -> usize {
        let group = self.heads_per_group();
        let fits = |heads: &usize| group.is_multiple_of(*heads) && self.batch * self.n_heads / heads >= tasks;
        (1..=group).rev().find(fits).unwrap_or(1)
    }
}

/// What drives the scan.
#[derive(Clone, Copy, Debug)]
pub struct ScanInput<'a> {
    /// Rows x | B | C, [b·l, h·p + 2·g·n].
    pub xbc: &'a [f32],
    /// The matrix that holds the raw steps, b·l rows.
    pub raw_dt: Stored<'a>,
    /// Where a row of it holds them: `n_heads` columns.
    pub dt_columns: Columns,
    /// Added to the raw step, `[h]`.
    pub dt_bias: &'a [f32],
    /// Logarithm of −A, `[h]`.
    pub a_log: &'a [f32],
    /// D, `[h]`.
    pub d_skip: &'a [f32],
    /// States before the first position, [b, h, p, n]; zeros if absent.
    pub state: Option<&'a [f32]>,
}

impl ScanInput<'_> {
    #[track_caller]
    fn assert_fits(&self, shape: &ScanShape) {
        let ScanShape { batch, len, n_heads, d_head, d_state, n_groups } = *shape;
        assert!([batch, len, n_heads, d_head, d_state, n_groups].iter().all(|size| *size > 0), "{shape:?}");
        assert_eq!(n_heads % n_groups, 0, "{shape:?}: groups of equal size");
        assert_eq!(self.xbc.len(), shape.tokens() * shape.channels(), "x | B | C of {shape:?}");
        self.dt_columns.assert_rows(self.raw_dt.len(), shape.tokens(), "dt");
        for (what, found) in [("dt_bias", self.dt_bias), ("a_log", self.a_log), ("d_skip", self.d_skip)] {
            assert_eq!(found.len(), n_heads, "{what} of {shape:?}");
        }
        assert_eq!(self.dt_columns.width, n_heads, "columns of dt of {shape:?}");
        let states = batch * n_heads * shape.state_len();
        assert!(self.state.is_none_or(|state| state.len() == states), "states of {shape:?}");
    }

    /// The states of a head before the first position, [p, n].
    fn head_state(&self, shape: &ScanShape, sequence: usize, head: usize) -> Option<&[f32]> {
        let len = shape.state_len();
        self.state.map(|state| &state[(sequence * shape.n_heads + head) * len..][..len])
    }

    /// A of a head.
    fn decay_rate(&self, head: usize) -> f32 {
        -self.a_log[head].exp()
    }

    /// The raw steps of a head from row `row` on.
    fn raw_steps(&self, row: usize, head: usize) -> impl Iterator<Item = f32> {
        let Columns { stride, start, .. } = self.dt_columns;
        (row * stride + start + head..self.raw_dt.len()).step_by(stride).map(|i| self.raw_dt.at(i))
    }
}

/// `to` [columns, rows] = `from`ᵀ [rows, columns].
fn transpose(from: &[f32], rows: usize, columns: usize, to: &mut [f32]) {
    for c in 0..columns {
        for (r, to) in to[c * rows..][..rows].iter_mut().enumerate() {
            *to = from[r * columns + c];
        }
    }
}
