//! Rows of tokens through all layers: embed → (norm → mixer → join) → (norm → ffn → join) → norm
//!
//! ```text
//! a token each of several texts   ┐             ┌ recurrence, one query a text      (matrix–vector products)
//! a chunk each of several texts   ┴→ layers ────┴ scan, causal attention            (matrix products)
//! ```
//!
//! One loop for both: only mixers look beyond a row, and only there do the two differ.

use itera_kernels::decode::join_norm;
use itera_shape::ModelConfig;
use itera_tokenizer::TokenId;

use crate::{
    attention,
    buffer::sized,
    ffn,
    linear::{Form, lookup},
    mamba,
    network::{Mixer, Network},
    past::Past,
    workspace::Workspace,
};

/// Normalised output of the last layer of each token, in `work.u`. States and tokens were checked.
pub(crate) fn forward(
    network: &Network<'_>,
    config: &ModelConfig,
    tokens: &[TokenId],
    past: &mut Past<'_, '_>,
    work: &mut Workspace,
) {
    let (rows, d) = (tokens.len(), config.d_model);
    work.fit(config, rows);
    for (token, x) in tokens.iter().zip(work.x.chunks_exact_mut(d)) {
        lookup(network.embed, token.index(), config.embedding_multiplier as f32, x);
    }
    if let Some(rope) = &network.rope {
        let w = config.d_attention_head();
        past.positions(|row, position| rope.turns(position, &mut work.turns[row * w..][..w]));
    }
    let mut has_branch = false;
    for (index, layer) in network.layers.iter().enumerate() {
        join(layer.mixer_norm, config, rows, has_branch, work);
        match &layer.mixer {
            Mixer::Mamba(weights) => mamba::mix(weights, config, index, rows, past, work),
            Mixer::Attention(weights) => attention::mix(weights, network.rope.as_ref(), index, rows, past, work),
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
    work.linear.input(form, &work.u[first * d..][..count * d], d).times(&network.head, logits);
    if config.logits_scaling != 1.0 {
        let scaling = config.logits_scaling as f32;
        logits.iter_mut().for_each(|logit| *logit /= scaling);
    }
    logits
}
