//! The selective scan by chunks: the recurrence within each, all chunks at a time, and their states passed on between.
//!
//! ```text
//! chunk_states     S of each chunk from zero                      a unit a channel of a chunk, its n states in registers
//! pass_states      S at the start of each chunk                   a unit a number of the state, a loop over chunks
//! outputs          y from those                                   a unit a channel of a chunk
//!
//! chunk_adjoints, pass_adjoints     the same backwards, of G = ∂loss/∂S
//! input_gradient                    of x, and what the gates get of it       a unit a channel of a chunk
//! direction_gradient                of B and C, a head at a time             a unit a direction of a chunk
//! ```
//!
//! The gradient of a decay is v = ⟨G_t, a_t·S_{t−1}⟩, of which no unit has both factors. With G_t = dy_t ⊗ C_t + a_{t+1}·G_{t+1}
//! it is the sum v_t = ⟨dy_t, y_t − D·x_t⟩ − Δ_t·⟨x_t, G_t·B_t⟩ + v_{t+1}, which begins anew at the end of each chunk.

mod backward;
mod forward;
mod place;

use self::place::Sizes;
use super::super::types::Mamba2Shape;
use crate::cube::{
    array::{Array, units, zeros},
    reduce::column_sums,
};

/// Positions of a chunk.
const CHUNK: usize = 64;

/// A scan over sequences of one length.
pub(super) struct Scan {
    sizes: Sizes,
    batch: usize,
    len: usize,
    chunks: usize,
    /// Row of the projection, and where the steps begin in it.
    stride: usize,
    first_step: usize,
}

pub(super) struct ScanWeights<'a> {
    pub dt_bias: &'a Array,
    pub a_log: &'a Array,
    pub d_skip: &'a Array,
}

/// What backward reads of a forward pass.
pub(super) struct Scanned {
    /// [b, l, i]
    pub y: Array,
    /// Δ [b, l, h]
    deltas: Array,
    /// A·Δ [b, l, h]
    log_decays: Array,
    /// Sums of the latter [b, c, h]
    totals: Array,
    /// S before each chunk and after the last [b, c + 1, h, p, n]
    states: Array,
}

pub(super) struct ScanGradients {
    pub xbc: Array,
    pub dt_bias: Array,
    pub a_log: Array,
    pub d_skip: Array,
    pub state: Array,
}

impl Scan {
    pub(super) fn new(shape: &Mamba2Shape, projected: &Array) -> Self {
        let (batch, len) = (projected.shape()[0], projected.shape()[1]);
        let Mamba2Shape { n_heads, d_head, d_state, n_groups, .. } = *shape;
        let sizes = Sizes { heads: n_heads, d_head, d_state, groups: n_groups, chunk: CHUNK };
        let first_step = shape.d_inner() + shape.d_conv_channels();
        Self { sizes, batch, len, chunks: len.div_ceil(CHUNK), stride: projected.width(), first_step }
    }

    /// `xbc`: [b, l, ch], `state`: [b, h, p, n] → what backward reads, and the next state
    pub(super) fn forward(
        &self,
        projected: &Array,
        xbc: &Array,
        weights: &ScanWeights<'_>,
        state: &Array,
    ) -> (Scanned, Array) {
        let Self { sizes, batch, len, chunks, stride, first_step } = *self;
        let Sizes { heads, d_head, d_state, .. } = sizes;
        let client = xbc.client();
        let [deltas, log_decays] = [(); 2].map(|()| xbc.beside([batch, len, heads]));
        let (count, dim) = units(client, deltas.len());
        forward::gates::launch(
            client,
            count,
            dim,
            projected.arg(),
            weights.dt_bias.arg(),
            weights.a_log.arg(),
            deltas.arg(),
            log_decays.arg(),
            stride,
            first_step,
            heads,
        );
        let totals = xbc.beside([batch, chunks, heads]);
        let states = xbc.beside([batch, chunks + 1, heads, d_head, d_state]);
        let channels = batch * chunks * heads * d_head;
        let (count, dim) = units(client, channels);
        forward::chunk_states::launch(
            client,
            count,
            dim,
            xbc.arg(),
            deltas.arg(),
            log_decays.arg(),
            totals.arg(),
            states.arg(),
            len,
            chunks,
            channels,
            sizes,
        );
        let next = state.like();
        let (count, dim) = units(client, next.len());
        forward::pass_states::launch(
            client,
            count,
            dim,
            totals.arg(),
            state.arg(),
            states.arg(),
            next.arg(),
            chunks,
            sizes,
        );
        let y = xbc.beside([batch, len, heads * d_head]);
        let (count, dim) = units(client, channels);
        forward::outputs::launch(
            client,
            count,
            dim,
            xbc.arg(),
            deltas.arg(),
            log_decays.arg(),
            states.arg(),
            weights.d_skip.arg(),
            y.arg(),
            len,
            chunks,
            channels,
            sizes,
        );
        (Scanned { y, deltas, log_decays, totals, states }, next)
    }

    /// Gradients from those of `y` and of the next state; that of the raw steps is written into its columns of `d_projected`.
    #[expect(clippy::too_many_arguments, reason = "what forward had, and the gradients of what it made")]
    pub(super) fn backward(
        &self,
        projected: &Array,
        xbc: &Array,
        weights: &ScanWeights<'_>,
        scanned: &Scanned,
        dy: &Array,
        d_next: Option<Array>,
        d_projected: &Array,
    ) -> ScanGradients {
        let Self { sizes, batch, len, chunks, stride, first_step } = *self;
        let Sizes { heads, d_head, d_state, groups, .. } = sizes;
        let Scanned { y, deltas, log_decays, totals, states } = scanned;
        let client = xbc.client();
        let channels = batch * chunks * heads * d_head;

        let adjoints = xbc.beside([batch, chunks, heads, d_head, d_state]);
        let (count, dim) = units(client, channels);
        backward::chunk_adjoints::launch(
            client,
            count,
            dim,
            xbc.arg(),
            log_decays.arg(),
            dy.arg(),
            adjoints.arg(),
            len,
            chunks,
            channels,
            sizes,
        );
        let d_state_before = xbc.beside([batch, heads, d_head, d_state]);
        let d_next = d_next.unwrap_or_else(|| zeros(&d_state_before));
        let (count, dim) = units(client, d_next.len());
        backward::pass_adjoints::launch(
            client,
            count,
            dim,
            totals.arg(),
            d_next.arg(),
            adjoints.arg(),
            d_state_before.arg(),
            chunks,
            sizes,
        );

        let d_xbc = xbc.like();
        let of_steps = y.like();
        let at_ends = xbc.beside([batch, chunks, heads, d_head]);
        let (count, dim) = units(client, channels);
        backward::input_gradient::launch(
            client,
            count,
            dim,
            xbc.arg(),
            deltas.arg(),
            log_decays.arg(),
            states.arg(),
            adjoints.arg(),
            weights.d_skip.arg(),
            dy.arg(),
            d_xbc.arg(),
            of_steps.arg(),
            at_ends.arg(),
            len,
            chunks,
            channels,
            sizes,
        );
        let sums = xbc.beside([batch, len, heads, 3]);
        let (count, dim) = units(client, batch * len * heads);
        backward::head_sums::launch(
            client,
            count,
            dim,
            xbc.arg(),
            y.arg(),
            dy.arg(),
            of_steps.arg(),
            weights.d_skip.arg(),
            sums.arg(),
            sizes,
        );
        let [of_bias, of_a, of_skip] = [(); 3].map(|()| xbc.beside([batch * chunks, heads]));
        let (count, dim) = units(client, of_bias.len());
        backward::gate_gradient::launch(
            client,
            count,
            dim,
            projected.arg(),
            weights.dt_bias.arg(),
            weights.a_log.arg(),
            deltas.arg(),
            log_decays.arg(),
            sums.arg(),
            at_ends.arg(),
            d_projected.arg(),
            of_bias.arg(),
            of_a.arg(),
            of_skip.arg(),
            len,
            chunks,
            stride,
            first_step,
            sizes,
        );

        let [d_b, d_c] = [(); 2].map(|()| xbc.beside([batch, len, heads, d_state]));
        let directions = batch * chunks * heads * d_state;
        let (count, dim) = units(client, directions);
        backward::direction_gradient::launch(
            client,
            count,
            dim,
            xbc.arg(),
            deltas.arg(),
            log_decays.arg(),
            states.arg(),
            adjoints.arg(),
            dy.arg(),
            d_b.arg(),
            d_c.arg(),
            len,
            chunks,
            directions,
            sizes,
        );
        let (count, dim) = units(client, batch * len * groups * d_state);
        backward::group_sums::launch(client, count, dim, d_b.arg(), d_c.arg(), d_xbc.arg(), batch * len, sizes);
        let [dt_bias, a_log, d_skip] = [of_bias, of_a, of_skip].map(|partial| column_sums(&partial));
        ScanGradients { xbc: d_xbc, dt_bias, a_log, d_skip, state: d_state_before }
    }
}
