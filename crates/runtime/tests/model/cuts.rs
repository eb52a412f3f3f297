//! However a text is cut, it leads to the same logits and the same state.

use itera_runtime::{Model, OpenOptions, Workspace};
use itera_shape::{ModelConfig, PositionEmbedding};
use itera_testkit::assert_close;
use itera_tokenizer::TokenId;

use crate::support::{chunks, configs, named, numbers, random_model, steps, tokens};

/// Between the recurrent and the chunked form.
const FORMS: f64 = 1e-4;

#[test]
fn chunks_equal_steps_at_any_cut() {
    for (name, config) in configs() {
        let model = random_model(&config, 1);
        let ids = tokens(&config, 280, 2);
        let mut stepped = model.new_state();
        let expected = steps(&model, &mut stepped, &ids);
        // around chunks of 128 tokens, rows that are too few for a matrix product, and blocks of 16 keys
        for cut in [1, 7, 8, 9, 15, 17, 127, 128, 129, 279] {
            let mut state = model.new_state();
            let first = chunks(&model, &mut state, &ids[..cut]);
            let second = chunks(&model, &mut state, &ids[cut..]);
            assert_close(&format!("{name}, cut at {cut}"), &[first, second].concat(), &expected, FORMS);
            assert_close(&format!("{name}, state cut at {cut}"), &numbers(&state), &numbers(&stepped), FORMS);
        }
        for cut in [3, 130] {
            let mut state = model.new_state();
            let first = chunks(&model, &mut state, &ids[..cut]);
            let second = steps(&model, &mut state, &ids[cut..]);
            assert_close(&format!("{name}, steps from {cut}"), &[first, second].concat(), &expected, FORMS);
        }
    }
}

fn by_ubatch(ubatch_size: usize) -> OpenOptions {
    OpenOptions { ubatch_size, ..OpenOptions::default() }
}

#[test]
fn a_chunk_may_be_longer_than_any_text() {
    let config = &named("hybrid");
    let ids = tokens(config, 150, 4);
    let logits = |model: Model| chunks(&model, &mut model.new_state(), &ids);
    let expected = logits(random_model(config, 3).with_options(&by_ubatch(150)));
    assert_eq!(logits(random_model(config, 3).with_options(&by_ubatch(usize::MAX))), expected);
}

/// What a configuration says of layers that it does not have costs nothing: each of these buffers would be longer than any memory.
#[test]
fn layers_that_are_not_there_take_no_memory() {
    for (name, change) in [
        ("all mamba", (|c| (c.n_kv_heads, c.n_attention_heads) = (1 << 20, 1)) as fn(&mut ModelConfig)),
        ("all mamba", |c| (c.attention_head_dim, c.position_embedding) = (1 << 20, PositionEmbedding::Rope)),
        ("all mamba", |c| (c.n_attention_heads, c.position_embedding) = (1 << 20, PositionEmbedding::Rope)),
        ("all attention", |c| (c.d_state, c.n_groups, c.d_head) = (1 << 20, 64, 1)),
    ] {
        let mut config = named(name);
        change(&mut config);
        let model = random_model(&config, 3).with_options(&by_ubatch(usize::MAX));
        let ids = tokens(&config, 2000, 4);
        let logits = model.prefill(&mut model.new_state(), &ids, &mut model.workspace()).expect("a prefill").to_vec();
        assert_eq!(logits.len(), config.vocab_size, "{name}");
    }
}

#[test]
fn the_last_logits_of_a_prefill_are_those_of_all() {
    let config = &named("hybrid");
    let model = random_model(config, 3);
    let mut work = model.workspace();
    for len in [1, 128, 129, 200] {
        let ids = tokens(config, len, 4);
        let all = chunks(&model, &mut model.new_state(), &ids);
        let last = model.prefill(&mut model.new_state(), &ids, &mut work).expect("a prefill");
        assert_close(&format!("{len} tokens"), last, &all[(len - 1) * config.vocab_size..], FORMS);
    }
}

#[test]
fn ten_thousand_steps_do_not_drift_from_the_chunked_form() {
    let config = &named("all mamba");
    let model = random_model(config, 5);
    let ids = tokens(config, 10_000, 6);
    let (mut stepped, mut chunked) = (model.new_state(), model.new_state());
    let found = steps(&model, &mut stepped, &ids);
    let expected = chunks(&model, &mut chunked, &ids);
    let v = config.vocab_size;
    for (what, range) in [("the first thousand", 0..1000 * v), ("the last thousand", 9000 * v..10_000 * v)] {
        assert_close(what, &found[range.clone()], &expected[range], FORMS);
    }
    assert_close("the state", &numbers(&stepped), &numbers(&chunked), FORMS);
}

#[test]
fn a_changed_future_token_leaves_earlier_logits_bit_identical() {
    for (name, config) in configs() {
        let model = random_model(&config, 7);
        let ids = tokens(&config, 40, 8);
        let before = chunks(&model, &mut model.new_state(), &ids);
        for changed in [1, 16, 39] {
            let mut ids = ids.clone();
            ids[changed] = TokenId((ids[changed].0 + 1) % config.vocab_size as u32);
            let after = chunks(&model, &mut model.new_state(), &ids);
            let past = changed * config.vocab_size;
            assert!(after[..past] == before[..past], "{name}, token {changed}");
            assert_ne!(
                after[past..][..config.vocab_size],
                before[past..][..config.vocab_size],
                "{name}, token {changed}"
            );
        }
    }
}

#[test]
fn buffers_may_go_from_model_to_model() {
    let models: Vec<Model> = configs().iter().map(|(_, config)| random_model(config, 13)).collect();
    let mut shared = models[0].workspace();
    for model in models.iter().chain(models.iter().rev()) {
        let ids = tokens(model.config(), 20, 14);
        let run = |work: &mut Workspace| {
            let mut state = model.new_state();
            model.prefill(&mut state, &ids, work).expect("a prefill");
            model.step(&mut state, TokenId(1), work).expect("a step").to_vec()
        };
        assert!(run(&mut shared) == run(&mut model.workspace()), "{:?}", model.config());
    }
}

#[test]
#[cfg_attr(target_family = "wasm", ignore = "has no threads")]
fn every_number_of_threads_gives_the_same_bits() {
    let config = &named("hybrid");
    let model = random_model(config, 11);
    let ids = tokens(config, 300, 12);
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a small pool");
        pool.install(|| {
            let mut state = model.new_state();
            (chunks(&model, &mut state, &ids), state)
        })
    };
    let expected = run(1);
    for threads in 2..=4 {
        assert!(run(threads) == expected, "{threads} threads");
    }
}
