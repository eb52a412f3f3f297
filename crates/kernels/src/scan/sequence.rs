//! Backward through one sequence: rounds of chunks, forward in time and then backwards, over blocks of heads in parallel.

#![expect(unsafe_code, reason = "heads are columns of the same rows")]

use std::ops::Range;

use rayon::prelude::*;

use super::{
    ROUND, ScanInput, ScanShape,
    combine::{combine, inner_product, row_products, sum_parts},
    gates::{CHUNK, Gates},
    slopes::Slopes,
    sweep::{self, Sweep, Time},
    transpose,
};
use crate::{
    scratch,
    shared::{Rows, RowsMut, Shared},
};

/// Parallel tasks at least, if there are so many heads. More than one a group of a sequence cost a sum of their dB, dC.
const TASKS: usize = 16;

/// Sums over positions that a head contributes: d dt_bias, d a_log, d D.
pub(super) const SUMS: usize = 3;

/// The gradients that arrive.
#[derive(Clone, Copy)]
pub(super) struct Upstream<'a> {
    /// Of y, a row a token.
    pub y: &'a [f32],
    /// Of the last states, [b, h, p, n].
    pub last: Option<&'a [f32]>,
}

/// Where the gradients go. A task owns the columns and rows of its heads in its sequence.
#[derive(Clone, Copy)]
pub(super) struct Output<'a> {
    /// A row a token.
    pub xbc: Shared<'a>,
    /// A row a token.
    pub raw: Shared<'a>,
    /// A row a head of a sequence.
    pub sums: Shared<'a>,
    /// A row a head of a sequence.
    pub state: Option<Shared<'a>>,
}

/// All gradients of one sequence.
pub(super) fn backward_sequence(
    shape: &ScanShape,
    input: &ScanInput<'_>,
    upstream: Upstream<'_>,
    sequence: usize,
    out: Output<'_>,
) {
    let (heads, state_len, chunks) = (shape.n_heads, shape.state_len(), shape.len.div_ceil(CHUNK));
    let heads_per_task = shape.heads_per_task(TASKS);
    let shared = heads_per_task < shape.heads_per_group();
    let partials = if shared { heads / heads_per_task * ROUND * shape.d_state } else { 0 };
    let lengths =
        [heads * (chunks + 1) * state_len, heads * state_len, heads * state_len, heads * chunks * CHUNK, partials];
    scratch::with_parts(lengths, |[ends, after_pn, after_np, dy_past, partials]| {
        let sequence = Sequence {
            shape,
            input,
            upstream,
            sequence,
            out,
            chunks,
            heads_per_task,
            ends: Shared::new(ends, state_len),
            after_pn: Shared::new(after_pn, state_len),
            after_np: Shared::new(after_np, state_len),
            dy_past: Shared::new(dy_past, CHUNK),
            partials: shared.then(|| Shared::new(partials, shape.d_state)),
        };
        sequence.run();
    });
}

/// One sequence, and what its heads keep from chunk to chunk.
#[derive(Clone, Copy)]
struct Sequence<'a> {
    shape: &'a ScanShape,
    input: &'a ScanInput<'a>,
    upstream: Upstream<'a>,
    sequence: usize,
    out: Output<'a>,
    chunks: usize,
    heads_per_task: usize,
    /// S before the first and after each chunk: rows [heads, chunks + 1] of [p, n].
    ends: Shared<'a>,
    /// a·G of the position after the chunk: rows `[heads]` of [p, n].
    after_pn: Shared<'a>,
    /// The same: rows `[heads]` of [n, p].
    after_np: Shared<'a>,
    /// ⟨dy_t, a_t·S_{t−1}·C_t⟩: rows [heads, chunks] of [`CHUNK`].
    dy_past: Shared<'a>,
    /// Gradients of B or of C in a round, if groups are cut into blocks: rows [blocks, ROUND] of `[n]`.
    partials: Option<Shared<'a>>,
}

/// A head in a chunk.
#[derive(Clone, Copy)]
struct Part<'a> {
    head: usize,
    chunk: usize,
    /// The first position, as a row of the batch.
    row: usize,
    /// Positions.
    len: usize,
    /// Where the gradient of C or B goes, a row a position.
    shared: Shared<'a>,
    /// Whether to add to what is there.
    add: bool,
}

/// What a task reuses from part to part.
struct Work<'a> {
    gates: Gates,
    slopes: Slopes,
    /// [CHUNK, max(p, n)]
    rows: &'a mut [f32],
}

impl<'a> Sequence<'a> {
    fn run(self) {
        let per_round = if self.partials.is_some() { ROUND / CHUNK } else { self.chunks };
        let rounds = (0..self.chunks).step_by(per_round).map(|start| start..(start + per_round).min(self.chunks));
        rounds.clone().for_each(|round| self.round(round, Time::Forward));
        rounds.rev().for_each(|round| self.round(round, Time::Reverse));
    }

    fn round(self, chunks: Range<usize>, time: Time) {
        let blocks = self.shape.n_heads / self.heads_per_task;
        (0..blocks).into_par_iter().for_each(|block| self.block(block, chunks.clone(), time));
        if let Some(partials) = self.partials {
            chunks.clone().into_par_iter().for_each(|chunk| self.add_partials(partials, chunk, chunks.start, time));
        }
    }

    /// One block of heads over a round.
    fn block(self, block: usize, chunks: Range<usize>, time: Time) {
        let heads = block * self.heads_per_task..(block + 1) * self.heads_per_task;
        let (start, first) = (chunks.start, heads.start);
        let part = |chunk: usize, head: usize| self.part(chunk, head, start, block, head > first, time);
        scratch::with(CHUNK * self.shape.d_state.max(self.shape.d_head), |rows| {
            let mut work = Work { gates: Gates::new(), slopes: Slopes::new(), rows };
            match time {
                Time::Forward => {
                    if start == 0 {
                        heads.clone().for_each(|head| self.begin(head));
                    }
                    for chunk in chunks {
                        heads.clone().for_each(|head| self.forward(&part(chunk, head), &mut work));
                    }
                }
                Time::Reverse => {
                    for chunk in chunks.rev() {
                        let (xbc, row) = (self.input.xbc, self.row(chunk));
                        let (b, c) = (self.shape.b_rows(xbc, row, first), self.shape.c_rows(xbc, row, first));
                        // the heads share these rows: they are of one group
                        row_products(b, c, &mut work.slopes.bc[..self.chunk_len(chunk)]);
                        heads.clone().for_each(|head| self.reverse(&part(chunk, head), &mut work));
                    }
                    if start == 0 {
                        heads.clone().for_each(|head| self.finish(head));
                    }
                }
            }
        });
    }

    /// The first column of the gradient that heads share: C's on the way forward, B's on the way back.
    fn shared_column(self, head: usize, time: Time) -> usize {
        match time {
            Time::Forward => self.shape.c_column(head),
            Time::Reverse => self.shape.b_column(head),
        }
    }

    fn part(self, chunk: usize, head: usize, round: usize, block: usize, add: bool, time: Time) -> Part<'a> {
        let (row, len) = (self.row(chunk), self.chunk_len(chunk));
        let shared = match self.partials {
            Some(partials) => partials.at(block * ROUND + (chunk - round) * CHUNK, 0),
            None => self.out.xbc.at(row, self.shared_column(head, time)),
        };
        Part { head, chunk, row, len, shared, add }
    }

    /// The first position of a chunk, as a row of the batch.
    fn row(self, chunk: usize) -> usize {
        self.sequence * self.shape.len + chunk * CHUNK
    }

    /// Positions of a chunk.
    fn chunk_len(self, chunk: usize) -> usize {
        CHUNK.min(self.shape.len - chunk * CHUNK)
    }

    /// Sets a head's states at both ends of the sequence, and its sums to zero.
    fn begin(self, head: usize) {
        let (len, (p, n)) = (self.shape.state_len(), (self.shape.d_head, self.shape.d_state));
        let row = self.sequence * self.shape.n_heads + head;
        // SAFETY: each of these has rows of its own for each head of the sequence, and a head is one task's in a round.
        let (first, after, transposed, sums) = unsafe {
            (
                self.ends.slice(head * (self.chunks + 1), len),
                self.after_pn.slice(head, len),
                self.after_np.slice(head, len),
                self.out.sums.slice(row, SUMS),
            )
        };
        match self.input.state {
            Some(states) => first.copy_from_slice(&states[row * len..][..len]),
            None => first.fill(0.0),
        }
        match self.upstream.last {
            Some(last) => after.copy_from_slice(&last[row * len..][..len]),
            None => after.fill(0.0),
        }
        transpose(after, p, n, transposed);
        sums.fill(0.0);
    }

    /// Stores the gradient of a head's states before the first position.
    fn finish(self, head: usize) {
        if let Some(state) = self.out.state {
            let len = self.shape.state_len();
            // SAFETY: each of these has a row of its own for each head of the sequence, and a head is one task's in a round.
            unsafe {
                state
                    .slice(self.sequence * self.shape.n_heads + head, len)
                    .copy_from_slice(self.after_pn.slice(head, len));
            }
        }
    }

    /// A part's rows of x, B, C and dy; its gates are filled.
    fn operands(self, part: &Part<'_>, gates: &mut Gates) -> [Rows<'a>; 4] {
        let Self { shape, input, upstream, .. } = self;
        let Part { head, row, len, .. } = *part;
        gates.fill(input.raw_steps(row, head).take(len), input.dt_bias[head], input.decay_rate(head));
        [
            shape.x_rows(input.xbc, row, head),
            shape.b_rows(input.xbc, row, head),
            shape.c_rows(input.xbc, row, head),
            shape.y_rows(upstream.y, row, head),
        ]
    }

    /// C's gradient: S forward in time.
    fn forward(self, part: &Part<'_>, work: &mut Work<'_>) {
        let shape = self.shape;
        let Part { head, chunk, len, shared, add, .. } = *part;
        let Work { gates, slopes, rows } = work;
        let [x, b, c, dy] = self.operands(part, gates);
        let state = head * (self.chunks + 1) + chunk;
        // SAFETY: the ends are two rows of this head and chunk, `dy_past` is one; `shared` are columns of this head's group,
        // or rows of this task's block where several tasks share a group. A head is one task's in a round.
        let (from, to, dy_past, d_c) = unsafe {
            (
                self.ends.slice(state, shape.state_len()),
                self.ends.slice(state + 1, shape.state_len()),
                self.dy_past.slice(head * self.chunks + chunk, len),
                shared.claim(len, shape.d_state),
            )
        };
        sweep::run(Sweep {
            time: Time::Forward,
            k: x,
            v: b,
            w: dy,
            out: RowsMut::new(&mut rows[..len * shape.d_state], shape.d_state),
            next: None,
            add: false,
            alpha: &gates.input,
            beta: &gates.scale,
            gamma: None,
            carry: &gates.carry,
            bounds: gates.bounds(),
            from: Some(from),
            to,
        });
        let past = Rows::new(rows, shape.d_state, 0, 0, shape.d_state);
        row_products(c, past, dy_past);
        row_products(x, dy, &mut slopes.x_dy[..len]);
        slopes.fill_delta_x_dy(gates);
        combine((past, &[1.0; CHUNK]), (b, &slopes.delta_x_dy), d_c, add);
    }

    /// All other gradients: G backwards in time.
    fn reverse(self, part: &Part<'_>, work: &mut Work<'_>) {
        let Self { shape, input, .. } = self;
        let Part { head, chunk, row, len, shared, add } = *part;
        let Work { gates, slopes, rows } = work;
        let [x, b, c, dy] = self.operands(part, gates);
        let d_x = self.out.xbc.at(row, head * shape.d_head);
        // SAFETY: each of these has rows of its own for each head of the sequence, `d_x` columns; `shared` are columns of this
        // head's group, or rows of this task's block where several tasks share a group. A head is one task's in a round.
        let (after, after_np, d_x_rows, d_b, end, dy_past, sums) = unsafe {
            (
                self.after_pn.slice(head, shape.state_len()),
                self.after_np.slice(head, shape.state_len()),
                d_x.claim(len, shape.d_head),
                shared.claim(len, shape.d_state),
                self.ends.slice(head * (self.chunks + 1) + chunk + 1, shape.state_len()),
                self.dy_past.slice(head * self.chunks + chunk, len),
                self.out.sums.slice(self.sequence * shape.n_heads + head, SUMS),
            )
        };
        let u_end = inner_product(after, end);

        sweep::run(Sweep {
            time: Time::Reverse,
            k: c,
            v: dy,
            w: b,
            out: RowsMut::new(&mut rows[..len * shape.d_head], shape.d_head),
            next: None,
            add: false,
            alpha: &gates.scale,
            beta: &gates.inverse,
            gamma: None,
            carry: &gates.carry,
            bounds: gates.bounds(),
            from: None,
            to: after_np,
        });
        row_products(x, dy, &mut slopes.x_dy[..len]);
        slopes.fill_delta_x_dy(gates);
        sweep::run(Sweep {
            time: Time::Reverse,
            k: dy,
            v: c,
            w: x,
            out: d_b,
            next: Some(d_x),
            add,
            alpha: &gates.scale,
            beta: &gates.input,
            gamma: Some(&slopes.delta_x_dy),
            carry: &gates.carry,
            bounds: gates.bounds(),
            from: None,
            to: after,
        });

        let future = Rows::new(rows, shape.d_head, 0, 0, shape.d_head);
        slopes.fill_to_x(gates, input.d_skip[head]);
        row_products(x, future, &mut slopes.x_future[..len]);
        combine((future, &gates.delta), (dy, &slopes.to_x), d_x_rows, false);

        let of_chunk = slopes.fill_raw(gates, dy_past, input.decay_rate(head), u_end);
        sums.iter_mut().zip(of_chunk).for_each(|(sum, of_chunk)| *sum += of_chunk);
        // SAFETY: there is a column for each head, and a head is one task's in a round; `claim` says what `at` may reach.
        unsafe {
            let d_raw = self.out.raw.at(row, head).claim(len, 1);
            for (t, slope) in slopes.raw[..len].iter().enumerate() {
                *d_raw.at(t, 0, 1) = *slope;
            }
        }
    }

    /// Adds up the blocks' gradients of B or C in a chunk.
    fn add_partials(self, partials: Shared<'_>, chunk: usize, round: usize, time: Time) {
        let (n, per_group) = (self.shape.d_state, self.shape.heads_per_group() / self.heads_per_task);
        for group in 0..self.shape.n_groups {
            let column = self.shared_column(group * self.shape.heads_per_group(), time);
            let first = group * per_group * ROUND + (chunk - round) * CHUNK;
            // SAFETY: the tasks that wrote the partials are done, and those that read them write none; the rows of a chunk
            // are one task's.
            let (parts, sum) =
                unsafe { (partials.read(), self.out.xbc.at(self.row(chunk), column).claim(self.chunk_len(chunk), n)) };
            sum_parts(Rows::new(parts, n, first, 0, n), per_group, ROUND, sum);
        }
    }
}
