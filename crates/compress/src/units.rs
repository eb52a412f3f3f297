//! a model's shape → the units that it can lose, and which weights go with each
//!
//! | unit | what it is, and all that does nothing without it |
//! |---|---|
//! | expert | its two matrices (and, where it goes, its row of the router) |
//! | channel of an MLP | its gate and its up row in `w_in`, its column in `w_out` |
//! | dimension of the SSM state | in each group a row of B and one of C, with their taps |
//! | SSM head | its rows of z, x and dt, its columns of `out_proj` |
//! | attention head | one of keys and values, with the query heads that it serves and their columns of `o_proj` |

use std::ops::Range;

use itera_config::ModelConfig;

/// Weights of one tensor of a layer.
pub(crate) struct Block {
    /// Its name within the layer.
    pub tensor: &'static str,
    rows: Range<usize>,
    /// All, if it does not say.
    columns: Option<Range<usize>>,
}

/// What does nothing any more where these weights are 0.
pub(crate) type Unit = Vec<Block>;

impl Block {
    /// Where its weights lie in the tensor of this shape, seen as rows; those of a vector have one number.
    pub(crate) fn indices(&self, shape: &[usize]) -> impl Iterator<Item = usize> + use<> {
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

/// Without the row of the router: one that is 0 is chosen still.
pub(crate) fn experts(model: &ModelConfig) -> Vec<Unit> {
    let (f, d) = (model.d_expert, model.d_model);
    let expert = |x: usize| vec![rows("moe.w_in", 2 * f * x..2 * f * (x + 1)), rows("moe.w_out", d * x..d * (x + 1))];
    (0..model.n_experts).map(expert).collect()
}

pub(crate) fn expert_channels(model: &ModelConfig, x: usize) -> Vec<Unit> {
    let (f, d) = (model.d_expert, model.d_model);
    let w_in = |j: usize| row("moe.w_in", 2 * f * x + j);
    (0..f).map(|j| vec![w_in(j), w_in(f + j), columns("moe.w_out", d * x..d * (x + 1), j..j + 1)]).collect()
}

pub(crate) fn shared_channels(model: &ModelConfig) -> Vec<Unit> {
    let (f, d) = (model.d_shared, model.d_model);
    let w_in = |j: usize| row("shared.w_in", j);
    (0..f).map(|j| vec![w_in(j), w_in(f + j), columns("shared.w_out", 0..d, j..j + 1)]).collect()
}

/// Dimensions of the state, each in every group.
pub(crate) fn state(model: &ModelConfig) -> Vec<Unit> {
    let (i, n, g) = (model.d_inner(), model.d_state, model.n_groups);
    // the convolution has no z
    let channel = |at: usize| [row("mamba.in_proj", i + at), row("mamba.conv_weight", at), row("mamba.conv_bias", at)];
    let dimension = |s: usize| (0..2 * g).flat_map(move |of_b_or_c| channel(i + of_b_or_c * n + s)).collect();
    (0..n).map(dimension).collect()
}

pub(crate) fn ssm_heads(model: &ModelConfig) -> Vec<Unit> {
    let (i, p, d) = (model.d_inner(), model.d_head, model.d_model);
    let dt = model.d_in_proj() - model.n_heads();
    let head = |head: usize| {
        let (z, x) = (head * p..(head + 1) * p, i + head * p..i + (head + 1) * p);
        let in_proj = [z.clone(), x, dt + head..dt + head + 1].map(|of| rows("mamba.in_proj", of));
        in_proj.into_iter().chain([columns("mamba.out_proj", 0..d, z)]).collect()
    };
    (0..model.n_heads()).map(head).collect()
}

/// A head of keys and values with the query heads that it serves.
pub(crate) fn attention_heads(model: &ModelConfig) -> Vec<Unit> {
    let (d, keys) = (model.d_model, model.d_attention_head());
    let queries = queries_of_a_key_head(model);
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

/// Width of the query heads that a key head serves.
pub(crate) fn queries_of_a_key_head(model: &ModelConfig) -> usize {
    model.d_queries() / model.n_kv_heads
}
