//! The scan forward in time.

#![expect(unsafe_code, reason = "heads are columns of the same rows")]

use rayon::prelude::*;

use super::{
    ROUND, ScanInput, ScanShape,
    combine::row_products,
    gates::{CHUNK, Gates},
    sweep::{self, Sweep, Time},
    transpose,
};
use crate::{scratch, shared::Shared};

/// Parallel tasks at least, if there are so many heads.
const TASKS: usize = 16;

/// y, and with `last` the states after the last position.
///
/// # Shapes
/// `y`: [b·l, h·p], `last`: [b, h, p, n]
///
/// # Panics
/// If a slice does not fit `shape`.
pub fn scan(shape: &ScanShape, input: &ScanInput<'_>, y: &mut [f32], last: Option<&mut [f32]>) {
    input.assert_fits(shape);
    let (heads, state_len) = (shape.n_heads, shape.state_len());
    assert_eq!(y.len(), shape.tokens() * shape.d_inner(), "y of {shape:?}");
    let last = last.map(|last| {
        assert_eq!(last.len(), shape.batch * heads * state_len, "last states of {shape:?}");
        Shared::new(last, state_len)
    });
    let y = Shared::new(y, shape.d_inner());
    let heads_per_task = shape.heads_per_task(TASKS);
    let round = if heads_per_task < heads { ROUND } else { shape.len };
    (0..shape.batch).into_par_iter().for_each(|sequence| {
        scratch::with(heads * state_len, |states| {
            for (head, state) in states.chunks_exact_mut(state_len).enumerate() {
                match input.head_state(shape, sequence, head) {
                    Some(from) => transpose(from, shape.d_head, shape.d_state, state),
                    None => state.fill(0.0),
                }
            }
            for start in (0..shape.len).step_by(round) {
                let blocks = states.par_chunks_exact_mut(heads_per_task * state_len).enumerate();
                blocks.for_each(|(block, states)| {
                    let end = shape.len.min(start + round);
                    for position in (start..end).step_by(CHUNK) {
                        let (row, len) = (sequence * shape.len + position, CHUNK.min(end - position));
                        scan_chunk(shape, input, row, len, block * heads_per_task, states, y);
                    }
                });
            }
            if let Some(last) = last {
                for (head, state) in states.chunks_exact(state_len).enumerate() {
                    // SAFETY: there is a row for each head of each sequence, and a sequence is one task.
                    let last = unsafe { last.slice(sequence * heads + head, state_len) };
                    transpose(state, shape.d_state, shape.d_head, last);
                }
            }
        });
    });
}

/// y of `len` ≤ [`CHUNK`] positions from row `row`, for as many heads from `first` as there are `states` [·, n, p].
fn scan_chunk(
    shape: &ScanShape,
    input: &ScanInput<'_>,
    row: usize,
    len: usize,
    first: usize,
    states: &mut [f32],
    y: Shared<'_>,
) {
    let mut gates = Gates::new();
    let (mut bc, mut gamma) = ([0.0; CHUNK], [0.0; CHUNK]);
    let (b, c) = (shape.b_rows(input.xbc, row, first), shape.c_rows(input.xbc, row, first));
    // all heads of a task share these rows: they are of one group
    row_products(b, c, &mut bc[..len]);
    for (head, state) in (first..).zip(states.chunks_exact_mut(shape.state_len())) {
        gates.fill(input.raw_steps(row, head).take(len), input.dt_bias[head], input.decay_rate(head));
        for ((gamma, delta), bc) in gamma.iter_mut().zip(&gates.delta).zip(&bc) {
            *gamma = delta * bc + input.d_skip[head];
        }
        // SAFETY: the columns of a head belong to the task that has the head, and its rows to the chunk.
        let out = unsafe { y.at(row, head * shape.d_head).claim(len, shape.d_head) };
        sweep::run(Sweep {
            time: Time::Forward,
            k: b,
            v: shape.x_rows(input.xbc, row, head),
            w: c,
            out,
            next: None,
            add: false,
            alpha: &gates.input,
            beta: &gates.scale,
            gamma: Some(&gamma),
            carry: &gates.carry,
            bounds: gates.bounds(),
            from: None,
            to: state,
        });
    }
}
