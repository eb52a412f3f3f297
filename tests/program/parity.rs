//! Two implementations of one model, each the other's oracle: Burn's, which trains, and the runtime, which runs.

use burn::tensor::{Device, Int, Tensor};
use itera_fixtures::{self as fixtures, SPECIAL_IDS, models, weights};
use itera_model::LanguageModel;
use itera_runtime::{Model, Text};
use itera_shape::ModelConfig;
use itera_testkit::{max_difference, uniform};
use itera_tokenizer::TokenId;

use crate::support::{Workplace, borrowed};

/// How far logits of the two may be apart, relative to the larger of 1 and the logit.
const TOLERANCE: f64 = 1e-4;

fn both(config: &ModelConfig, seed: u64) -> (LanguageModel, Model) {
    let weights = weights(config, seed);
    let mut values = weights.iter().map(|weight| weight.data.clone());
    let burn = LanguageModel::from_tensors(config, &Device::flex(), &mut |_, _| values.next().expect("a tensor"));
    let runtime = Model::from_tensors(config, SPECIAL_IDS, &fixtures::borrowed(&weights));
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
    for (seed, (name, config)) in (1..).zip(models()) {
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
    let (_, config) = models().swap_remove(1);
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
