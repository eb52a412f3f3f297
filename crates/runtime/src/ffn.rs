//! u → shared MLP + Σ weight·expert over the experts that the router chose
//!
//! ```text
//! u → router → top-k ─┬ one row:   u as the shared MLP read it ───┬→ gate, up → silu(gate)·up·weight → out → added
//!                     └ several:   rows gathered by expert ───────┘
//! ```
//!
//! Experts add to a row in order of their index, however many rows there are.

use itera_kernels::{
    decode::{route, swiglu},
    moe::sort_by_expert,
};
use itera_shape::ModelConfig;

use crate::{
    linear::{Form, Input},
    network::{Layer, Mlp, Moe},
    workspace::{Inside, Workspace},
};

/// The second branch of a layer on `rows` rows of `work.u`, into `work.branch`.
pub(crate) fn ffn(layer: &Layer<'_>, config: &ModelConfig, form: Form, rows: usize, work: &mut Workspace) {
    let Workspace { u, branch, linear, inside, .. } = work;
    let (u, branch) = (&u[..rows * config.d_model], &mut branch[..rows * config.d_model]);
    let mut input = linear.input(form, u, config.d_model);
    mlp(&layer.shared, form, &mut input, |_| 1.0, inside, branch);
    let Some(moe) = &layer.moe else { return };
    let (ids, weights) = (&mut work.expert_ids[..rows * config.top_k], &mut work.expert_weights[..rows * config.top_k]);
    let chosen = ids.chunks_exact_mut(config.top_k).zip(weights.chunks_exact_mut(config.top_k));
    for (u, (ids, weights)) in u.chunks_exact(config.d_model).zip(chosen) {
        route(u, moe.router, &mut work.router_logits[..config.n_experts], ids, weights);
    }
    if rows > 1 {
        return mixture(moe, config, form, rows, work);
    }
    for (expert, index) in moe.experts.iter().zip(0..) {
        if let Some(slot) = ids.iter().position(|id| *id == index) {
            let out = &mut work.expert_out[..config.d_model];
            mlp(expert, form, &mut input, |_| weights[slot], inside, out);
            branch.iter_mut().zip(out).for_each(|(sum, out)| *sum += *out);
        }
    }
}

/// `y = factor·out·(silu(gate·x)·up·x)`, with a factor for each row.
fn mlp(
    mlp: &Mlp<'_>,
    form: Form,
    input: &mut Input<'_>,
    factor: impl Fn(usize) -> f32,
    inside: &mut Inside,
    y: &mut [f32],
) {
    let f = mlp.gate.packed().rows();
    let len = y.len() / mlp.out.packed().rows() * f;
    let (gate, up, hidden) = (&mut inside.gate[..len], &mut inside.up[..len], &mut inside.hidden[..len]);
    input.times(&mlp.gate, gate);
    input.times(&mlp.up, up);
    let rows = gate.chunks_exact(f).zip(up.chunks_exact(f)).zip(hidden.chunks_exact_mut(f));
    for (row, ((gate, up), hidden)) in rows.enumerate() {
        swiglu(gate, up, factor(row), hidden);
    }
    inside.linear.input(form, hidden, f).times(&mlp.out, y);
}

/// Adds the chosen experts of several rows to `work.branch`.
fn mixture(moe: &Moe<'_>, config: &ModelConfig, form: Form, rows: usize, work: &mut Workspace) {
    let (d, top_k) = (config.d_model, config.top_k);
    let (ids, weights) = (&work.expert_ids[..rows * top_k], &work.expert_weights[..rows * top_k]);
    let assignments = &mut work.assignments[..rows * top_k];
    let starts = &mut work.starts[..=config.n_experts];
    sort_by_expert(ids, starts, assignments);

    for (expert, range) in moe.experts.iter().zip(starts.windows(2)) {
        let assignments = &assignments[range[0]..range[1]];
        if assignments.is_empty() {
            continue;
        }
        let row_of = |assignment: &u32| *assignment as usize / top_k * d;
        let gathered = &mut work.gathered[..assignments.len() * d];
        for (x, row) in gathered.chunks_exact_mut(d).zip(assignments.iter().map(row_of)) {
            x.copy_from_slice(&work.u[row..row + d]);
        }
        let mut input = work.linear.input(form, gathered, d);
        let out = &mut work.expert_out[..assignments.len() * d];
        let weight = |slot: usize| weights[assignments[slot] as usize];
        mlp(expert, form, &mut input, weight, &mut work.inside, out);
        for (out, row) in out.chunks_exact(d).zip(assignments.iter().map(row_of)) {
            work.branch[row..row + d].iter_mut().zip(out).for_each(|(sum, out)| *sum += out);
        }
    }
}
