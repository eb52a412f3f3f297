//! The kernels of a forward pass.

use cubecl::prelude::*;

use super::place::{MIN_LOG_DECAY, Sizes, b_column, place};
use crate::cube::maths::{Registers, softplus};

/// Δ and A·Δ of each head at each token.
#[cube(launch)]
pub(super) fn gates(
    projected: &[f32],
    dt_bias: &[f32],
    a_log: &[f32],
    deltas: &mut [f32],
    log_decays: &mut [f32],
    stride: usize,
    first_step: usize,
    #[comptime] heads: usize,
) {
    let at = ABSOLUTE_POS;
    if at < deltas.len() {
        let head = at % heads;
        let delta = softplus(projected[at / heads * stride + first_step + head] + dt_bias[head]);
        deltas[at] = delta;
        log_decays[at] = max(-a_log[head].exp() * delta, MIN_LOG_DECAY);
    }
}

#[cube(launch)]
pub(super) fn chunk_states(
    xbc: &[f32],
    deltas: &[f32],
    log_decays: &[f32],
    totals: &mut [f32],
    states: &mut [f32],
    len: usize,
    chunks: usize,
    n_units: usize,
    #[comptime] sizes: Sizes,
) {
    let at = ABSOLUTE_POS;
    if at < n_units {
        let heads = comptime![sizes.heads];
        let p = comptime![sizes.d_head];
        let n = comptime![sizes.d_state];
        let width = comptime![sizes.width()];
        let place = place(at, len, chunks, p, sizes);
        let b_column = b_column(place.head, sizes);
        let mut state = Registers::new(n);
        for k in 0..n {
            state[k] = 0.0;
        }
        let mut total = 0.0f32;
        for row in place.first_row..place.end_row {
            let gate = row * heads + place.head;
            total += log_decays[gate];
            let decay = log_decays[gate].exp();
            let input = deltas[gate] * xbc[row * width + place.head * p + place.lane];
            for k in 0..n {
                state[k] = state[k] * decay + input * xbc[row * width + b_column + k];
            }
        }
        let slot = (place.sequence * (chunks + 1) + place.chunk + 1) * heads + place.head;
        for k in 0..n {
            states[(slot * p + place.lane) * n + k] = state[k];
        }
        if place.lane == 0 {
            totals[(place.sequence * chunks + place.chunk) * heads + place.head] = total;
        }
    }
}

#[cube(launch)]
pub(super) fn pass_states(
    totals: &[f32],
    before: &[f32],
    states: &mut [f32],
    next: &mut [f32],
    chunks: usize,
    #[comptime] sizes: Sizes,
) {
    let at = ABSOLUTE_POS;
    if at < next.len() {
        let heads = comptime![sizes.heads];
        let of_head = comptime![sizes.d_head * sizes.d_state];
        let numbers = comptime![sizes.state()];
        let sequence = at / numbers;
        let head = at / of_head % heads;
        let first = sequence * (chunks + 1) * numbers + at % numbers;
        let mut state = before[at];
        states[first] = state;
        for chunk in 0..chunks {
            let decay = max(totals[(sequence * chunks + chunk) * heads + head], MIN_LOG_DECAY).exp();
            let slot = first + (chunk + 1) * numbers;
            state = state * decay + states[slot];
            states[slot] = state;
        }
        next[at] = state;
    }
}

#[cube(launch)]
pub(super) fn outputs(
    xbc: &[f32],
    deltas: &[f32],
    log_decays: &[f32],
    states: &[f32],
    d_skip: &[f32],
    y: &mut [f32],
    len: usize,
    chunks: usize,
    n_units: usize,
    #[comptime] sizes: Sizes,
) {
    let at = ABSOLUTE_POS;
    if at < n_units {
        let heads = comptime![sizes.heads];
        let p = comptime![sizes.d_head];
        let n = comptime![sizes.d_state];
        let width = comptime![sizes.width()];
        let c_offset = comptime![sizes.all_of_b()];
        let place = place(at, len, chunks, p, sizes);
        let b_column = b_column(place.head, sizes);
        let slot = (place.sequence * (chunks + 1) + place.chunk) * heads + place.head;
        let mut state = Registers::new(n);
        for k in 0..n {
            state[k] = states[(slot * p + place.lane) * n + k];
        }
        for row in place.first_row..place.end_row {
            let gate = row * heads + place.head;
            let decay = log_decays[gate].exp();
            let x = xbc[row * width + place.head * p + place.lane];
            let input = deltas[gate] * x;
            let mut sum = 0.0f32;
            for k in 0..n {
                let s = state[k] * decay + input * xbc[row * width + b_column + k];
                sum += s * xbc[row * width + b_column + c_offset + k];
                state[k] = s;
            }
            y[(row * heads + place.head) * p + place.lane] = sum + d_skip[place.head] * x;
        }
    }
}
