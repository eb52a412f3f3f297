//! u → shared MLP + Σ weight·expert over the experts that the router chose
//!
//! ```text
//! u → router → top-k → rows gathered by expert → gate, up → silu(gate)·up·weight → out → added to their rows
//! ```
//!
//! Experts add to a row in order of their index, however many rows there are.

use itera_config::ModelConfig;
use itera_kernels::decode::{route, swiglu};

use crate::{
    linear::{Form, Scratch},
    network::{Layer, Mlp, Moe},
    workspace::Workspace,
};

/// The second branch of a layer on `rows` rows of `work.u`, into `work.branch`.
pub(crate) fn ffn(layer: &Layer<'_>, config: &ModelConfig, form: Form, rows: usize, work: &mut Workspace) {
    let d = config.d_model;
    let Workspace { u, branch, gate, up, hidden, linear, .. } = work;
    let inside = Inside { form, gate, up, hidden, linear };
    mlp(&layer.shared, &u[..rows * d], |_| 1.0, inside, &mut branch[..rows * d]);
    if let Some(moe) = &layer.moe {
        mixture(moe, config, form, rows, work);
    }
}

/// Buffers within an MLP, and the form of its products.
struct Inside<'a> {
    form: Form,
    gate: &'a mut [f32],
    up: &'a mut [f32],
    hidden: &'a mut [f32],
    linear: &'a mut Scratch,
}

/// `y = factor·out·(silu(gate·x)·up·x)`, with a factor for each row.
fn mlp(mlp: &Mlp<'_>, x: &[f32], factor: impl Fn(usize) -> f32, inside: Inside<'_>, y: &mut [f32]) {
    let f = mlp.gate.rows();
    let len = x.len() / mlp.gate.cols() * f;
    let (gate, up, hidden) = (&mut inside.gate[..len], &mut inside.up[..len], &mut inside.hidden[..len]);
    let mut input = inside.linear.input(inside.form, x, mlp.gate.cols());
    input.times(mlp.gate, gate);
    input.times(mlp.up, up);
    let rows = gate.chunks_exact(f).zip(up.chunks_exact(f)).zip(hidden.chunks_exact_mut(f));
    for (row, ((gate, up), hidden)) in rows.enumerate() {
        swiglu(gate, up, factor(row), hidden);
    }
    inside.linear.input(inside.form, hidden, f).times(mlp.out, y);
}

/// Adds the chosen experts to `work.branch`.
fn mixture(moe: &Moe<'_>, config: &ModelConfig, form: Form, rows: usize, work: &mut Workspace) {
    let (d, top_k) = (config.d_model, config.top_k);
    let u = &work.u[..rows * d];
    let (ids, weights) = (&mut work.expert_ids[..rows * top_k], &mut work.expert_weights[..rows * top_k]);
    for (u, (ids, weights)) in u.chunks_exact(d).zip(ids.chunks_exact_mut(top_k).zip(weights.chunks_exact_mut(top_k))) {
        route(u, moe.router, &mut work.router_logits[..config.n_experts], ids, weights);
    }
    let assignments = &mut work.assignments[..rows * top_k];
    let starts = &mut work.starts[..=config.n_experts];
    sort_by_expert(ids, assignments, starts);

    for (expert, range) in moe.experts.iter().zip(starts.windows(2)) {
        let assignments = &assignments[range[0]..range[1]];
        if assignments.is_empty() {
            continue;
        }
        let row_of = |assignment: &u32| *assignment as usize / top_k * d;
        let gathered = &mut work.gathered[..assignments.len() * d];
        for (x, row) in gathered.chunks_exact_mut(d).zip(assignments.iter().map(row_of)) {
            x.copy_from_slice(&u[row..row + d]);
        }
        let out = &mut work.expert_out[..assignments.len() * d];
        let inside =
            Inside { form, gate: &mut work.gate, up: &mut work.up, hidden: &mut work.hidden, linear: &mut work.linear };
        mlp(expert, gathered, |slot| weights[assignments[slot] as usize], inside, out);
        for (out, row) in out.chunks_exact(d).zip(assignments.iter().map(row_of)) {
            work.branch[row..row + d].iter_mut().zip(out).for_each(|(sum, out)| *sum += out);
        }
    }
}

/// A counting sort: positions in `ids` by expert, in their order within each. `starts` gets where each expert's begin,
/// and the end of the last.
fn sort_by_expert(ids: &[u32], assignments: &mut [u32], starts: &mut [usize]) {
    starts.fill(0);
    for id in ids {
        starts[*id as usize] += 1;
    }
    let mut end = 0;
    for start in &mut *starts {
        end += *start;
        *start = end;
    }
    for (position, id) in ids.iter().enumerate().rev() {
        let slot = &mut starts[*id as usize];
        *slot -= 1;
        assignments[*slot] = position as u32;
    }
}
