//! Gradients of several MLPs at once, each over rows of its own.
//!
//! ```text
//! MLP → tasks of some TASK_BLOCKS blocks → d_x rows, one partial d_w a task → partials added in order
//! ```
//!
//! Weight gradients are sums over all rows of an MLP. A task adds up those of its rows block by block while x, d_y and
//! d_gate_up lie in L2, so nothing but d_x goes to memory, and one partial for every few hundred rows.

use rayon::prelude::*;

use super::{
    BLOCK_ROWS, Mlp,
    block::{PackedMlp, PackedTransposes, WeightGradients, Workspace},
    rows::{Rows, take},
};
use crate::{gemm::Write, scratch, stored::Stored};

/// Blocks of one task, unless an MLP has so many rows that it would be cut in more than MAX_TASKS: partials take memory.
const TASK_BLOCKS: usize = 6;
const MAX_TASKS: usize = 16;

/// Elements of a weight gradient that one task adds up over the partials.
const SUM_TASK: usize = 1 << 12;

/// One MLP: what its forward pass read, and where its gradients go.
pub(crate) struct Group<'a> {
    pub(crate) mlp: Mlp<'a>,
    pub(crate) rows: Rows<'a>,
    /// [rows, 2·f] of the forward pass; computed again if it was not kept.
    pub(crate) gate_up: Option<Stored<'a>>,
    /// [rows, d]
    pub(crate) d_x: &'a mut [f32],
    /// Gradients of the factors [rows]; empty if nobody asks.
    pub(crate) d_factors: &'a mut [f32],
    pub(crate) d_w_in: &'a mut [f32],
    pub(crate) d_w_out: &'a mut [f32],
}

/// Consecutive rows of one group, and what no other task writes.
struct Task<'a> {
    mlp: PackedTransposes<'a>,
    /// For gate | up, if it is computed again.
    forward: Option<PackedMlp<'a>>,
    d: usize,
    f: usize,
    rows: Rows<'a>,
    first_row: usize,
    gate_up: Option<Stored<'a>>,
    d_x: &'a mut [f32],
    d_factors: &'a mut [f32],
    d_w_in: &'a mut [f32],
    d_w_out: &'a mut [f32],
}

/// All gradients of `groups` for the gradient `d_out` [t, d] of the sum of their outputs, `u` [t, d] their input.
pub(crate) fn backward(u: Stored<'_>, d_out: &[f32], mut groups: Vec<Group<'_>>) {
    let partials_len: usize = groups.iter().map(|group| (tasks_of(&group.rows) - 1) * group.mlp.len()).sum();
    let again = |group: &Group<'_>| group.gate_up.is_none() && group.rows.count() > 0;
    let packed_len: usize = (groups.iter())
        .map(|group| {
            let Mlp { d, f, .. } = group.mlp;
            PackedTransposes::len(d, f) + if again(group) { PackedMlp::len(d, f) } else { 0 }
        })
        .sum();
    scratch::with_parts([partials_len, packed_len], |[partials, mut free]| {
        // one entry to the thread pool for all that follows
        rayon::scope(|_| {
            {
                let mut partials = &mut *partials;
                let mut tasks = Vec::new();
                let buffers: Vec<_> = (groups.iter())
                    .map(|group| {
                        let Mlp { d, f, .. } = group.mlp;
                        let forward = again(group).then(|| take(&mut free, PackedMlp::len(d, f)));
                        (take(&mut free, PackedTransposes::len(d, f)), forward)
                    })
                    .collect();
                let packed: Vec<_> = (groups.par_iter().zip(buffers))
                    .map(|(group, (transposes, forward))| {
                        let forward = forward.map(|buffer| PackedMlp::pack(&group.mlp, buffer));
                        (PackedTransposes::pack(&group.mlp, transposes), forward)
                    })
                    .collect();
                for (group, packed) in groups.iter_mut().zip(packed) {
                    split(group, packed, &mut partials, &mut tasks);
                }
                tasks.into_par_iter().with_max_len(1).for_each(|task| task.run(u, d_out));
            }
            let mut partials = &*partials;
            let of_groups: Vec<_> = groups
                .into_iter()
                .map(|group| {
                    let len = (tasks_of(&group.rows) - 1) * group.mlp.len();
                    (partials.split_off(..len).expect("counted above"), group)
                })
                .collect();
            of_groups.into_par_iter().for_each(|(partials, group)| add_partials(partials, group));
        });
    });
}

/// Tasks of a group: at least one, which writes the zeros of an expert without tokens.
fn tasks_of(rows: &Rows<'_>) -> usize {
    rows.count().div_ceil(TASK_BLOCKS * BLOCK_ROWS).clamp(1, MAX_TASKS)
}

/// Cut `group` in tasks of nearly as many blocks each. The first adds up its weight gradients in place.
fn split<'a>(
    group: &'a mut Group<'_>,
    (mlp, forward): (PackedTransposes<'a>, Option<PackedMlp<'a>>),
    partials: &mut &'a mut [f32],
    tasks: &mut Vec<Task<'a>>,
) {
    let Mlp { d, f, .. } = group.mlp;
    let (count, n_tasks) = (group.rows.count(), tasks_of(&group.rows));
    let blocks = count.div_ceil(BLOCK_ROWS);
    let (mut d_x, mut d_factors) = (&mut *group.d_x, &mut *group.d_factors);
    let mut own = Some((&mut *group.d_w_in, &mut *group.d_w_out));
    for i in 0..n_tasks {
        let row = |i: usize| (blocks * i / n_tasks * BLOCK_ROWS).min(count);
        let (first_row, rows) = (row(i), row(i + 1) - row(i));
        let (d_w_in, d_w_out) = own.take().unwrap_or_else(|| take(partials, group.mlp.len()).split_at_mut(2 * f * d));
        tasks.push(Task {
            mlp,
            forward,
            d,
            f,
            rows: group.rows,
            first_row,
            gate_up: group.gate_up.map(|gate_up| gate_up.range(first_row * 2 * f..(first_row + rows) * 2 * f)),
            d_x: take(&mut d_x, rows * d),
            d_factors: if d_factors.is_empty() { &mut [] } else { take(&mut d_factors, rows) },
            d_w_in,
            d_w_out,
        });
    }
}

impl Task<'_> {
    fn run(self, u: Stored<'_>, d_out: &[f32]) {
        let Self { d, f, .. } = self;
        let rows = self.d_x.len() / d;
        if rows == 0 {
            self.d_w_in.fill(0.0);
            self.d_w_out.fill(0.0);
            return;
        }
        let mut gradients = WeightGradients { w_in: self.d_w_in, w_out: self.d_w_out, write: Write::Set };
        let block_row = d * BLOCK_ROWS;
        let gate_up_len = self.gate_up.map_or(2 * f * BLOCK_ROWS, |gate_up| gate_up.buffer_len(2 * f * BLOCK_ROWS));
        scratch::with(2 * block_row + Workspace::len(f) + gate_up_len, |buffer| {
            let (x_buffer, rest) = buffer.split_at_mut(block_row);
            let (d_y_buffer, rest) = rest.split_at_mut(block_row);
            let (work, gate_up_buffer) = rest.split_at_mut(Workspace::len(f));
            let mut work = Workspace::new(work, f);
            let mut factors = [0.0; BLOCK_ROWS];
            let mut d_factors = [0.0; BLOCK_ROWS];
            for block in Rows::blocks(0..rows) {
                let range = self.first_row + block.start..self.first_row + block.end;
                let x = self.rows.read(u, d, range.clone(), x_buffer);
                let d_y = self.rows.read(d_out.into(), d, range.clone(), d_y_buffer);
                self.rows.factors(range, &mut factors);
                let gate_up = match (self.gate_up, self.forward) {
                    (Some(gate_up), _) => gate_up.range(block.start * 2 * f..block.end * 2 * f).read(gate_up_buffer),
                    (None, Some(forward)) => {
                        let gate_up = &mut gate_up_buffer[..block.len() * 2 * f];
                        forward.gate_up(x, block.len(), gate_up);
                        gate_up
                    }
                    (None, None) => unreachable!("weights are packed where gate_up is computed again"),
                };
                self.mlp.backward(
                    x,
                    d_y,
                    &factors[..block.len()],
                    gate_up,
                    &mut work,
                    &mut self.d_x[block.start * d..block.end * d],
                    &mut d_factors[..block.len()],
                    &mut gradients,
                );
                if !self.d_factors.is_empty() {
                    self.d_factors[block.clone()].copy_from_slice(&d_factors[..block.len()]);
                }
            }
        });
    }
}

/// Add `partials` onto the group's weight gradients, in their order.
fn add_partials(partials: &[f32], group: Group<'_>) {
    let len = group.mlp.len();
    let add = |to: &mut [f32], at: usize| {
        to.par_chunks_mut(SUM_TASK).enumerate().for_each(|(task, to)| {
            for partial in partials.chunks_exact(len) {
                for (to, x) in to.iter_mut().zip(&partial[at + task * SUM_TASK..]) {
                    *to += x;
                }
            }
        });
    };
    if !partials.is_empty() {
        rayon::join(|| add(group.d_w_in, 0), || add(group.d_w_out, 2 * group.mlp.f * group.mlp.d));
    }
}
