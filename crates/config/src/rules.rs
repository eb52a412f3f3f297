//! The rules that a configuration keeps, table by table.

use std::ops::Bound::{self, Excluded, Included, Unbounded};

use strsim::osa_distance;

use crate::{
    CheckpointConfig, Config, ConfigError, DataConfig, EvalConfig, LogConfig, ModelConfig, PositionEmbedding,
    RunConfig, TrainConfig, checks::Checks,
};

/// Largest size of anything: far beyond a tiny model, and small enough that products of three fit 64 bits.
const MAX_SIZE: usize = 1 << 20;
/// Most layers.
const MAX_LAYERS: usize = 1 << 10;
/// Most parameters, four gigabytes of f32.
const MAX_PARAMS: usize = 1_000_000_000;
/// Most numbers in the state of the SSM layers, which takes the same memory whatever the length of a text.
const MAX_STATE: usize = 1 << 26;
/// Fewest entries of a vocabulary: the bytes and two special tokens.
const MIN_VOCAB_SIZE: usize = 258;
/// Largest count of steps or tokens.
const MAX_COUNT: u64 = 1 << 40;
/// Largest integer of TOML.
const MAX_INTEGER: u64 = i64::MAX as u64;

const DEVICES: [&str; 4] = ["flex", "ndarray", "wgpu", "cuda"];
const BUILTIN: &str = "builtin:stories";

type Bounds = (Bound<f64>, Bound<f64>);
const POSITIVE: Bounds = (Excluded(0.0), Unbounded);
const ABOVE_0_TO_1: Bounds = (Excluded(0.0), Included(1.0));
const INSIDE_0_TO_1: Bounds = (Excluded(0.0), Excluded(1.0));

impl Config {
    /// Check every rule.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with all that is wrong.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let mut checks = Checks::default();
        run(&mut checks, &self.run);
        data(&mut checks, &self.data);
        model(&mut checks, &self.model);
        train(&mut checks, &self.train, &self.model);
        eval(&mut checks, &self.eval);
        checkpoint(&mut checks, &self.checkpoint);
        log(&mut checks, &self.log);
        checks.finish()
    }
}

impl ModelConfig {
    /// Check the rules of the model alone, as for one that was read from a checkpoint.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with all that is wrong.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let mut checks = Checks::default();
        model(&mut checks, self);
        checks.finish()
    }
}

fn run(checks: &mut Checks, c: &RunConfig) {
    checks.filled("run.dir", &c.dir);
    checks.count("run.seed", c.seed, 0..=MAX_INTEGER);
    checks.count("run.threads", c.threads, 0..=MAX_SIZE);
    let nearest = DEVICES.into_iter().min_by_key(|device| osa_distance(device, &c.device));
    let rule = format!("be one of {}", DEVICES.join(", "));
    let known = DEVICES.contains(&c.device.as_str());
    checks.rule(known, "run.device", format!("{:?}", c.device), rule, nearest.map(str::to_owned));
}

fn data(checks: &mut Checks, c: &DataConfig) {
    checks.rule(!c.source.is_empty(), "data.source", "[]", "name at least one source", Some(BUILTIN.into()));
    c.source.iter().for_each(|source| data_source(checks, "data.source", source));
    c.valid_source.iter().for_each(|source| data_source(checks, "data.valid_source", source));
    c.extra_source.iter().for_each(|source| data_source(checks, "data.extra_source", source));
    if c.valid_source.is_empty() {
        checks.number("data.valid_fraction", c.valid_fraction, INSIDE_0_TO_1);
    } else {
        checks.number("data.valid_fraction", c.valid_fraction, 0.0..1.0);
    }
    checks.count("data.builtin_bytes", c.builtin_bytes, 1..=MAX_COUNT);
    checks.count("data.max_bytes", c.max_bytes, 0..=MAX_INTEGER);
    checks.filled("data.text_field", &c.text_field);
    checks.filled("data.hub_revision", &c.hub_revision);
    checks.filled("data.cache_dir", &c.cache_dir);
}

/// `builtin:` and `hub:` have a grammar; anything else is a path, which only the file system can judge.
fn data_source(checks: &mut Checks, key: &str, source: &str) {
    let shown = format!("{source:?}");
    if source.starts_with("builtin:") {
        checks.rule(source == BUILTIN, key, shown, "name a builtin source that exists", Some(BUILTIN.into()));
    } else if let Some(rest) = source.strip_prefix("hub:") {
        let (repo, subset) = rest.split_once(':').map_or((rest, None), |(repo, subset)| (repo, Some(subset)));
        let well_formed = repo.split_once('/').is_some_and(|(owner, name)| is_hub_name(owner) && is_hub_name(name))
            && subset.is_none_or(is_hub_name);
        checks.rule(well_formed, key, shown, "have the form hub:owner/name or hub:owner/name:config", None);
    } else {
        checks.filled(key, source);
    }
}

/// What the hub allows in a name; never a path out of a directory.
fn is_hub_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    name.chars().all(allowed) && name.contains(|c: char| c != '.')
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

fn train(checks: &mut Checks, c: &TrainConfig, model: &ModelConfig) {
    checks.count("train.steps", c.steps, 1..=MAX_COUNT);
    checks.count("train.batch_size", c.batch_size, 1..=MAX_SIZE);
    checks.count("train.grad_accum_steps", c.grad_accum_steps, 1..=MAX_SIZE);
    checks.count("train.seq_len", c.seq_len, 1..=MAX_SIZE);
    let longest = model.max_seq_len;
    let rule = format!("be at most model.max_seq_len ({longest})");
    checks.rule(c.seq_len <= longest, "train.seq_len", c.seq_len, rule, Some(longest.to_string()));
    checks.number("train.lr", c.lr, POSITIVE);
    checks.number("train.min_lr_ratio", c.min_lr_ratio, 0.0..=1.0);
    let rule = format!("be at most train.steps ({})", c.steps);
    checks.rule(c.warmup_steps <= c.steps, "train.warmup_steps", c.warmup_steps, rule, Some(c.steps.to_string()));
    checks.number("train.decay_fraction", c.decay_fraction, ABOVE_0_TO_1);
    checks.number("train.beta1", c.beta1, 0.0..1.0);
    checks.number("train.beta2", c.beta2, 0.0..1.0);
    checks.number("train.eps", c.eps, POSITIVE);
    checks.number("train.weight_decay", c.weight_decay, 0.0..);
    checks.number("train.grad_clip_norm", c.grad_clip_norm, 0.0..);
    checks.number("train.load_balance_coef", c.load_balance_coef, 0.0..);
    checks.number("train.z_loss_coef", c.z_loss_coef, 0.0..);
    checks.count("train.max_skipped_steps", c.max_skipped_steps, 1..=MAX_COUNT);
}

fn eval(checks: &mut Checks, c: &EvalConfig) {
    checks.count("eval.every_steps", c.every_steps, 1..=MAX_COUNT);
    checks.count("eval.tokens", c.tokens as u64, 0..=MAX_COUNT);
    checks.count("eval.patience", c.patience, 0..=MAX_COUNT);
    checks.number("eval.min_delta", c.min_delta, 0.0..);
    checks.count("eval.sample_tokens", c.sample_tokens, 0..=MAX_SIZE);
    checks.number("eval.sample_temperature", c.sample_temperature, 0.0..);
}

fn checkpoint(checks: &mut Checks, c: &CheckpointConfig) {
    checks.count("checkpoint.every_steps", c.every_steps, 1..=MAX_COUNT);
    checks.count("checkpoint.keep_last", c.keep_last, 1..=MAX_SIZE);
    checks.count("checkpoint.keep_best", c.keep_best, 0..=MAX_SIZE);
}

fn log(checks: &mut Checks, c: &LogConfig) {
    checks.count("log.every_steps", c.every_steps, 1..=MAX_COUNT);
}
