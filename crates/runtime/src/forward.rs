//! Rows of tokens through all layers: embed → (norm → mixer → join) → (norm → ffn → join) → norm
//!
//! ```text
//! several texts, a token each   ┐             ┌ recurrence, one query a text      (matrix–vector products)
//! one text, a chunk of tokens   ┴→ layers ────┴ scan, causal attention            (matrix products)
//! ```
//!
//! One loop for both: only mixers look beyond a row, and only there do the two differ.

use itera_kernels::decode::join_norm;
use itera_shape::ModelConfig;

use crate::{
    attention, ffn,
    linear::{Form, lookup},
    mamba,
    network::{Mixer, Network},
    state::State,
    workspace::{Workspace, sized},
};

/// What came before the rows, which will remember them.
pub(crate) enum Past<'a, 's> {
    /// A row is the next token of a text of its own.
    Steps(&'a mut [&'s mut State]),
    /// The rows are the next tokens of one text.
    Chunk(&'a mut State, usize),
}

impl Past<'_, '_> {
    pub(crate) fn rows(&self) -> usize {
        match self {
            Self::Steps(states) => states.len(),
            Self::Chunk(_, len) => *len,
        }
    }

    pub(crate) fn form(&self) -> Form {
        match self {
            Self::Steps(_) => Form::Steps,
            Self::Chunk(..) => Form::Chunk,
        }
    }

    /// Position of row `row` in its text.
    fn position(&self, row: usize) -> usize {
        match self {
            Self::Steps(states) => states[row].position(),
            Self::Chunk(state, _) => state.position() + row,
        }
    }

    fn advance(&mut self) {
        match self {
            Self::Steps(states) => states.iter_mut().for_each(|state| state.advance(1)),
            Self::Chunk(state, len) => state.advance(*len),
        }
    }
}

/// Normalised output of the last layer of each token, in `work.u`. States and tokens were checked.
pub(crate) fn forward(
    network: &Network<'_>,
    config: &ModelConfig,
    tokens: &[u32],
    past: &mut Past<'_, '_>,
    work: &mut Workspace,
) {
    let (rows, d) = (tokens.len(), config.d_model);
    work.fit(config, rows);
    for (token, x) in tokens.iter().zip(work.x.chunks_exact_mut(d)) {
        lookup(network.embed, *token as usize, config.embedding_multiplier as f32, x);
    }
    if let Some(rope) = &network.rope {
        let turns = work.turns.chunks_exact_mut(config.d_attention_head());
        turns.take(rows).enumerate().for_each(|(row, turns)| rope.turns(past.position(row), turns));
    }
    let mut has_branch = false;
    for (index, layer) in network.layers.iter().enumerate() {
        join(layer.mixer_norm, config, rows, has_branch, work);
        match &layer.mixer {
            Mixer::Mamba(weights) => mamba::mix(weights, config, index, past, work),
            Mixer::Attention(weights) => attention::mix(weights, network.rope.as_ref(), config, index, past, work),
        }
        has_branch = true;
        join(layer.ffn_norm, config, rows, has_branch, work);
        ffn::ffn(layer, config, past.form(), rows, work);
    }
    join(network.norm, config, rows, has_branch, work);
    past.advance();
}

/// x ← x + m·branch, u ← rms_norm(x)
fn join(gain: &[f32], config: &ModelConfig, rows: usize, has_branch: bool, work: &mut Workspace) {
    let len = rows * config.d_model;
    let branch = if has_branch { &work.branch[..len] } else { &[] };
    let (x, u) = (&mut work.x[..len], &mut work.u[..len]);
    join_norm(x, branch, config.residual_multiplier as f32, gain, config.rms_norm_eps as f32, u);
}

/// Logits [count, v] of `count` rows of `work.u` from `first`.
pub(crate) fn logits<'w>(
    network: &Network<'_>,
    config: &ModelConfig,
    form: Form,
    first: usize,
    count: usize,
    work: &'w mut Workspace,
) -> &'w mut [f32] {
    let d = config.d_model;
    let logits = sized(&mut work.logits, count * config.vocab_size);
    work.linear.input(form, &work.u[first * d..][..count * d], d).times(network.head, logits);
    if config.logits_scaling != 1.0 {
        let scaling = config.logits_scaling as f32;
        logits.iter_mut().for_each(|logit| *logit /= scaling);
    }
    logits
}
