//! [`ModelConfig`] ⇄ `config.json` of `GraniteMoeHybridForCausalLM`.
//!
//! Checked against `transformers` 5.23, `models/granitemoehybrid`. What that model can do and ours cannot is refused by
//! the name of its key. Not represented there: `dropout`, which only training knows; it is read as 0.

use itera_kernels::quant::Kind;
use itera_shape::{LayerKind, ModelConfig, PositionEmbedding, SpecialIds};
use serde_json::{Map, Value, json};

use super::compressed;
use super::settings::{Settings, unsupported};
use crate::error::{FormatError, Result};

/// Stands for "no upper limit of Δ": a softplus comes near it only for an input as large, and, unlike infinity, it is a
/// number in JSON.
const NO_TIME_STEP_LIMIT: f64 = 1e6;

/// One token that ends a text, or a list of them.
const EOS: &str = "eos_token_id";

/// Rotary base of a `config.json` that does not say.
const DEFAULT_ROPE_THETA: f64 = 10_000.0;

/// What is the same in every model of ours, and the only thing supported where a file says it.
fn fixed() -> Map<String, Value> {
    let fixed = json!({
        "architectures": ["GraniteMoeHybridForCausalLM"],
        "model_type": "granitemoehybrid",
        "hidden_act": "silu",
        "normalization_function": "rmsnorm",
        "attention_bias": false,
        "attention_dropout": 0.0,
        "mamba_conv_bias": true,
        "mamba_proj_bias": false,
    });
    fixed.as_object().cloned().unwrap_or_default()
}

/// The `config.json` of a model whose weights lie beside it as `kind`. The configuration is a valid one.
pub fn config_json(model: &ModelConfig, special: &SpecialIds, kind: Kind) -> Value {
    let dtype = match kind {
        Kind::F16 => "float16",
        Kind::Bf16 => "bfloat16",
        _ => "float32",
    };
    let kinds = model.layer_kinds();
    let layer_types: Vec<_> = kinds.iter().map(|kind| if is_attention(kind) { "attention" } else { "mamba" }).collect();
    let position_embedding = match model.position_embedding {
        PositionEmbedding::None => "nope",
        PositionEmbedding::Rope => "rope",
    };
    let own = json!({
        "dtype": dtype,
        "vocab_size": model.vocab_size,
        "bos_token_id": special.bos,
        "eos_token_id": special.eos,
        "pad_token_id": special.pad,
        "hidden_size": model.d_model,
        "num_hidden_layers": model.n_layers,
        "layer_types": layer_types,
        "rms_norm_eps": model.rms_norm_eps,
        "initializer_range": model.init_std,
        "tie_word_embeddings": model.tie_embeddings,
        "embedding_multiplier": model.embedding_multiplier,
        "residual_multiplier": model.residual_multiplier,
        "logits_scaling": model.logits_scaling,
        "max_position_embeddings": model.max_seq_len,
        "mamba_d_state": model.d_state,
        "mamba_d_conv": model.d_conv,
        "mamba_expand": model.expand,
        "mamba_d_head": model.d_head,
        "mamba_n_heads": model.n_heads(),
        "mamba_n_groups": model.n_groups,
        "mamba_chunk_size": model.chunk_len,
        "time_step_limit": [0.0, NO_TIME_STEP_LIMIT],
        "num_attention_heads": model.n_attention_heads,
        "num_key_value_heads": model.n_kv_heads,
        "attention_multiplier": model.attention_scale(),
        "position_embedding_type": position_embedding,
        "rope_theta": model.rope_theta,
        "rope_parameters": { "rope_type": "default", "rope_theta": model.rope_theta },
        "num_local_experts": model.n_experts,
        "num_experts_per_tok": model.top_k,
        "intermediate_size": model.d_expert,
        "shared_intermediate_size": model.d_shared,
        "use_cache": can_use_cache(model),
    });
    let head_dim = (model.attention_head_dim > 0).then(|| ("head_dim".to_owned(), model.attention_head_dim.into()));
    fixed().into_iter().chain(own.as_object().cloned().unwrap_or_default()).chain(head_dim).collect()
}

/// The `generation_config.json` of a model: what `generate` needs to begin and to stop.
pub fn generation_config_json(model: &ModelConfig, special: &SpecialIds) -> Value {
    json!({
        "bos_token_id": special.bos,
        "eos_token_id": special.eos,
        "pad_token_id": special.pad,
        "use_cache": can_use_cache(model),
    })
}

/// `transformers` 5.23 fails to size its cache when no layer is attention.
fn can_use_cache(model: &ModelConfig) -> bool {
    model.layer_kinds().iter().any(is_attention)
}

fn is_attention(kind: &LayerKind) -> bool {
    *kind == LayerKind::Attention
}

/// The configuration that a `config.json` describes; it is valid. Of several tokens that end a text, the first is eos.
///
/// # Errors
///
/// [`FormatError::Key`] for what has no counterpart here, and
/// [`FormatError::Model`] for shapes that make no model.
pub fn parse_config(config: &Value) -> Result<(ModelConfig, SpecialIds)> {
    let settings = Settings::of(config, "config.json")?;
    settings.required("model_type", "\"granitemoehybrid\"", Value::as_str)?;
    fixed().iter().try_for_each(|(key, value)| settings.only(key, value))?;
    check_time_step_limit(settings)?;
    compressed::check(settings)?;

    let model = model_of(settings)?;
    model.validate()?;
    settings.only("mamba_n_heads", &model.n_heads().into())?;
    let ids = |key| settings.ids(key, model.vocab_size);
    let eos = ids(EOS)?.first().copied().ok_or_else(|| unsupported(EOS, settings.get(EOS), "the id of a token"))?;
    // a model that has no token to begin or to fill up with does so with the one that ends a text
    let or_eos = |key| Ok::<_, FormatError>(ids(key)?.first().copied().unwrap_or(eos));
    let special = SpecialIds { bos: or_eos("bos_token_id")?, eos, pad: or_eos("pad_token_id")? };
    Ok((model.with_usual_attention(), special))
}

/// The tokens that end a text, as a `config.json` or a `generation_config.json` lists them.
///
/// # Errors
///
/// [`FormatError::Key`] for what are no ids of the model's tokens.
pub(super) fn eos_ids(config: &Value, vocab_size: usize) -> Result<Vec<u32>> {
    Settings::of(config, "the configuration")?.ids(EOS, vocab_size)
}

fn model_of(settings: Settings<'_>) -> Result<ModelConfig> {
    let n_layers = settings.size("num_hidden_layers")?;
    let (d_model, expand) = (settings.size("hidden_size")?, settings.size("mamba_expand")?);
    let n_attention_heads = settings.size("num_attention_heads")?;
    let n_experts = settings.size("num_local_experts")?;
    Ok(ModelConfig {
        vocab_size: settings.size("vocab_size")?,
        d_model,
        n_layers,
        attention_layers: attention_layers(settings, n_layers)?,
        d_state: settings.size("mamba_d_state")?,
        d_conv: settings.size("mamba_d_conv")?,
        expand,
        d_head: d_head(settings, expand.saturating_mul(d_model))?,
        n_groups: settings.size("mamba_n_groups")?,
        chunk_len: settings.size("mamba_chunk_size")?,
        n_attention_heads,
        n_kv_heads: settings
            .get("num_key_value_heads")
            .map_or(Ok(n_attention_heads), |_| settings.size("num_key_value_heads"))?,
        attention_head_dim: settings.get("head_dim").map_or(Ok(0), |_| settings.size("head_dim"))?,
        position_embedding: position_embedding(settings)?,
        rope_theta: rope_theta(settings)?,
        n_experts,
        // nothing is routed in a dense model, which published ones express as 0 of 0
        top_k: settings.size("num_experts_per_tok")?.max(usize::from(n_experts == 0)),
        d_expert: settings.size("intermediate_size")?,
        d_shared: settings.size("shared_intermediate_size")?,
        tie_embeddings: settings.flag("tie_word_embeddings")?,
        rms_norm_eps: settings.number("rms_norm_eps")?,
        embedding_multiplier: settings.number("embedding_multiplier")?,
        residual_multiplier: settings.number("residual_multiplier")?,
        attention_multiplier: settings.required("attention_multiplier", "a number above 0", |value| {
            value.as_f64().filter(|factor| *factor > 0.0)
        })?,
        logits_scaling: settings.number("logits_scaling")?,
        init_std: settings.number("initializer_range")?,
        dropout: 0.0,
        max_seq_len: settings.size("max_position_embeddings")?,
    })
}

fn attention_layers(settings: Settings<'_>, n_layers: usize) -> Result<Vec<usize>> {
    let supported = format!("a list of \"mamba\" and \"attention\", one for each of the {n_layers} layers");
    settings.required("layer_types", &supported, |value| {
        let types = value.as_array().filter(|types| types.len() == n_layers)?;
        let is_attention = |layer_type: &Value| match layer_type.as_str()? {
            "attention" | "full_attention" => Some(true),
            "mamba" | "linear_attention" => Some(false),
            _ => None,
        };
        let kinds: Vec<bool> = types.iter().map(is_attention).collect::<Option<_>>()?;
        Some((0..n_layers).filter(|&layer| kinds[layer]).collect())
    })
}

fn d_head(settings: Settings<'_>, d_inner: usize) -> Result<usize> {
    match settings.get("mamba_d_head") {
        Some(Value::String(word)) if word == "auto" => {
            let n_heads =
                settings.required("mamba_n_heads", "a number above 0", |value| value.as_u64().filter(|&h| h > 0))?;
            Ok(d_inner / n_heads as usize)
        }
        _ => settings.size("mamba_d_head"),
    }
}

fn position_embedding(settings: Settings<'_>) -> Result<PositionEmbedding> {
    let key = "position_embedding_type";
    match settings.get(key).map(|value| value.as_str()) {
        None | Some(Some("nope")) => Ok(PositionEmbedding::None),
        Some(Some("rope")) => Ok(PositionEmbedding::Rope),
        _ => Err(unsupported(key, settings.get(key), "null, \"nope\" or \"rope\"")),
    }
}

/// `rope_parameters` since `transformers` 5, `rope_theta` before.
fn rope_theta(settings: Settings<'_>) -> Result<f64> {
    settings.only("rope_scaling", &Value::Null)?;
    let rope = settings.get("rope_parameters").map(|value| Settings::of(value, "rope_parameters")).transpose()?;
    if let Some(rope) = rope {
        rope.only("rope_type", &"default".into())?;
    }
    let holder = rope.filter(|rope| rope.get("rope_theta").is_some()).unwrap_or(settings);
    holder.get("rope_theta").map_or(Ok(DEFAULT_ROPE_THETA), |_| holder.number("rope_theta"))
}

/// Absent, or limits that no Δ reaches. `transformers` 5 spells infinity as an object.
fn check_time_step_limit(settings: Settings<'_>) -> Result<()> {
    let key = "time_step_limit";
    let no_limit = |limits: &Value| {
        let low = limits[0].as_f64().is_some_and(|low| low <= 0.0);
        let high = limits[1].as_f64().is_some_and(|high| high >= NO_TIME_STEP_LIMIT);
        low && (high || limits[1] == json!({"__float__": "Infinity"}))
    };
    match settings.get(key) {
        Some(limits) if !no_limit(limits) => {
            Err(unsupported(key, Some(limits), format!("[0.0, {NO_TIME_STEP_LIMIT:e}] or more")))
        }
        _ => Ok(()),
    }
}
