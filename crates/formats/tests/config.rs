//! `config.json`: what is written is read, what has no counterpart is refused by name, and nothing panics.

use itera_formats::Kind;
use itera_formats::hf::{config_json, generation_config_json, parse_config};
use itera_shape::{ModelConfig, PositionEmbedding, SpecialIds};
use proptest::prelude::*;
use serde_json::{Value, json};

const SPECIAL: SpecialIds = SpecialIds { bos: 0, eos: 0, pad: 1 };

/// Valid configurations of every sort: each size is varied, and each switch set both ways.
fn models() -> impl Strategy<Value = ModelConfig> {
    let sizes = (1usize..4, 1usize..3, 1usize..3, 2usize..5, 0usize..4, 1usize..5);
    let numbers = (1e-3..10.0f64, 1e-6..1e-2f64, 1e3..1e6f64, any::<bool>());
    (sizes, numbers, any::<[bool; 6]>()).prop_map(|(sizes, numbers, flags)| {
        let (heads, group, kv, d_conv, n_experts, n_layers) = sizes;
        let (factor, eps, rope_theta, plain_scale) = numbers;
        let [tied, rope, wide, .., heads_apart] = flags;
        ModelConfig {
            d_model: 32 * heads,
            d_head: if wide { 32 } else { 16 },
            n_groups: group,
            n_attention_heads: 4 * kv,
            n_kv_heads: kv,
            attention_head_dim: if heads_apart { 2 * heads } else { 0 },
            d_conv,
            n_layers,
            attention_layers: (0..n_layers).filter(|&layer| flags[1 + layer]).collect(),
            n_experts,
            top_k: n_experts.clamp(1, 2),
            position_embedding: if rope { PositionEmbedding::Rope } else { PositionEmbedding::None },
            rope_theta,
            tie_embeddings: tied,
            rms_norm_eps: eps,
            embedding_multiplier: factor,
            residual_multiplier: factor / 2.0,
            logits_scaling: factor * 3.0,
            attention_multiplier: if plain_scale { 0.0 } else { factor / 10.0 },
            ..ModelConfig::default()
        }
        .with_usual_attention()
    })
}

fn written() -> Value {
    config_json(&ModelConfig::default(), &SPECIAL, Kind::F32)
}

proptest! {
    #[test]
    fn what_is_written_is_read(model in models()) {
        prop_assume!(model.validate().is_ok());
        let text = config_json(&model, &SPECIAL, Kind::F32).to_string();
        let (found, special) = parse_config(&serde_json::from_str(&text).expect("JSON")).expect("readable");
        prop_assert_eq!(found, model);
        prop_assert_eq!(special, SPECIAL);
    }

    /// Every key with every kind of value: refused, or read as a model that keeps the rules.
    #[test]
    fn no_value_panics(key in any::<prop::sample::Index>(), number in any::<i64>()) {
        let config = written();
        let keys: Vec<_> = config.as_object().expect("an object").keys().collect();
        let key = keys[key.index(keys.len())];
        let odd = [
            Value::Null, json!(0), json!(-1), json!(number), json!(u64::MAX), json!(1e308), json!(true), json!("auto"),
            json!([]), json!(["attention"]), json!([0.0]), json!({"rope_theta": -1.0}),
        ];
        for value in odd {
            let mut changed = config.clone();
            changed[key] = value;
            if let Ok((model, _)) = parse_config(&changed) {
                prop_assert!(model.validate().is_ok(), "{}", changed);
            }
        }
    }
}

#[test]
fn dropout_belongs_to_training() {
    let model = ModelConfig { dropout: 0.1, ..ModelConfig::default() };
    assert_eq!(parse_config(&config_json(&model, &SPECIAL, Kind::F32)).expect("readable").0, ModelConfig::default());
}

#[test]
fn tokens_that_are_absent_or_several_have_one_meaning() {
    for (key, value, expected) in [
        ("pad_token_id", Value::Null, SpecialIds { pad: 0, ..SPECIAL }),
        ("bos_token_id", Value::Null, SpecialIds { bos: 0, ..SPECIAL }),
        ("eos_token_id", json!([7, 2]), SpecialIds { eos: 7, ..SPECIAL }),
        ("eos_token_id", json!([5]), SpecialIds { eos: 5, ..SPECIAL }),
    ] {
        let mut config = written();
        config[key] = value;
        assert_eq!(parse_config(&config).expect("readable").1, expected, "{config}");
    }
}

/// As `transformers` 5 saves a model, and as it wrote it before.
#[test]
fn other_spellings_of_the_same_model_are_read() {
    type Change = fn(&mut Value);
    let spellings: [Change; 8] = [
        |c| c["layer_types"] = json!(["linear_attention", "linear_attention", "full_attention", "linear_attention"]),
        |c| c["time_step_limit"] = json!([0.0, {"__float__": "Infinity"}]),
        |c| c["time_step_limit"] = Value::Null,
        |c| c["position_embedding_type"] = Value::Null,
        |c| c["mamba_d_head"] = json!("auto"),
        |c| c["rope_parameters"] = Value::Null,
        |c| c["attention_dropout"] = json!(0),
        |c| c["transformers_version"] = json!("5.23.0"),
    ];
    for spelling in spellings {
        let mut config = written();
        spelling(&mut config);
        assert_eq!(parse_config(&config).expect("readable").0, ModelConfig::default(), "{config}");
    }
}

#[test]
fn what_has_no_counterpart_is_named() {
    let refused = [
        ("model_type", json!("llama"), "\"granitemoehybrid\""),
        ("model_type", Value::Null, "absent"),
        ("hidden_act", json!("gelu"), "\"silu\""),
        ("attention_bias", json!(true), "false"),
        ("mamba_conv_bias", json!(false), "true"),
        ("mamba_proj_bias", json!(true), "false"),
        ("layer_types", json!(["mamba"]), "4 layers"),
        ("layer_types", json!(["mamba", "mamba", "moe", "mamba"]), "moe"),
        ("time_step_limit", json!([0.001, 0.1]), "or more"),
        ("position_embedding_type", json!("alibi"), "rope"),
        ("rope_scaling", json!({"type": "yarn"}), "yarn"),
        ("rope_type", json!("linear"), "default"),
        ("mamba_n_heads", json!(7), "8"),
        ("head_dim", json!("wide"), "whole number"),
        ("attention_multiplier", json!(0.0), "above 0"),
        ("eos_token_id", json!([0, 2048]), "below vocab_size, 2048"),
        ("eos_token_id", json!([]), "the id of a token"),
        ("eos_token_id", Value::Null, "absent"),
        ("bos_token_id", json!("<s>"), "below vocab_size"),
        ("pad_token_id", json!(2048), "below vocab_size, 2048"),
        ("hidden_size", Value::Null, "absent"),
    ];
    for (key, value, supported) in refused {
        let mut config = written();
        match key {
            "rope_type" => config["rope_parameters"][key] = value,
            _ => config[key] = value,
        }
        let error = parse_config(&config).expect_err(key).to_string();
        assert!(error.contains(key) && error.contains(supported), "{key}: {error}");
    }
}

#[test]
fn shapes_that_make_no_model_are_refused() {
    let mut config = written();
    config["num_experts_per_tok"] = json!(9);
    let error = parse_config(&config).expect_err("more experts than there are").to_string();
    assert!(error.contains("top_k") && error.contains('9'), "{error}");
}

#[test]
fn only_a_model_with_attention_uses_the_cache() {
    for (attention_layers, use_cache) in [(vec![], false), (vec![2], true)] {
        let model = ModelConfig { attention_layers, ..ModelConfig::default() };
        assert_eq!(config_json(&model, &SPECIAL, Kind::F32)["use_cache"], use_cache);
        assert_eq!(generation_config_json(&model, &SPECIAL)["use_cache"], use_cache);
    }
}

#[test]
fn the_type_of_the_weights_is_said_in_the_words_of_torch() {
    for (kind, dtype) in [(Kind::F32, "float32"), (Kind::F16, "float16"), (Kind::Bf16, "bfloat16")] {
        assert_eq!(config_json(&ModelConfig::default(), &SPECIAL, kind)["dtype"], dtype);
    }
}
