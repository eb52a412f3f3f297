//! The gradient of the scan: forward in time for dC, then backwards for the rest.
//!
//! ```text
//! →  x, Δ, B, dy → S → dC, ⟨dy, S·C⟩            S kept at the ends of chunks
//! ←  x, Δ, B, C, dy → G → d(Δx) → dx
//!                       → dB
//!                       → ⟨G, S⟩ → u → dΔ → d raw, d dt_bias, d a_log
//! ```

use rayon::prelude::*;

use super::{
    ScanInput, ScanShape,
    sequence::{Output, SUMS, Upstream, backward_sequence},
};
use crate::{columns::Columns, scratch, shared::Shared};

/// Where the gradients go; all of it is overwritten.
#[derive(Debug)]
pub struct ScanGradient<'a> {
    /// Of x | B | C, [b·l, h·p + 2·g·n].
    pub xbc: &'a mut [f32],
    /// Holds the gradient of the raw steps in some columns, b·l rows; the other columns are left alone.
    pub raw_dt: &'a mut [f32],
    /// Those columns.
    pub dt_columns: Columns,
    /// Of dt_bias, `[h]`.
    pub dt_bias: &'a mut [f32],
    /// Of a_log, `[h]`.
    pub a_log: &'a mut [f32],
    /// Of D, `[h]`.
    pub d_skip: &'a mut [f32],
    /// Of the states before the first position, [b, h, p, n].
    pub state: Option<&'a mut [f32]>,
}

impl ScanGradient<'_> {
    #[track_caller]
    fn assert_fits(&self, shape: &ScanShape) {
        assert_eq!(self.xbc.len(), shape.tokens() * shape.channels(), "gradient of x | B | C of {shape:?}");
        self.dt_columns.assert_rows(self.raw_dt.len(), shape.tokens(), "gradient of dt");
        assert_eq!(self.dt_columns.width, shape.n_heads, "columns of the gradient of dt of {shape:?}");
        for (what, found) in [("dt_bias", &self.dt_bias), ("a_log", &self.a_log), ("d_skip", &self.d_skip)] {
            assert_eq!(found.len(), shape.n_heads, "gradient of {what} of {shape:?}");
        }
        let states = shape.batch * shape.n_heads * shape.state_len();
        assert!(self.state.as_ref().is_none_or(|state| state.len() == states), "gradient of the states of {shape:?}");
    }
}

/// Gradients of [`scan`](super::scan()) for the gradient `dy` of y and `d_last` of the last states (zero if absent).
///
/// # Shapes
/// `dy`: [b·l, h·p], `d_last`: [b, h, p, n]
///
/// # Panics
/// If a slice does not fit `shape`.
pub fn scan_backward(
    shape: &ScanShape,
    input: &ScanInput<'_>,
    dy: &[f32],
    d_last: Option<&[f32]>,
    gradient: ScanGradient<'_>,
) {
    input.assert_fits(shape);
    gradient.assert_fits(shape);
    let (heads, state_len) = (shape.n_heads, shape.state_len());
    assert_eq!(dy.len(), shape.tokens() * shape.d_inner(), "dy of {shape:?}");
    assert!(
        d_last.is_none_or(|d_last| d_last.len() == shape.batch * heads * state_len),
        "gradient of the last states of {shape:?}"
    );
    let upstream = Upstream { y: dy, last: d_last };
    let columns = gradient.dt_columns;
    scratch::with(shape.batch * heads * SUMS, |sums| {
        let out = Output {
            xbc: Shared::new(gradient.xbc, shape.channels()),
            raw: Shared::new(gradient.raw_dt, columns.stride).at(0, columns.start),
            sums: Shared::new(sums, SUMS),
            state: gradient.state.map(|state| Shared::new(state, state_len)),
        };
        (0..shape.batch).into_par_iter().for_each(|sequence| backward_sequence(shape, input, upstream, sequence, out));
        for head in 0..heads {
            let sum = |i: usize| sums[head * SUMS + i..].iter().step_by(heads * SUMS).sum();
            gradient.dt_bias[head] = sum(0);
            gradient.a_log[head] = sum(1);
            gradient.d_skip[head] = sum(2);
        }
    });
}
