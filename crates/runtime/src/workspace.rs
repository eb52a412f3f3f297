//! Every buffer that rows of tokens need on their way through a model.
//!
//! ```text
//! x [t, d] ─ norm → u [t, d] → projected [t, ·] → mixed [t, ·] → branch [t, d] ─ join → x
//!                              gate, up, hidden [t, f] ────────────────────↗
//! ```
//!
//! Made once; nothing is allocated while tokens pass, unless more or wider rows come than ever before.

use itera_kernels::matvec::Activations;
use itera_shape::ModelConfig;

use crate::{
    buffer::{bytes, sized},
    linear::{Form, Scratch},
};

/// Buffers for tokens on their way through any model, of one text or one of each of several. The precision of
/// activations is that of the model that made them.
#[derive(Debug)]
pub struct Workspace {
    /// Residual stream [t, d].
    pub(crate) x: Vec<f32>,
    /// Input of a branch, normalised [t, d].
    pub(crate) u: Vec<f32>,
    /// What a branch adds to the stream [t, d].
    pub(crate) branch: Vec<f32>,
    /// z | x B C | dt [t, d_in_proj]; of an attention layer the queries [t, d].
    pub(crate) projected: Vec<f32>,
    /// Output of a mixer before its last projection [t, i], or [t, d].
    pub(crate) mixed: Vec<f32>,
    /// Keys and values of the tokens [t, kv].
    pub(crate) key: Vec<f32>,
    pub(crate) value: Vec<f32>,
    /// Cosines and sines of the tokens' positions [t, w].
    pub(crate) turns: Vec<f32>,
    /// Logits of the experts `[e]`, and what was chosen [t, k].
    pub(crate) router_logits: Vec<f32>,
    pub(crate) expert_ids: Vec<u32>,
    pub(crate) expert_weights: Vec<f32>,
    /// Choices sorted by expert [t, k], and where each expert's begin [e + 1].
    pub(crate) assignments: Vec<u32>,
    pub(crate) starts: Vec<usize>,
    /// Rows gathered for one expert, and what it makes of them [t, d].
    pub(crate) gathered: Vec<f32>,
    pub(crate) expert_out: Vec<f32>,
    pub(crate) inside: Inside,
    /// [rows of logits at a time, v]
    pub(crate) logits: Vec<f32>,
    pub(crate) chunk: ForChunks,
    pub(crate) linear: Scratch,
}

/// Buffers for a batch: of each part of the texts that go on by a token, and of those that read their prompts.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    pub(crate) steps: Vec<Workspace>,
    pub(crate) chunks: Option<Workspace>,
}

impl Buffers {
    pub(crate) fn size_bytes(&self) -> usize {
        let inside = self.steps.iter().chain(&self.chunks).map(Workspace::size_bytes);
        bytes(&self.steps) + inside.sum::<usize>()
    }
}

/// Buffers within an MLP [t, f], and memory for the product that reads them.
#[derive(Debug)]
pub(crate) struct Inside {
    pub(crate) gate: Vec<f32>,
    pub(crate) up: Vec<f32>,
    pub(crate) hidden: Vec<f32>,
    pub(crate) linear: Scratch,
}

/// What only the chunked form needs, one text after the other.
#[derive(Debug, Default)]
pub(crate) struct ForChunks {
    /// x | B | C after the convolution [t, ch].
    pub(crate) xbc: Vec<f32>,
    /// Output of the scan [t, i].
    pub(crate) y: Vec<f32>,
    /// Window and state as the kernels for whole sequences want them, before and after.
    pub(crate) window: Vec<f32>,
    pub(crate) states: [Vec<f32>; 2],
    /// Queries in rows as wide as queries, keys and values together, and the logsumexp that comes with the output.
    pub(crate) qkv: Vec<f32>,
    pub(crate) logsumexp: Vec<f32>,
    /// Keys and values by head [kv_heads, seen, w].
    pub(crate) keys: Vec<f32>,
    pub(crate) values: Vec<f32>,
}

/// Widths of rows within the layers that a model has; 0 for those of others, of which files may say anything.
struct Widths {
    d: usize,
    in_proj: usize,
    inner: usize,
    channels: usize,
    queries: usize,
    keys: usize,
    head: usize,
    top_k: usize,
    mlp: usize,
}

impl Widths {
    fn of(config: &ModelConfig) -> Self {
        let (has_attention, has_experts) = (!config.attention_layers.is_empty(), config.n_experts > 0);
        let has_mamba = config.attention_layers.len() < config.n_layers;
        let (in_proj, inner, channels) =
            if has_mamba { (config.d_in_proj(), config.d_inner(), config.d_conv_channels()) } else { (0, 0, 0) };
        let (queries, keys, head) =
            if has_attention { (config.d_queries(), config.d_keys(), config.d_attention_head()) } else { (0, 0, 0) };
        let (top_k, d_expert) = if has_experts { (config.top_k, config.d_expert) } else { (0, 0) };
        let mlp = config.d_shared.max(d_expert);
        Self { d: config.d_model, in_proj, inner, channels, queries, keys, head, top_k, mlp }
    }
}

impl Workspace {
    /// Buffers for `rows` tokens of a model at once.
    pub(crate) fn new(config: &ModelConfig, activations: Activations, rows: usize) -> Self {
        let mut new = Self {
            x: vec![],
            u: vec![],
            branch: vec![],
            projected: vec![],
            mixed: vec![],
            key: vec![],
            value: vec![],
            turns: vec![],
            router_logits: vec![],
            expert_ids: vec![],
            expert_weights: vec![],
            assignments: vec![],
            starts: vec![],
            gathered: vec![],
            expert_out: vec![],
            inside: Inside { gate: vec![], up: vec![], hidden: vec![], linear: Scratch::new(activations) },
            logits: vec![],
            chunk: ForChunks::default(),
            linear: Scratch::new(activations),
        };
        new.fit(config, rows);
        new
    }

    /// Make room for `rows` tokens.
    pub(crate) fn fit(&mut self, config: &ModelConfig, rows: usize) {
        let Widths { d, in_proj, inner, queries, keys, head, top_k, mlp, .. } = Widths::of(config);
        let per_row = [
            (&mut self.x, d),
            (&mut self.u, d),
            (&mut self.branch, d),
            (&mut self.projected, in_proj.max(queries)),
            (&mut self.mixed, inner.max(queries)),
            (&mut self.key, keys),
            (&mut self.value, keys),
            (&mut self.turns, head),
            (&mut self.expert_weights, top_k),
            (&mut self.gathered, d),
            (&mut self.expert_out, d),
            (&mut self.inside.gate, mlp),
            (&mut self.inside.up, mlp),
            (&mut self.inside.hidden, mlp),
        ];
        for (buffer, width) in per_row {
            sized(buffer, rows * width);
        }
        sized(&mut self.expert_ids, rows * top_k);
        sized(&mut self.assignments, rows * top_k);
        sized(&mut self.router_logits, config.n_experts);
        sized(&mut self.starts, config.n_experts + 1);
    }

    /// Bytes of the heap that the buffers hold at most after `rows` tokens at once went through in this form: each of another
    /// text, or of prompts that are as long as `context` at most; logits are apart.
    pub(crate) fn most_bytes(config: &ModelConfig, form: Form, rows: usize, context: Option<usize>) -> usize {
        let Widths { d, inner, channels, queries, keys, mlp, .. } = Widths::of(config);
        let one = Self::new(config, Activations::Exact, 1).size_bytes();
        let products = 2 * Scratch::most_bytes(form, rows, d.max(inner).max(queries).max(mlp));
        let floats = match form {
            Form::Steps => 0,
            Form::Chunk => {
                let per_row = channels + inner + queries + 2 * keys + config.n_attention_heads;
                let states = channels * config.d_conv + 2 * inner * config.d_state;
                let seen = (2 * keys).saturating_mul(context.unwrap_or(0));
                // of one text at a time
                let rows = rows.min(context.unwrap_or(rows));
                rows.saturating_mul(per_row).saturating_add(seen).saturating_add(states)
            }
        };
        rows.saturating_mul(one).saturating_add(products).saturating_add(floats.saturating_mul(size_of::<f32>()))
    }

    /// Bytes of the heap that the buffers hold. They grow to the most rows that ever pass at once, and are kept.
    ///
    /// Besides them, kernels keep a little memory for each thread that they run on.
    pub fn size_bytes(&self) -> usize {
        let Self { x, u, branch, projected, mixed, key, value, turns, .. } = self;
        let Self { router_logits, expert_weights, gathered, expert_out, logits, .. } = self;
        let Inside { gate, up, hidden, linear } = &self.inside;
        let ForChunks { xbc, y, window, states: [first, last], qkv, logsumexp, keys, values } = &self.chunk;
        let floats = [
            [x, u, branch, projected, mixed, key, value, turns],
            [router_logits, expert_weights, gathered, expert_out, logits, gate, up, hidden],
            [xbc, y, window, first, last, qkv, logsumexp, keys],
        ];
        let floats: usize = floats.iter().flatten().chain([&values]).map(|buffer| bytes(buffer)).sum();
        let numbers = bytes(&self.expert_ids) + bytes(&self.assignments) + bytes(&self.starts);
        floats + numbers + linear.size_bytes() + self.linear.size_bytes()
    }
}
