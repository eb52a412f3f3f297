//! a model's shape → the units that it can lose, and which weights go with each
//!
//! | unit | what it is, and all that does nothing without it |
//! |---|---|
//! | expert | its row of the router, its two matrices |
//! | channel of an MLP | its gate and its up row in `w_in`, its column in `w_out` |
//! | dimension of the SSM state | in each group a row of B and one of C, with their taps |
//! | SSM head | its rows of z, x and dt, taps, gains and scalars, its columns of `out_proj` |
//! | attention head | one of keys and values, with the query heads that it serves and their columns of `o_proj` |

use std::ops::Range;

use itera_shape::ModelConfig;

/// Weights of one tensor of a layer.
pub(super) struct Block {
    /// Its name within the layer.
    pub tensor: &'static str,
    rows: Range<usize>,
    /// All, if it does not say.
    columns: Option<Range<usize>>,
}

/// What does nothing any more where these weights are 0.
pub(super) type Unit = Vec<Block>;

impl Block {
    /// Where its weights lie in the tensor of this shape, seen as rows; those of a vector have one number.
    pub(super) fn indices(&self, shape: &[usize]) -> impl Iterator<Item = usize> + use<> {
        let cols = if let [_, .., cols] = *shape { cols } else { 1 };
        let columns = self.columns.clone().unwrap_or(0..cols);
        self.rows.clone().flat_map(move |row| columns.clone().map(move |column| row * cols + column))
    }
}

fn rows(tensor: &'static str, rows: Range<usize>) -> Block {
    Block { tensor, rows, columns: None }
}

fn row(tensor: &'static str, row: usize) -> Block {
    rows(tensor, row..row + 1)
}

fn columns(tensor: &'static str, rows: Range<usize>, columns: Range<usize>) -> Block {
    Block { tensor, rows, columns: Some(columns) }
}

pub(super) fn experts(model: &ModelConfig) -> Vec<Unit> {
    let (f, d) = (model.d_expert, model.d_model);
    let expert = |x: usize| {
        let (w_in, w_out) = (2 * f * x..2 * f * (x + 1), d * x..d * (x + 1));
        vec![row("moe.router", x), rows("moe.w_in", w_in), rows("moe.w_out", w_out)]
    };
    (0..model.n_experts).map(expert).collect()
}

pub(super) fn expert_channels(model: &ModelConfig, x: usize) -> Vec<Unit> {
    let (f, d) = (model.d_expert, model.d_model);
    let w_in = |j: usize| row("moe.w_in", 2 * f * x + j);
    (0..f).map(|j| vec![w_in(j), w_in(f + j), columns("moe.w_out", d * x..d * (x + 1), j..j + 1)]).collect()
}

pub(super) fn shared_channels(model: &ModelConfig) -> Vec<Unit> {
    let (f, d) = (model.d_shared, model.d_model);
    let w_in = |j: usize| row("shared.w_in", j);
    (0..f).map(|j| vec![w_in(j), w_in(f + j), columns("shared.w_out", 0..d, j..j + 1)]).collect()
}

/// Dimensions of the state, each in every group.
pub(super) fn state(model: &ModelConfig) -> Vec<Unit> {
    let (i, n, g) = (model.d_inner(), model.d_state, model.n_groups);
    // the convolution has no z
    let channel = |at: usize| [row("mamba.in_proj", i + at), row("mamba.conv_weight", at), row("mamba.conv_bias", at)];
    let dimension = |s: usize| (0..2 * g).flat_map(move |of_b_or_c| channel(i + of_b_or_c * n + s)).collect();
    (0..n).map(dimension).collect()
}

/// SSM heads, group by group.
pub(super) fn ssm_heads(model: &ModelConfig) -> Vec<Vec<Unit>> {
    let (i, p, d, h) = (model.d_inner(), model.d_head, model.d_model, model.n_heads());
    let dt = model.d_in_proj() - h;
    let head = |head: usize| {
        let channels = head * p..(head + 1) * p;
        let mut unit = vec![
            rows("mamba.in_proj", channels.clone()),
            rows("mamba.in_proj", i + channels.start..i + channels.end),
            row("mamba.in_proj", dt + head),
            columns("mamba.out_proj", 0..d, channels.clone()),
        ];
        unit.extend(["mamba.conv_weight", "mamba.conv_bias", "mamba.norm"].map(|of| rows(of, channels.clone())));
        unit.extend(["mamba.dt_bias", "mamba.a_log", "mamba.d_skip"].map(|of| row(of, head)));
        unit
    };
    let per_group = h / model.n_groups;
    (0..model.n_groups).map(|group| (group * per_group..(group + 1) * per_group).map(head).collect()).collect()
}

/// A head of keys and values with the query heads that it serves.
pub(super) fn attention_heads(model: &ModelConfig) -> Vec<Unit> {
    let (d, keys) = (model.d_model, model.d_attention_head());
    let queries = model.d_queries() / model.n_kv_heads;
    let head = |head: usize| {
        let (q, k) = (head * queries..(head + 1) * queries, head * keys..(head + 1) * keys);
        vec![
            rows("attention.q_proj", q.clone()),
            rows("attention.k_proj", k.clone()),
            rows("attention.v_proj", k),
            columns("attention.o_proj", 0..d, q),
        ]
    };
    (0..model.n_kv_heads).map(head).collect()
}
