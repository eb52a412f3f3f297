//! The kernels of a backward pass.

use cubecl::prelude::*;

use super::place::{MIN_LOG_DECAY, Sizes, b_column, place};
use crate::cube::maths::{Registers, sigmoid};

#[cube(launch)]
pub(super) fn chunk_adjoints(
    xbc: &[f32],
    log_decays: &[f32],
    dy: &[f32],
    adjoints: &mut [f32],
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
        let c_column = b_column(place.head, sizes) + c_offset;
        let mut adjoint = Registers::new(n);
        for k in 0..n {
            adjoint[k] = 0.0;
        }
        for back in place.first_row..place.end_row {
            let row = place.first_row + place.end_row - 1 - back;
            let gate = row * heads + place.head;
            let decay = log_decays[gate].exp();
            let gradient = dy[gate * p + place.lane];
            for k in 0..n {
                adjoint[k] = (adjoint[k] + gradient * xbc[row * width + c_column + k]) * decay;
            }
        }
        let slot = (place.sequence * chunks + place.chunk) * heads + place.head;
        for k in 0..n {
            adjoints[(slot * p + place.lane) * n + k] = adjoint[k];
        }
    }
}

/// What chunks found becomes G at their ends.
#[cube(launch)]
pub(super) fn pass_adjoints(
    totals: &[f32],
    d_next: &[f32],
    adjoints: &mut [f32],
    d_before: &mut [f32],
    chunks: usize,
    #[comptime] sizes: Sizes,
) {
    let at = ABSOLUTE_POS;
    if at < d_next.len() {
        let heads = comptime![sizes.heads];
        let of_head = comptime![sizes.d_head * sizes.d_state];
        let numbers = comptime![sizes.state()];
        let sequence = at / numbers;
        let head = at / of_head % heads;
        let mut adjoint = d_next[at];
        for back in 0..chunks {
            let chunk = chunks - 1 - back;
            let decay = max(totals[(sequence * chunks + chunk) * heads + head], MIN_LOG_DECAY).exp();
            let slot = (sequence * chunks + chunk) * numbers + at % numbers;
            let of_chunk = adjoints[slot];
            adjoints[slot] = adjoint;
            adjoint = adjoint * decay + of_chunk;
        }
        d_before[at] = adjoint;
    }
}

#[cube(launch)]
pub(super) fn input_gradient(
    xbc: &[f32],
    deltas: &[f32],
    log_decays: &[f32],
    states: &[f32],
    adjoints: &[f32],
    d_skip: &[f32],
    dy: &[f32],
    d_xbc: &mut [f32],
    of_steps: &mut [f32],
    at_ends: &mut [f32],
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
        let slot = (place.sequence * chunks + place.chunk) * heads + place.head;
        let after = (place.sequence * (chunks + 1) + place.chunk + 1) * heads + place.head;
        let mut adjoint = Registers::new(n);
        let mut at_end = 0.0f32;
        for k in 0..n {
            adjoint[k] = adjoints[(slot * p + place.lane) * n + k];
            at_end += adjoint[k] * states[(after * p + place.lane) * n + k];
        }
        at_ends[slot * p + place.lane] = at_end;
        for back in place.first_row..place.end_row {
            let row = place.first_row + place.end_row - 1 - back;
            let gate = row * heads + place.head;
            let decay = log_decays[gate].exp();
            let gradient = dy[gate * p + place.lane];
            let mut along_b = 0.0f32;
            for k in 0..n {
                let g = adjoint[k] + gradient * xbc[row * width + b_column + c_offset + k];
                along_b += g * xbc[row * width + b_column + k];
                adjoint[k] = g * decay;
            }
            let column = row * width + place.head * p + place.lane;
            d_xbc[column] = deltas[gate] * along_b + d_skip[place.head] * gradient;
            of_steps[gate * p + place.lane] = xbc[column] * along_b;
        }
    }
}

/// Over the channels of a head: ⟨x, G·B⟩, ⟨dy, y − D·x⟩ and ⟨dy, x⟩.
#[cube(launch)]
pub(super) fn head_sums(
    xbc: &[f32],
    y: &[f32],
    dy: &[f32],
    of_steps: &[f32],
    d_skip: &[f32],
    sums: &mut [f32],
    #[comptime] sizes: Sizes,
) {
    let at = ABSOLUTE_POS;
    if at * 3 < sums.len() {
        let heads = comptime![sizes.heads];
        let p = comptime![sizes.d_head];
        let width = comptime![sizes.width()];
        let head = at % heads;
        let first = at / heads * width + head * p;
        let mut of_step = 0.0f32;
        let mut of_decay = 0.0f32;
        let mut of_skip = 0.0f32;
        for i in 0..p {
            let gradient = dy[at * p + i];
            let x = xbc[first + i];
            of_step += of_steps[at * p + i];
            of_decay += gradient * (y[at * p + i] - d_skip[head] * x);
            of_skip += gradient * x;
        }
        sums[at * 3] = of_step;
        sums[at * 3 + 1] = of_decay;
        sums[at * 3 + 2] = of_skip;
    }
}

/// A unit a head of a chunk.
#[cube(launch)]
pub(super) fn gate_gradient(
    projected: &[f32],
    dt_bias: &[f32],
    a_log: &[f32],
    deltas: &[f32],
    log_decays: &[f32],
    sums: &[f32],
    at_ends: &[f32],
    d_projected: &mut [f32],
    of_bias: &mut [f32],
    of_a: &mut [f32],
    of_skip: &mut [f32],
    len: usize,
    chunks: usize,
    stride: usize,
    first_step: usize,
    #[comptime] sizes: Sizes,
) {
    let at = ABSOLUTE_POS;
    if at < of_bias.len() {
        let heads = comptime![sizes.heads];
        let p = comptime![sizes.d_head];
        let place = place(at, len, chunks, 1usize, sizes);
        let head = place.head;
        let a = -a_log[head].exp();
        let mut v = 0.0f32;
        for i in 0..p {
            v += at_ends[at * p + i];
        }
        let mut sum_bias = 0.0f32;
        let mut sum_a = 0.0f32;
        let mut sum_skip = 0.0f32;
        for back in place.first_row..place.end_row {
            let row = place.first_row + place.end_row - 1 - back;
            let gate = row * heads + head;
            let delta = deltas[gate];
            let of_step = sums[gate * 3];
            v += sums[gate * 3 + 1] - delta * of_step;
            // what is forgotten has no gradient, where the sum has that of its roundings
            if log_decays[gate] <= MIN_LOG_DECAY {
                v = 0.0;
            }
            let raw = projected[row * stride + first_step + head] + dt_bias[head];
            let d_raw = (of_step + v * a) * sigmoid(raw);
            d_projected[row * stride + first_step + head] = d_raw;
            sum_bias += d_raw;
            sum_a += v * a * delta;
            sum_skip += sums[gate * 3 + 2];
        }
        of_bias[at] = sum_bias;
        of_a[at] = sum_a;
        of_skip[at] = sum_skip;
    }
}

/// Gradients of B and C from one head.
#[cube(launch)]
pub(super) fn direction_gradient(
    xbc: &[f32],
    deltas: &[f32],
    log_decays: &[f32],
    states: &[f32],
    adjoints: &[f32],
    dy: &[f32],
    d_b: &mut [f32],
    d_c: &mut [f32],
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
        let place = place(at, len, chunks, n, sizes);
        let b_column = b_column(place.head, sizes) + place.lane;
        let before = (place.sequence * (chunks + 1) + place.chunk) * heads + place.head;
        let mut state = Registers::new(p);
        for i in 0..p {
            state[i] = states[(before * p + i) * n + place.lane];
        }
        for row in place.first_row..place.end_row {
            let gate = row * heads + place.head;
            let decay = log_decays[gate].exp();
            let input = deltas[gate] * xbc[row * width + b_column];
            let mut sum = 0.0f32;
            for i in 0..p {
                let s = state[i] * decay + input * xbc[row * width + place.head * p + i];
                sum += s * dy[gate * p + i];
                state[i] = s;
            }
            d_c[gate * n + place.lane] = sum;
        }
        // the numbers of the state make room for those of its gradient
        let slot = (place.sequence * chunks + place.chunk) * heads + place.head;
        for i in 0..p {
            state[i] = adjoints[(slot * p + i) * n + place.lane];
        }
        for back in place.first_row..place.end_row {
            let row = place.first_row + place.end_row - 1 - back;
            let gate = row * heads + place.head;
            let decay = log_decays[gate].exp();
            let c = xbc[row * width + b_column + c_offset];
            let mut sum = 0.0f32;
            for i in 0..p {
                let g = state[i] + dy[gate * p + i] * c;
                sum += g * xbc[row * width + place.head * p + i];
                state[i] = g * decay;
            }
            d_b[gate * n + place.lane] = sum * deltas[gate];
        }
    }
}

/// Over the heads that share B and C.
#[cube(launch)]
pub(super) fn group_sums(d_b: &[f32], d_c: &[f32], d_xbc: &mut [f32], rows: usize, #[comptime] sizes: Sizes) {
    let at = ABSOLUTE_POS;
    let n = comptime![sizes.d_state];
    let of_row = comptime![sizes.all_of_b()];
    if at < rows * of_row {
        let heads = comptime![sizes.heads];
        let heads_per_group = comptime![sizes.heads_per_group()];
        let d_inner = comptime![sizes.d_inner()];
        let width = d_inner + 2 * of_row;
        let row = at / of_row;
        let group = at % of_row / n;
        let mut of_b = 0.0f32;
        let mut of_c = 0.0f32;
        for head in 0..heads_per_group {
            let from = (row * heads + group * heads_per_group + head) * n + at % n;
            of_b += d_b[from];
            of_c += d_c[from];
        }
        let column = row * width + d_inner + at % of_row;
        d_xbc[column] = of_b;
        d_xbc[column + of_row] = of_c;
    }
}
