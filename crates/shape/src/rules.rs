//! The rules that the configuration of a model keeps.

use std::ops::Bound::{self, Excluded, Unbounded};

use crate::{
    checks::{BrokenRule, Checks},
    config::{ModelConfig, PositionEmbedding},
};

/// Largest size of anything: far beyond a tiny model, and small enough that products of three fit 64 bits.
pub const MAX_SIZE: usize = 1 << 20;
/// Most layers.
const MAX_LAYERS: usize = 1 << 10;
/// Most parameters, four gigabytes of f32.
const MAX_PARAMS: usize = 1_000_000_000;
/// Most numbers in the state of the SSM layers, which takes the same memory whatever the length of a text.
const MAX_STATE: usize = 1 << 26;
/// Fewest entries of a vocabulary: something to write, and what ends a document.
const MIN_VOCAB_SIZE: usize = 2;

const POSITIVE: (Bound<f64>, Bound<f64>) = (Excluded(0.0), Unbounded);

/// A configuration that no model has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", broken.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct InvalidModel {
    /// Every rule that is broken, at least one.
    pub broken: Vec<BrokenRule>,
}

impl ModelConfig {
    /// Check every rule, as for a model that was read from a file.
    ///
    /// # Errors
    /// [`InvalidModel`] with all that is wrong.
    pub fn validate(&self) -> Result<(), InvalidModel> {
        let mut checks = Checks::default();
        self.check(&mut checks);
        let broken = checks.finish();
        if broken.is_empty() { Ok(()) } else { Err(InvalidModel { broken }) }
    }

    /// Add every broken rule to `checks`.
    pub fn check(&self, checks: &mut Checks) {
        model(checks, self);
    }
}

fn model(checks: &mut Checks, c: &ModelConfig) {
    let mut own = Checks::default();
    model_sizes(&mut own, c);
    mamba_shape(&mut own, c);
    attention_shape(&mut own, c);
    let (e, k) = (c.n_experts, c.top_k);
    own.rule(e == 0 || k <= e, "model.top_k", k, format!("be at most model.n_experts ({e})"), Some(e.to_string()));
    model_numbers(&mut own, c);
    // the table of tensors exists for sound shapes only
    if own.hold() {
        let total = c.total_params();
        let rule = format!("have at most {MAX_PARAMS} parameters in total");
        own.rule(total <= MAX_PARAMS, "model", total, rule, None);
        let n_mamba_layers = c.n_layers - c.attention_layers.len();
        let state = c.d_inner().saturating_mul(c.d_state).saturating_mul(n_mamba_layers);
        let rule = format!("be small enough for a state of {MAX_STATE} numbers (here {state})");
        own.rule(state <= MAX_STATE, "model.d_state", c.d_state, rule, None);
    }
    checks.absorb(own);
}

fn model_sizes(checks: &mut Checks, c: &ModelConfig) {
    checks.count("model.vocab_size", c.vocab_size, MIN_VOCAB_SIZE..=MAX_SIZE);
    checks.count("model.n_layers", c.n_layers, 1..=MAX_LAYERS);
    checks.count("model.d_conv", c.d_conv, 2..=MAX_SIZE);
    checks.count("model.n_experts", c.n_experts, 0..=MAX_SIZE);
    checks.count("model.attention_head_dim", c.attention_head_dim, 0..=MAX_SIZE);
    for (key, size) in [
        ("model.d_model", c.d_model),
        ("model.d_state", c.d_state),
        ("model.expand", c.expand),
        ("model.d_head", c.d_head),
        ("model.n_groups", c.n_groups),
        ("model.chunk_len", c.chunk_len),
        ("model.n_attention_heads", c.n_attention_heads),
        ("model.n_kv_heads", c.n_kv_heads),
        ("model.top_k", c.top_k),
        ("model.d_expert", c.d_expert),
        ("model.d_shared", c.d_shared),
        ("model.max_seq_len", c.max_seq_len),
    ] {
        checks.count(key, size, 1..=MAX_SIZE);
    }
}

fn mamba_shape(checks: &mut Checks, c: &ModelConfig) {
    let (i, p, g) = (c.d_inner(), c.d_head, c.n_groups);
    let rule = format!("divide d_inner = model.expand · model.d_model ({i})");
    checks.rule(divides(p, i), "model.d_head", p, rule, nearest_divisor(p, i, |_| true));
    if divides(p, i) {
        let h = c.n_heads();
        let rule = format!("divide the number of SSM heads, d_inner / model.d_head ({h})");
        checks.rule(divides(g, h), "model.n_groups", g, rule, nearest_divisor(g, h, |_| true));
    }
}

fn attention_shape(checks: &mut Checks, c: &ModelConfig) {
    let layers = &c.attention_layers;
    let mut valid: Vec<usize> = layers.iter().copied().filter(|layer| *layer < c.n_layers).collect();
    valid.sort_unstable();
    valid.dedup();
    let rule = format!("name different layers below model.n_layers ({})", c.n_layers);
    let nearest = Some(format!("{valid:?}"));
    checks.rule(valid.len() == layers.len(), "model.attention_layers", format!("{layers:?}"), rule, nearest);
    if layers.is_empty() {
        return;
    }

    let (d, heads, kv_heads, width) = (c.d_model, c.n_attention_heads, c.n_kv_heads, c.attention_head_dim);
    let rotary = c.position_embedding == PositionEmbedding::Rope;
    if width == 0 {
        let even_if_rotary = |heads: usize| !rotary || (d / heads).is_multiple_of(2);
        let fits = |heads: usize| divides(heads, d) && even_if_rotary(heads);
        let even = if rotary { " into heads of even width, as rope rotates pairs" } else { "" };
        let rule = format!("divide model.d_model ({d}){even}, or model.attention_head_dim be given");
        checks.rule(fits(heads), "model.n_attention_heads", heads, rule, nearest_divisor(heads, d, even_if_rotary));
    } else {
        let fits = !rotary || width.is_multiple_of(2);
        let rule = "be even, as rope rotates pairs".to_owned();
        checks.rule(fits, "model.attention_head_dim", width, rule, Some((width + 1).to_string()));
    }
    let rule = format!("divide model.n_attention_heads ({heads})");
    let nearest = nearest_divisor(kv_heads, heads, |_| true);
    checks.rule(divides(kv_heads, heads), "model.n_kv_heads", kv_heads, rule, nearest);
}

fn model_numbers(checks: &mut Checks, c: &ModelConfig) {
    checks.number("model.rope_theta", c.rope_theta, POSITIVE);
    checks.number("model.rms_norm_eps", c.rms_norm_eps, POSITIVE);
    checks.number("model.embedding_multiplier", c.embedding_multiplier, POSITIVE);
    checks.number("model.residual_multiplier", c.residual_multiplier, POSITIVE);
    checks.number("model.attention_multiplier", c.attention_multiplier, 0.0..);
    checks.number("model.logits_scaling", c.logits_scaling, POSITIVE);
    checks.number("model.init_std", c.init_std, POSITIVE);
    checks.number("model.dropout", c.dropout, 0.0..1.0);
}

/// Whether `whole` is a multiple of `part`, neither of them zero.
fn divides(part: usize, whole: usize) -> bool {
    part > 0 && whole > 0 && whole.is_multiple_of(part)
}

/// The divisor of `whole` closest to `size` that `fits`, the lower of two.
fn nearest_divisor(size: usize, whole: usize, fits: impl Fn(usize) -> bool) -> Option<String> {
    let largest = whole.min(MAX_SIZE);
    let size = size.min(largest);
    (0..=largest)
        .flat_map(|distance| [size.checked_sub(distance), Some(size + distance)])
        .flatten()
        .find(|size| divides(*size, whole) && fits(*size))
        .map(|size| size.to_string())
}
