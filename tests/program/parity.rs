//! Two implementations of one model, each the other's oracle: Burn's, which trains, and the runtime, which runs.

use burn::tensor::{Device, Int, Tensor};
use itera_model::LanguageModel;
use itera_runtime::{Model, Text};
use itera_shape::{ModelConfig, PositionEmbedding, SpecialIds, TensorRef};
use itera_testkit::{max_difference, uniform};
use itera_tokenizer::TokenId;

use crate::support::{Workplace, borrowed};

/// How far logits of the two may be apart, relative to the larger of 1 and the logit.
const TOLERANCE: f64 = 1e-4;

/// Every pattern of layers, head and experts, at awkward sizes.
fn configs() -> Vec<(&'static str, ModelConfig)> {
    let base = ModelConfig {
        vocab_size: 259,
        d_model: 32,
        n_layers: 3,
        attention_layers: vec![1],
        d_state: 6,
        d_head: 16,
        d_expert: 24,
        d_shared: 40,
        n_experts: 5,
        ..ModelConfig::default()
    };
    let with = |change: fn(&mut ModelConfig)| {
        let mut config = base.clone();
        change(&mut config);
        config
    };
    vec![
        ("hybrid", base.clone()),
        ("pure mamba", with(|c| c.attention_layers = vec![])),
        ("pure mamba, dense", with(|c| (c.attention_layers, c.n_experts) = (vec![], 0))),
        (
            "all attention, rope",
            with(|c| {
                (c.attention_layers, c.position_embedding) = (vec![0, 1, 2], PositionEmbedding::Rope);
            }),
        ),
        ("all attention, dense", with(|c| (c.attention_layers, c.n_experts) = (vec![0, 1, 2], 0))),
        ("dense, untied", with(|c| (c.n_experts, c.tie_embeddings) = (0, false))),
        ("untied, two groups", with(|c| (c.tie_embeddings, c.n_groups) = (false, 2))),
        ("one expert of eight", with(|c| (c.n_experts, c.top_k) = (8, 1))),
        ("two narrow heads", with(|c| (c.n_attention_heads, c.n_kv_heads, c.attention_head_dim) = (2, 1, 12))),
        ("two taps, one wide head", with(|c| (c.d_conv, c.d_head, c.n_kv_heads) = (2, 64, 4))),
        (
            "multipliers",
            with(|c| {
                (c.embedding_multiplier, c.residual_multiplier) = (3.0, 0.3);
                (c.attention_multiplier, c.logits_scaling) = (0.2, 1.7);
            }),
        ),
    ]
}

/// Weights of a scale at which logits spread over a few nats.
fn weights(config: &ModelConfig, seed: u64) -> Vec<(String, Vec<usize>, Vec<f32>)> {
    let tensor = |(index, spec): (u64, itera_shape::TensorSpec)| {
        let (low, high) = match spec.name.rsplit('.').next() {
            Some("a_log") => (0.0, 2.7),
            Some("dt_bias") => (-6.0, -2.0),
            Some("d_skip" | "norm" | "mixer_norm" | "ffn_norm") => (0.5, 1.5),
            _ => (-0.25, 0.25),
        };
        let values = uniform(spec.shape.iter().product(), low, high, 1000 * seed + index);
        (spec.name, spec.shape, values)
    };
    (0..).zip(config.tensors()).map(tensor).collect()
}

fn both(config: &ModelConfig, seed: u64) -> (LanguageModel, Model) {
    let weights = weights(config, seed);
    let mut values = weights.iter().map(|(.., values)| values.clone());
    let burn = LanguageModel::from_tensors(config, &Device::flex(), &mut |_, _| values.next().expect("a tensor"));
    let tensors: Vec<_> = weights.iter().map(|(name, shape, data)| TensorRef { name, shape, data }).collect();
    let runtime = Model::from_tensors(config, SpecialIds { bos: 0, eos: 0, pad: 1 }, &tensors);
    (burn.expect("a model"), runtime.expect("a model"))
}

/// Logits after each of `ids`, by Burn: [l, v].
fn burn_logits(model: &LanguageModel, ids: &[TokenId]) -> Vec<f32> {
    let ids: Vec<i32> = ids.iter().map(|id| id.0 as i32).collect();
    let input = Tensor::<1, Int>::from_ints(ids.as_slice(), &Device::flex()).unsqueeze_dim(0);
    let logits = model.logits(model.forward(input, model.initial_state(1), None).hidden);
    logits.into_data().try_into_vec().expect("logits are f32")
}

/// The same by the runtime: in chunks, and token by token.
fn runtime_logits(model: &Model, ids: &[TokenId]) -> [Vec<f32>; 2] {
    let (mut chunks, mut work) = (vec![], model.workspace());
    model
        .prefill_all(&mut model.new_state(), ids, &mut work, |_, rows| chunks.extend_from_slice(rows))
        .expect("a text");
    let mut state = model.new_state();
    let steps = ids.iter().flat_map(|id| model.step(&mut state, *id, &mut work).expect("a step").to_vec()).collect();
    [chunks, steps]
}

/// The largest logit of each row of Burn's is the runtime's choice, unless rounding decides between the two.
fn assert_greedy_text_is_equal(name: &str, burn: &LanguageModel, runtime: &Model, prompt: &[TokenId]) {
    let text: Vec<TokenId> = Text::of_ids(runtime, prompt).expect("a text").with_max_tokens(200).collect();
    assert_eq!(text.len(), 200);
    let logits = burn_logits(burn, &[prompt, &text].concat());
    let rows = logits.chunks(runtime.config().vocab_size).skip(prompt.len() - 1);
    for (position, (row, chosen)) in rows.zip(&text).enumerate() {
        let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let short = f64::from(largest - row[chosen.index()]) / f64::from(largest).abs().max(1.0);
        assert!(short <= TOLERANCE, "{name}: token {position} is {chosen}, {short:.1e} short of Burn's");
    }
}

#[test]
fn random_models_of_every_sort_have_the_same_logits_and_greedy_texts() {
    for (seed, (name, config)) in (1..).zip(configs()) {
        let (burn, runtime) = both(&config, seed);
        let ids: Vec<TokenId> = uniform(97, 0.0, 259.0, seed).into_iter().map(|id| TokenId(id as u32)).collect();
        let expected = burn_logits(&burn, &ids);
        let spread = expected.iter().fold(0f32, |most, logit| most.max(logit.abs()));
        assert!(spread > 0.5, "{name}: logits up to {spread} are not worth comparing");
        for found in runtime_logits(&runtime, &ids) {
            let difference = max_difference(&found, &expected);
            assert!(difference <= TOLERANCE, "{name}: off by {difference:.1e}");
        }
        assert_greedy_text_is_equal(name, &burn, &runtime, &ids[..5]);
    }
}

#[test]
fn a_trained_model_has_the_same_logits_and_greedy_text() {
    let here = Workplace::new();
    here.ok(&borrowed(&here.train("run", &["--set", "train.steps=40"])));
    let burn = itera_trainer::open_model(&here.path("run"), &Device::flex()).expect("a model");
    let runtime = Model::open(here.path("run/best")).expect("a model");
    let bytes = "Once upon a time there was".bytes().map(|b| u32::from(b) + 2);
    let ids: Vec<TokenId> = [0].into_iter().chain(bytes).map(TokenId).collect();
    let expected = burn_logits(&burn, &ids);
    for found in runtime_logits(&runtime, &ids) {
        assert!(max_difference(&found, &expected) <= TOLERANCE);
    }
    assert_greedy_text_is_equal("trained", &burn, &runtime, &ids);
}

/// Differences between `steps` recurrent steps and as long a prefill, at ten places.
fn drift(steps: usize) -> Vec<f64> {
    let (_, config) = configs().swap_remove(1);
    let (_, model) = both(&config, 7);
    let ids: Vec<TokenId> = uniform(steps, 0.0, 259.0, 8).into_iter().map(|id| TokenId(id as u32)).collect();
    let (mut stepped, mut read) = (model.new_state(), model.new_state());
    let (mut step_work, mut read_work) = (model.workspace(), model.workspace());
    let mut differences = vec![];
    for piece in ids.chunks(steps / 10) {
        let found =
            piece.iter().map(|id| model.step(&mut stepped, *id, &mut step_work).expect("a step").to_vec()).last();
        let expected = model.prefill(&mut read, piece, &mut read_work).expect("a chunk");
        differences.push(max_difference(&found.expect("a step"), expected));
    }
    differences
}

#[test]
fn a_hundred_thousand_steps_are_a_prefill() {
    let differences = drift(100_000);
    assert!(differences.iter().all(|difference| *difference <= 1e-3), "{differences:?}");
    // rounding does not add up: what is far in the past has decayed, errors in it too
    let (early, late) = (&differences[..5], &differences[5..]);
    let largest = |part: &[f64]| part.iter().copied().fold(0.0, f64::max);
    assert!(largest(late) <= 4.0 * largest(early).max(1e-6), "{differences:?}");
}
