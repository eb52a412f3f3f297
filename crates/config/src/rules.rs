//! The rules that a configuration keeps, table by table.

use std::ops::Bound::{self, Excluded, Included, Unbounded};

use itera_shape::{Checks, MAX_SIZE, ModelConfig};
use strsim::osa_distance;

use crate::{
    config::{Config, RunConfig},
    data::{DataConfig, Separator, TokenizerAlphabet, TokenizerConfig, TokenizerKind},
    error::{ConfigError, Problem},
    train::{CheckpointConfig, EvalConfig, LogConfig, Objective, TrainConfig, WeightDecay},
};

/// Largest count of steps or tokens.
const MAX_COUNT: u64 = 1 << 40;
/// Fewest entries of a vocabulary with a token for every byte: these and two special tokens.
const MIN_VOCAB_SIZE_OF_BYTES: usize = 258;
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
        tokenizer(&mut checks, self);
        train(&mut checks, &self.train, &self.model);
        eval(&mut checks, &self.eval, self.train.sync_every);
        checkpoint(&mut checks, &self.checkpoint);
        log(&mut checks, &self.log);
        let problems: Vec<Problem> = checks.finish().into_iter().map(Problem::from).collect();
        if problems.is_empty() { Ok(()) } else { Err(ConfigError::Invalid { problems }) }
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
    let rule = "be one line, or \"\\n\" (a document a line), or \"\" or \"\\n\\n\" (blank lines)";
    checks.rule(Separator::of(&c.separator).is_some(), "data.separator", format!("{:?}", c.separator), rule, None);
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

/// With the rules of the model: how few entries it may have depends on who makes its vocabulary.
fn tokenizer(checks: &mut Checks, c: &Config) {
    let TokenizerConfig { kind, alphabet, ref path } = c.tokenizer;
    let is_trained_on_bytes = kind == TokenizerKind::Byte && alphabet == TokenizerAlphabet::Text && path.is_empty();
    let rule = "be \"bytes\" where tokenizer.kind is \"byte\"";
    checks.rule(!is_trained_on_bytes, "tokenizer.alphabet", "\"text\"", rule, Some("bytes".into()));
    let has_all_bytes = alphabet == TokenizerAlphabet::Bytes && path.is_empty();
    let min = if has_all_bytes { MIN_VOCAB_SIZE_OF_BYTES } else { 0 };
    if c.model.vocab_size < min {
        checks.count("model.vocab_size", c.model.vocab_size, min..=MAX_SIZE);
    }
    ModelConfig { vocab_size: c.model.vocab_size.max(min), ..c.model.clone() }.check(checks);
}

fn train(checks: &mut Checks, c: &TrainConfig, model: &ModelConfig) {
    contrast(checks, c);
    checks.count("train.steps", c.steps, 1..=MAX_COUNT);
    checks.count("train.batch_size", c.batch_size, 1..=MAX_SIZE);
    checks.count("train.grad_accum_steps", c.grad_accum_steps, 1..=MAX_SIZE);
    checks.count("train.seq_len", c.seq_len, 1..=MAX_SIZE);
    let longest = model.max_seq_len;
    let rule = format!("be at most model.max_seq_len ({longest})");
    checks.rule(c.seq_len <= longest, "train.seq_len", c.seq_len, rule, Some(longest.to_string()));
    checks.number("train.replace_inputs", c.replace_inputs, 0.0..1.0);
    checks.number("train.replace_inputs_until", c.replace_inputs_until, 0.0..=1.0);
    checks.number("train.lr", c.lr, POSITIVE);
    checks.number("train.min_lr_ratio", c.min_lr_ratio, 0.0..=1.0);
    let rule = format!("be at most train.steps ({})", c.steps);
    checks.rule(c.warmup_steps <= c.steps, "train.warmup_steps", c.warmup_steps, rule, Some(c.steps.to_string()));
    checks.number("train.decay_fraction", c.decay_fraction, ABOVE_0_TO_1);
    checks.number("train.beta1", c.beta1, 0.0..1.0);
    checks.number("train.beta2", c.beta2, 0.0..1.0);
    checks.number("train.eps", c.eps, POSITIVE);
    checks.number("train.momentum", c.momentum, 0.0..1.0);
    if let WeightDecay::Value(value) = c.weight_decay {
        checks.number("train.weight_decay", value, 0.0..);
    }
    checks.number("train.weight_decay_end_ratio", c.weight_decay_end_ratio, 0.0..);
    checks.number("train.ema", c.ema, 0.0..1.0);
    checks.number("train.grad_clip_norm", c.grad_clip_norm, 0.0..);
    checks.number("train.load_balance_coef", c.load_balance_coef, 0.0..);
    checks.number("train.z_loss_coef", c.z_loss_coef, 0.0..);
    checks.count("train.max_skipped_steps", c.max_skipped_steps, 1..=MAX_COUNT);
    replicas(checks, c);
}

fn contrast(checks: &mut Checks, c: &TrainConfig) {
    checks.number("train.contrast_temperature", c.contrast_temperature, POSITIVE);
    if c.objective == Objective::NextToken {
        return;
    }
    let (size, rule) =
        (c.batch_size, "be even, and 4 or more, where train.objective is \"contrast\": a pair is two sequences");
    let nearest = size.max(4).checked_next_multiple_of(2).map(|size| size.to_string());
    checks.rule(size >= 4 && size.is_multiple_of(2), "train.batch_size", size, rule, nearest);
    let rule = "be 2 or more where train.objective is \"contrast\"";
    checks.rule(c.seq_len >= 2, "train.seq_len", c.seq_len, rule, Some("2".into()));
    let rule = "be 0 where train.objective is \"contrast\"";
    checks.rule(c.replace_inputs == 0.0, "train.replace_inputs", c.replace_inputs, rule, Some("0.0".into()));
}

fn replicas(checks: &mut Checks, c: &TrainConfig) {
    let most = c.grad_accum_steps as u64;
    let rule = format!("be at least 1, and at most train.grad_accum_steps ({most})");
    checks.rule((1..=most).contains(&c.replicas), "train.replicas", c.replicas, rule, Some(most.to_string()));
    checks.count("train.sync_every", c.sync_every, 1..=MAX_COUNT);
    let (is_apart, rule) = (c.replicas > 1, "be 1 where train.replicas is 1");
    checks.rule(is_apart || c.sync_every <= 1, "train.sync_every", c.sync_every, rule, Some("1".into()));
    let rule = "be false where train.replicas is 1";
    checks.rule(is_apart || !c.sync_moments, "train.sync_moments", c.sync_moments, rule, Some("false".into()));
    meets(checks, "train.steps", c.steps, c.sync_every);
    checks.number("train.outer_lr", c.outer_lr, POSITIVE);
    checks.number("train.outer_momentum", c.outer_momentum, 0.0..1.0);
    let rule = "be 0 where train.replicas is above 1";
    checks.rule(c.ema == 0.0 || !is_apart, "train.ema", c.ema, rule, Some("0.0".into()));
}

/// Whether replicas meet after that many steps.
fn meets(checks: &mut Checks, key: &str, steps: u64, sync_every: u64) {
    let rule = format!("be a multiple of train.sync_every ({sync_every})");
    let nearest = steps.checked_next_multiple_of(sync_every).map(|steps| steps.to_string());
    checks.rule(sync_every == 0 || steps.is_multiple_of(sync_every), key, steps, rule, nearest);
}

fn eval(checks: &mut Checks, c: &EvalConfig, sync_every: u64) {
    checks.count("eval.every_steps", c.every_steps, 1..=MAX_COUNT);
    meets(checks, "eval.every_steps", c.every_steps, sync_every);
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
