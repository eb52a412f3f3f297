//! The table of tensors, and the numbers counted from it.

use std::{fs, path::PathBuf};

use itera_config::Config;
use itera_shape::{ModelConfig, Precision, SavedActivations, TensorRole};
use proptest::prelude::*;

fn model(overrides: &[&str]) -> ModelConfig {
    let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
    Config::from_toml("", "", &overrides).unwrap_or_else(|error| panic!("{error}")).model
}

/// Shapes of a safetensors file, sorted, without dimensions of one.
fn shapes_on_disk(case: &str) -> Vec<Vec<usize>> {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(case).join("model.safetensors");
    let bytes = fs::read(path).expect("goldens are committed");
    let (header_len, rest) = bytes.split_at(8);
    let header_len = u64::from_le_bytes(header_len.try_into().expect("eight bytes")) as usize;
    let header: serde_json::Value = serde_json::from_slice(&rest[..header_len]).expect("a header is JSON");
    let tensors = header.as_object().expect("an object of tensors").values();
    let shape = |tensor: &serde_json::Value| -> Option<Vec<usize>> {
        let sizes = tensor.get("shape")?.as_array()?.iter().filter_map(serde_json::Value::as_u64);
        Some(sizes.map(|size| size as usize).collect())
    };
    sorted(tensors.filter_map(shape))
}

fn sorted(shapes: impl Iterator<Item = Vec<usize>>) -> Vec<Vec<usize>> {
    let mut shapes: Vec<_> = shapes.map(|shape| shape.into_iter().filter(|size| *size != 1).collect()).collect();
    shapes.sort();
    shapes
}

#[test]
fn shapes_are_those_of_transformers() {
    let common = [
        "model.vocab_size=259",
        "model.d_model=32",
        "model.d_state=8",
        "model.expand=1",
        "model.d_head=8",
        "model.n_attention_heads=4",
        "model.n_kv_heads=2",
        "model.d_expert=8",
        "model.d_shared=12",
    ];
    for (case, overrides) in [
        ("all_mamba", &["model.n_layers=2", "model.attention_layers=[]"][..]),
        ("hybrid", &["model.n_layers=3", "model.attention_layers=[1]"]),
        ("all_attention", &["model.n_layers=2", "model.attention_layers=[0, 1]"]),
        ("all_attention_nope", &["model.n_layers=1", "model.attention_layers=[0]", "model.n_kv_heads=4"]),
        ("dense", &["model.n_layers=2", "model.attention_layers=[1]", "model.n_experts=0", "model.n_kv_heads=1"]),
        (
            "two_groups",
            &["model.n_layers=1", "model.attention_layers=[]", "model.n_groups=2", "model.expand=2", "model.d_head=16"],
        ),
        ("untied", &["model.n_layers=1", "model.attention_layers=[]", "model.tie_embeddings=false"]),
        ("multipliers", &["model.n_layers=2", "model.attention_layers=[1]"]),
    ] {
        let model = model(&[&common, overrides].concat());
        let shapes = sorted(model.tensors().into_iter().map(|tensor| tensor.shape));
        assert_eq!(shapes, shapes_on_disk(case), "{case}");
    }
}

#[test]
fn names_are_unique_and_in_the_order_of_the_data() {
    let names: Vec<String> = model(&["model.n_layers=2", "model.attention_layers=[1]", "model.tie_embeddings=false"])
        .tensors()
        .into_iter()
        .map(|tensor| tensor.name)
        .collect();
    let expected = "embed \
        layers.0.mixer_norm layers.0.mamba.in_proj layers.0.mamba.conv_weight layers.0.mamba.conv_bias \
        layers.0.mamba.dt_bias layers.0.mamba.a_log layers.0.mamba.d_skip layers.0.mamba.norm layers.0.mamba.out_proj \
        layers.0.ffn_norm layers.0.moe.router layers.0.moe.w_in layers.0.moe.w_out \
        layers.0.shared.w_in layers.0.shared.w_out \
        layers.1.mixer_norm layers.1.attention.q_proj layers.1.attention.k_proj layers.1.attention.v_proj \
        layers.1.attention.o_proj layers.1.ffn_norm layers.1.moe.router layers.1.moe.w_in layers.1.moe.w_out \
        layers.1.shared.w_in layers.1.shared.w_out norm head";
    assert_eq!(names.join(" "), expected);
}

#[test]
fn roles_cover_the_words_of_recipes() {
    let tensors = model(&["model.tie_embeddings=false"]).tensors();
    for (end, role) in [
        ("embed", TensorRole::Embedding),
        ("mixer_norm", TensorRole::Norm),
        ("mamba.norm", TensorRole::Norm),
        ("in_proj", TensorRole::InProj),
        ("conv_bias", TensorRole::Conv),
        ("a_log", TensorRole::Ssm),
        ("out_proj", TensorRole::OutProj),
        ("k_proj", TensorRole::Attention),
        ("router", TensorRole::Router),
        ("moe.w_out", TensorRole::Experts),
        ("shared.w_out", TensorRole::Shared),
        ("head", TensorRole::Head),
    ] {
        let mut found = tensors.iter().filter(|tensor| tensor.name.ends_with(end)).peekable();
        assert!(found.peek().is_some(), "{end}");
        assert!(found.all(|tensor| tensor.role == role), "{end}");
    }
}

#[test]
fn counts_by_hand() {
    let overrides = [
        "model.vocab_size=300",
        "model.d_model=4",
        "model.n_layers=2",
        "model.attention_layers=[1]",
        "model.d_state=3",
        "model.d_conv=2",
        "model.expand=2",
        "model.d_head=4",
        "model.n_attention_heads=2",
        "model.n_kv_heads=1",
        "model.attention_head_dim=3",
        "model.n_experts=4",
        "model.top_k=1",
        "model.d_expert=5",
        "model.d_shared=6",
    ];
    let model = model(&overrides);
    let embed = 300 * 4;
    let (in_proj, conv, out_proj) = ((2 * 8 + 2 * 3 + 2) * 4, (8 + 2 * 3) * 2, 4 * 8);
    let attention = 2 * 6 * 4 + 2 * 3 * 4;
    let (router, expert, shared) = (4 * 4, 3 * 5 * 4, 3 * 6 * 4);
    let vectors = (8 + 2 * 3) + 3 * 2 + 8 + 5 * 4;
    let dense = embed + in_proj + conv + out_proj + attention + 2 * (router + shared);
    assert_eq!(model.total_params(), dense + 2 * 4 * expert + vectors);
    assert_eq!(model.active_params(), dense + 2 * expert + vectors);
    assert_eq!(model.weight_bytes_f32(), 4 * (dense + 8 * expert + vectors) as u64);

    // 9 tokens see 5 positions each in the mean
    let (scan, scores) = (8 * 3 * 5 + 8 * 2, 2 * (2 * 6 * 5));
    assert_eq!(model.flops_per_token(9), (2 * (dense + 2 * expert) + scan + scores) as u64);
}

proptest! {
    #[test]
    fn counts_follow_from_one_another(
        vocab_size in 258..500_usize,
        heads in 1..5_usize,
        n_layers in 1..6_usize,
        n_experts in 1..6_usize,
        top_k in 1..6_usize,
        context_len in 1..2000_usize,
    ) {
        let top_k = top_k.min(n_experts);
        let d_model = 8 * heads;
        let model = ModelConfig {
            vocab_size, d_model, n_layers, n_experts, top_k, d_head: 8, n_attention_heads: heads, n_kv_heads: 1,
            attention_layers: vec![n_layers - 1], ..ModelConfig::default()
        };
        prop_assert!(model.validate().is_ok());
        let untied = ModelConfig { tie_embeddings: false, ..model.clone() };
        prop_assert_eq!(untied.total_params() - model.total_params(), vocab_size * d_model);
        prop_assert_eq!(untied.flops_per_token(context_len), model.flops_per_token(context_len));

        let idle = (n_experts - top_k) * n_layers * 3 * model.d_expert * d_model;
        prop_assert_eq!(model.total_params() - model.active_params(), idle);

        // one more token of context: each attention layer sees half a position more in the mean
        let longer = model.flops_per_token(context_len + 1) - model.flops_per_token(context_len);
        prop_assert_eq!(longer, 2 * d_model as u64);
    }
}

/// Three mamba layers and one of attention; `crates/trainer/tests/memory.rs` holds the formula to what is measured.
#[test]
fn saved_activations_by_hand() {
    let model = ModelConfig { attention_head_dim: 24, ..ModelConfig::default() };
    let mamba = 128 + 128 + 584 + 320 + 256 + 256 + 128 + 128 + 2 * 3 * 128;
    let largest = mamba * 4 + 2 * 4;
    let attention = 128 + 128 + (96 + 2 * 48) + 96 + 128 + 128 + 2 * 3 * 128;
    for (precision, bytes) in [(Precision::F32, 4), (Precision::Bf16, 2)] {
        // expert weights and logsumexp are f32, as are router logits and the last norm outside of the layers
        let (mamba, attention) = (mamba * bytes + 2 * 4, attention * bytes + (2 + 4) * 4);
        let outside = 128 * bytes + 128 * 4 + 4 * 4 * 4;
        let whole = SavedActivations {
            bytes_per_token: 3 * mamba + attention + outside,
            bytes_per_sequence: 3 * 4 * (3 * 320 + 256 * 32),
            recomputed_bytes_per_token: 0,
        };
        assert_eq!(model.saved_activations(precision, false), whole);
        let checkpointed = SavedActivations {
            bytes_per_token: 4 * 128 * 4 + outside,
            bytes_per_sequence: 0,
            recomputed_bytes_per_token: largest,
        };
        assert_eq!(model.saved_activations(precision, true), checkpointed);
    }
}
