//! metadata ⇄ [`ModelConfig`] and [`SpecialIds`].
//!
//! Keys are those of llama.cpp's converter for `GraniteMoeHybridForCausalLM`. Files do not have what only training
//! needs (`chunk_len`, `init_std`, `dropout`), so those are read as their defaults.

use std::path::Path;

use itera_shape::{LayerKind, ModelConfig, PositionEmbedding, SpecialIds};

use super::file::{Entry, Gguf};
use super::metadata::Metadata;
use super::names::{EMBED, HEAD};
use super::value::{Array, Value};
use crate::error::{FormatError, Result};

/// Architectures of this family: with SSM layers, without but with experts, and without either.
pub(super) const HYBRID: &str = "granitehybrid";
const MIXTURE: &str = "granitemoe";
const DENSE: &str = "granite";

/// The name of what a configuration describes. Under `granitemoe` llama.cpp rotates positions whatever the file says;
/// under `granite` it asks, and takes experts as well.
pub(super) fn architecture(config: &ModelConfig) -> &'static str {
    if config.layer_kinds().contains(&LayerKind::Mamba) {
        HYBRID
    } else if config.n_experts > 0 && config.position_embedding == PositionEmbedding::Rope {
        MIXTURE
    } else {
        DENSE
    }
}

/// Adds what describes a model.
pub(super) fn describe(metadata: &mut Metadata, config: &ModelConfig) {
    let arch = architecture(config);
    let mut size = |key: &str, size: usize| metadata.size(&format!("{arch}.{key}"), size);
    size("block_count", config.n_layers);
    size("context_length", config.max_seq_len);
    size("embedding_length", config.d_model);
    // llama.cpp takes the width of the one MLP of a dense model from here
    size("feed_forward_length", if config.n_experts > 0 { config.d_expert } else { config.d_shared });
    size("attention.head_count", config.n_attention_heads);
    if config.attention_head_dim > 0 {
        size("attention.key_length", config.attention_head_dim);
        size("attention.value_length", config.attention_head_dim);
    }
    size("vocab_size", config.vocab_size);
    size("rope.dimension_count", config.d_attention_head());
    size("expert_count", config.n_experts);
    size("expert_used_count", if config.n_experts > 0 { config.top_k } else { 0 });
    size("expert_shared_feed_forward_length", config.d_shared);
    size("ssm.conv_kernel", config.d_conv);
    size("ssm.state_size", config.d_state);
    size("ssm.group_count", config.n_groups);
    size("ssm.inner_size", config.d_inner());
    // not what it is called, but what llama.cpp makes of it
    size("ssm.time_step_rank", config.n_heads());
    let kv_heads = |kind: &LayerKind| if *kind == LayerKind::Attention { config.n_kv_heads as i32 } else { 0 };
    let kv_heads: Vec<i32> = config.layer_kinds().iter().map(kv_heads).collect();
    metadata.integers(&format!("{arch}.attention.head_count_kv"), &kv_heads);
    let mut number = |key: &str, number: f64| metadata.number(&format!("{arch}.{key}"), number as f32);
    number("rope.freq_base", config.rope_theta);
    number("attention.layer_norm_rms_epsilon", config.rms_norm_eps);
    number("attention.scale", config.attention_scale());
    number("embedding_scale", config.embedding_multiplier);
    number("residual_scale", config.residual_multiplier);
    number("logit_scale", config.logits_scaling);
    // llama.cpp turns queries and keys of this family where this is true
    let turns = config.position_embedding == PositionEmbedding::Rope;
    metadata.flag(&format!("{arch}.rope.scaling.finetuned"), turns);
}

/// The model that the metadata describes; the configuration is valid.
///
/// # Errors
///
/// If a key is absent or has a value without counterpart here, or the values make no model.
pub(super) fn parse(path: &Path, gguf: &Gguf<'_>) -> Result<(ModelConfig, SpecialIds)> {
    read(gguf).map_err(|source| FormatError::File { path: path.to_owned(), source: source.into() })
}

fn read(gguf: &Gguf<'_>) -> Result<(ModelConfig, SpecialIds)> {
    let all = Keys { gguf, prefix: "" };
    let arch =
        all.required(
            "general.architecture",
            "\"granitehybrid\", \"granitemoe\" or \"granite\"",
            |value| match value {
                Value::Text(name) => [HYBRID, MIXTURE, DENSE].into_iter().find(|known| known == name),
                _ => None,
            },
        )?;
    let keys = Keys { gguf, prefix: arch };
    let config = model(keys, arch)?;
    config.validate()?;
    check_attention(keys, &config)?;
    let config = config.with_usual_attention();
    let id = |key| {
        all.required(key, &format!("the id of one of {} tokens", config.vocab_size), |value| {
            value.as_size().filter(|id| *id < config.vocab_size).map(|id| id as u32)
        })
    };
    let eos = id("tokenizer.ggml.eos_token_id")?;
    let or_eos = |key| if gguf.entry(key).is_some() { id(key) } else { Ok(eos) };
    let special_ids = SpecialIds {
        bos: or_eos("tokenizer.ggml.bos_token_id")?,
        eos,
        pad: or_eos("tokenizer.ggml.padding_token_id")?,
    };
    Ok((config, special_ids))
}

fn model(keys: Keys<'_>, arch: &str) -> Result<ModelConfig> {
    let (n_layers, d_model) = (n_layers(keys)?, keys.size("embedding_length")?);
    let n_experts = keys.size_or("expert_count", 0)?;
    let width = keys.size("feed_forward_length")?;
    let n_attention_heads = keys.size("attention.head_count")?;
    let (attention_layers, n_kv_heads) = attention(keys, n_layers, n_attention_heads)?;
    let turns = keys.optional("rope.scaling.finetuned", "true or false", |value| match value {
        Value::Flag(turns) => Some(*turns),
        _ => None,
    })?;
    let default = ModelConfig::default();
    let config = ModelConfig {
        vocab_size: vocab_size(keys)?,
        d_model,
        n_layers,
        attention_layers,
        n_attention_heads,
        n_kv_heads,
        attention_head_dim: keys.size_or("attention.key_length", 0)?,
        position_embedding: if turns == Some(false) { PositionEmbedding::None } else { PositionEmbedding::Rope },
        rope_theta: keys.number_or("rope.freq_base", default.rope_theta)?,
        n_experts,
        top_k: keys.size_or("expert_used_count", 0)?.max(usize::from(n_experts == 0)),
        d_expert: width,
        d_shared: keys.size_or("expert_shared_feed_forward_length", if n_experts > 0 { 0 } else { width })?,
        tie_embeddings: keys.gguf.tensors.iter().all(|tensor| tensor.name != HEAD),
        rms_norm_eps: keys.number("attention.layer_norm_rms_epsilon")?,
        embedding_multiplier: keys.number_or("embedding_scale", 1.0)?,
        residual_multiplier: keys.number_or("residual_scale", 1.0)?,
        attention_multiplier: keys.number_or("attention.scale", 0.0)?,
        logits_scaling: keys.number_or("logit_scale", 1.0)?,
        max_seq_len: keys.size("context_length")?,
        ..default
    };
    with_ssm(config, keys, arch)
}

/// A layer has tensors of its own, so a file of few tensors that claims many layers is not worth their memory.
fn n_layers(keys: Keys<'_>) -> Result<usize> {
    let n_tensors = keys.gguf.tensors.len();
    let supported = format!("a number of layers that the {n_tensors} tensors of the file can make");
    keys.required("block_count", &supported, |value| value.as_size().filter(|layers| *layers <= n_tensors))
}

/// Files of models without SSM layers need not tell the shape of such layers.
fn with_ssm(config: ModelConfig, keys: Keys<'_>, arch: &str) -> Result<ModelConfig> {
    if arch != HYBRID && keys.optional("ssm.inner_size", "a whole number", Value::as_size)?.is_none() {
        return Ok(ModelConfig { d_head: config.d_inner(), n_groups: 1, ..config });
    }
    let (d_inner, n_heads) = (keys.size("ssm.inner_size")?, keys.size("ssm.time_step_rank")?);
    let divided = |key: &str, whole: usize, part: usize| {
        whole
            .checked_div(part)
            .filter(|_| whole.is_multiple_of(part))
            .ok_or_else(|| keys.unsupported(key, format!("a number that {part} divides")))
    };
    Ok(ModelConfig {
        d_conv: keys.size("ssm.conv_kernel")?,
        d_state: keys.size("ssm.state_size")?,
        n_groups: keys.size("ssm.group_count")?,
        expand: divided("ssm.inner_size", d_inner, config.d_model)?,
        d_head: divided("ssm.inner_size", d_inner, n_heads)?,
        ..config
    })
}

/// The layers whose mixer is attention, those with key/value heads, and how many heads that is.
fn attention(keys: Keys<'_>, n_layers: usize, n_attention_heads: usize) -> Result<(Vec<usize>, usize)> {
    let supported = format!("a number, or one for each of the {n_layers} layers, all of them 0 or the same");
    let per_layer = |array: &Array<'_>| {
        if array.len() != n_layers {
            return None;
        }
        let heads: Vec<usize> = array.iter().map(|heads| heads.as_size()).collect::<Option<_>>()?;
        let n_kv_heads = heads.iter().copied().find(|heads| *heads > 0);
        let is_one_of_two = |heads: &usize| *heads == 0 || Some(*heads) == n_kv_heads;
        let layers: Vec<_> = (0..heads.len()).filter(|layer| heads[*layer] > 0).collect();
        // where no layer has any, what attention would look like does not matter
        let n_kv_heads = n_kv_heads.unwrap_or(n_attention_heads);
        heads.iter().all(is_one_of_two).then_some((layers, n_kv_heads))
    };
    let all = || (0..n_layers).collect::<Vec<_>>();
    let found = keys.optional("attention.head_count_kv", &supported, |value| match value {
        Value::Array(array) => per_layer(array),
        value => value.as_size().filter(|heads| *heads > 0).map(|heads| (all(), heads)),
    })?;
    Ok(found.unwrap_or_else(|| (all(), n_attention_heads)))
}

/// An error about keys by which attention would be another than that of `config`, a valid one.
fn check_attention(keys: Keys<'_>, config: &ModelConfig) -> Result<()> {
    if config.attention_layers.is_empty() {
        return Ok(());
    }
    let width = config.d_attention_head();
    let is_width = |value: &Value<'_>| value.as_size() == Some(width);
    let expected = format!("{width}, the width of a head");
    let values = keys.size_or("attention.value_length", config.d_model / config.n_attention_heads)?;
    if values != width {
        return Err(keys.unsupported("attention.value_length", expected));
    }
    if config.position_embedding == PositionEmbedding::None {
        return Ok(());
    }
    keys.only("rope.dimension_count", &expected, is_width)?;
    keys.only("rope.scaling.type", "\"none\"", |value| matches!(value, Value::Text("none")))?;
    keys.only("rope.scaling.factor", "1", |value| number(value) == Some(1.0))?;
    keys.only("rope.scale_linear", "1", |value| number(value) == Some(1.0))
}

/// Rows of the embedding.
fn vocab_size(keys: Keys<'_>) -> Result<usize> {
    let embed = keys.gguf.tensors.iter().find(|tensor| tensor.name == EMBED);
    match embed.map(|tensor| &tensor.shape[..]) {
        Some(&[rows, _]) => Ok(rows),
        found => Err(FormatError::Key {
            key: EMBED.to_owned(),
            found: found.map_or("absent".to_owned(), |shape| format!("{shape:?}")),
            supported: "a matrix, one row a token".to_owned(),
        }),
    }
}

/// The keys of one architecture.
#[derive(Clone, Copy)]
struct Keys<'a> {
    gguf: &'a Gguf<'a>,
    prefix: &'a str,
}

impl<'a> Keys<'a> {
    fn name(self, key: &str) -> String {
        if self.prefix.is_empty() { key.to_owned() } else { format!("{}.{key}", self.prefix) }
    }

    fn entry(self, key: &str) -> Option<&'a Entry<'a>> {
        self.gguf.entry(&self.name(key))
    }

    /// A value that `read` understands, if the key is there.
    fn optional<T>(self, key: &str, supported: &str, read: impl FnOnce(&Value<'a>) -> Option<T>) -> Result<Option<T>> {
        let Some(entry) = self.entry(key) else { return Ok(None) };
        read(&entry.value).map(Some).ok_or_else(|| self.unsupported(key, supported))
    }

    fn required<T>(self, key: &str, supported: &str, read: impl FnOnce(&Value<'a>) -> Option<T>) -> Result<T> {
        self.optional(key, supported, read)?.ok_or_else(|| self.unsupported(key, supported))
    }

    /// An error unless the key is absent or has a value that is supported.
    fn only(self, key: &str, supported: &str, is_supported: impl FnOnce(&Value<'a>) -> bool) -> Result<()> {
        self.optional(key, supported, |value| is_supported(value).then_some(())).map(|_| ())
    }

    fn size(self, key: &str) -> Result<usize> {
        self.required(key, "a whole number", Value::as_size)
    }

    fn size_or(self, key: &str, default: usize) -> Result<usize> {
        Ok(self.optional(key, "a whole number", Value::as_size)?.unwrap_or(default))
    }

    fn number(self, key: &str) -> Result<f64> {
        self.required(key, "a number", number)
    }

    fn number_or(self, key: &str, default: f64) -> Result<f64> {
        Ok(self.optional(key, "a number", number)?.unwrap_or(default))
    }

    fn unsupported(self, key: &str, supported: impl Into<String>) -> FormatError {
        self.gguf.unsupported(&self.name(key), supported)
    }
}

/// A number of 32 bits as the shortest decimal that is rounded to it: 0.1 is written as an f32 and read as 0.1.
fn number(value: &Value<'_>) -> Option<f64> {
    match *value {
        Value::Float(number) if f64::from(number as f32) == number => (number as f32).to_string().parse().ok(),
        Value::Float(number) => Some(number),
        _ => None,
    }
}
