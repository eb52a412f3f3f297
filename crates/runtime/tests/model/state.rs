//! States are values: they can be forked, reset, saved and loaded, and bytes that are no state are refused.

use itera_runtime::{Activations, Model, OpenOptions, RuntimeError, State, StateError};
use itera_testkit::assert_close;
use itera_tokenizer::TokenId;

use crate::support::{chunks, configs, named, numbers, random_model, steps, tokens};

/// The model, run with such activations.
fn run_with(model: Model, activations: Activations) -> Model {
    model.with_options(&OpenOptions { activations: Some(activations), ..OpenOptions::default() })
}

/// The state after some tokens.
fn after(model: &Model, len: usize) -> State {
    let mut state = model.new_state();
    steps(model, &mut state, &tokens(model.config(), len, 1));
    state
}

#[test]
fn a_fork_and_a_loaded_state_go_on_as_the_original() {
    for (name, config) in configs() {
        for activations in [Activations::Exact, Activations::Int8] {
            let model = run_with(random_model(&config, 1), activations);
            for len in [0, 1, 16, 33] {
                let mut state = after(&model, len);
                let mut loaded = model.load_state(&state.to_bytes()).expect("a state of this model");
                let mut fork = state.clone();
                assert!(loaded == state && fork.position() == len, "{name}, {len}");
                let next = tokens(&config, 20, 2);
                let expected = steps(&model, &mut state, &next);
                assert!(steps(&model, &mut fork, &next) == expected, "{name}, {len}");
                assert!(steps(&model, &mut loaded, &next) == expected, "{name}, {len}");
                assert!(fork == state && loaded == state, "{name}, {len}");
            }
        }
    }
}

#[test]
fn keys_and_values_are_half_as_large_where_activations_are_rounded() {
    let config = named("hybrid");
    let [exact, rounded] =
        [Activations::Exact, Activations::Int8].map(|activations| run_with(random_model(&config, 1), activations));
    let ids = tokens(&config, 64, 1);
    let grown = |model: &Model| {
        let mut state = model.new_state();
        let before = state.to_bytes().len();
        let logits = chunks(model, &mut state, &ids);
        (state.to_bytes().len() - before, logits)
    };
    let ((exact_bytes, exact_logits), (rounded_bytes, rounded_logits)) = (grown(&exact), grown(&rounded));
    assert_eq!(2 * rounded_bytes, exact_bytes);
    // none of the weights has codes: only what is remembered was rounded
    assert!(exact_logits != rounded_logits);
    assert_close("rounded", &rounded_logits, &exact_logits, 1e-2);

    let mut state = after(&exact, 5);
    let mut work = rounded.workspace();
    let foreign = rounded.step(&mut state, TokenId(0), &mut work);
    assert!(matches!(foreign, Err(RuntimeError::ForeignState)));
    let foreign = rounded.load_state(&state.to_bytes());
    assert!(matches!(foreign, Err(RuntimeError::State(StateError::OtherModel))));
}

#[test]
fn a_reset_state_is_a_new_one() {
    for (name, config) in configs() {
        let model = random_model(&config, 2);
        let mut state = after(&model, 20);
        assert!(state != model.new_state(), "{name}");
        state.reset();
        assert!(state == model.new_state(), "{name}");
    }
}

#[test]
fn bytes_that_are_no_state_are_refused() {
    let (model, other) = (&random_model(&named("hybrid"), 3), &random_model(&named("two groups"), 3));
    let bytes = after(model, 5).to_bytes();
    let error = |bytes: &[u8]| match model.load_state(bytes) {
        Err(RuntimeError::State(error)) => error,
        other => panic!("{other:?}"),
    };
    for len in 0..bytes.len() {
        error(&bytes[..len]);
    }
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        error(&changed);
    }
    assert_eq!(error(b"GGUF"), StateError::Magic);
    let mut newer = bytes.clone();
    newer[8] = 9;
    assert_eq!(error(&newer), StateError::Version { found: 9, supported: 2 });
    let mut longer = bytes.clone();
    longer.push(0);
    assert_eq!(error(&longer), StateError::Length { expected: bytes.len(), found: bytes.len() + 1 });
    assert_eq!(error(&after(other, 5).to_bytes()), StateError::OtherModel);
}

#[test]
fn a_position_from_nowhere_allocates_nothing() {
    let config = &named("hybrid");
    let model = random_model(config, 4);
    let state = model.new_state().to_bytes();
    // the position lies before the numbers of two mamba layers
    let numbers = numbers(&model.new_state()).len() * 4 + 4;
    let position = state.len() - numbers - 8;
    for claimed in [1, 4096, 4097, u64::from(u32::MAX), u64::MAX] {
        let mut bytes = state.clone();
        bytes[position..position + 8].copy_from_slice(&claimed.to_le_bytes());
        match model.load_state(&bytes) {
            Err(RuntimeError::State(StateError::Position { .. })) => assert!(claimed > 4096),
            Err(RuntimeError::State(StateError::Length { .. })) => assert!(claimed <= 4096),
            other => panic!("{claimed}: {other:?}"),
        }
    }
}

#[test]
fn what_cannot_be_is_an_error_and_changes_nothing() {
    let mut config = named("hybrid");
    config.max_seq_len = 40;
    let model = random_model(&config, 5);
    let foreign = random_model(&named("all mamba"), 5);
    let mut work = model.workspace();
    let mut state = after(&model, 38);
    let before = state.clone();

    let token = TokenId(config.vocab_size as u32);
    assert!(matches!(model.step(&mut state, token, &mut work), Err(RuntimeError::Token { .. })));
    assert!(matches!(model.prefill(&mut state, &[TokenId(0), token], &mut work), Err(RuntimeError::Token { .. })));
    assert!(matches!(model.prefill(&mut state, &[], &mut work), Err(RuntimeError::EmptyPrompt)));
    let long = model.prefill(&mut state, &[TokenId(0); 3], &mut work);
    assert!(matches!(long, Err(RuntimeError::ContextFull { len: 41, max_seq_len: 40 })));
    assert!(matches!(foreign.step(&mut state, TokenId(0), &mut work), Err(RuntimeError::ForeignState)));
    assert!(state == before);

    model.prefill(&mut state, &[TokenId(0); 2], &mut work).expect("two more fit");
    let full = model.step(&mut state, TokenId(0), &mut work);
    assert!(matches!(full, Err(RuntimeError::ContextFull { len: 41, max_seq_len: 40 })));

    let mut endless = after(&foreign, 0);
    let far = vec![TokenId(0); 2 * foreign.config().max_seq_len];
    foreign.prefill(&mut endless, &far, &mut foreign.workspace()).expect("a model without attention has no end");
}
