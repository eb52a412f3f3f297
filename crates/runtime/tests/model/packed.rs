//! Weights run in the form in which their file has them.

use itera_kernels::quant::Kind;
use itera_runtime::{Activations, Model, OpenOptions};
use itera_shape::ModelConfig;
use itera_testkit::assert_close;

use crate::support::{chunks, configs, named, packed_model, random_model, steps, tokens};

/// Activations as they are.
const EXACT: OpenOptions = OpenOptions { ubatch_size: OpenOptions::UBATCH_SIZE, activations: Some(Activations::Exact) };

/// A model whose rows are whole blocks of every kind.
fn wide() -> ModelConfig {
    ModelConfig { d_model: 64, d_expert: 64, d_shared: 64, ..named("hybrid") }
}

fn root_mean_square(x: impl IntoIterator<Item = f32>) -> f64 {
    let (sum, count) = x.into_iter().fold((0.0, 0), |(sum, count), x| (sum + f64::from(x).powi(2), count + 1));
    (sum / f64::from(count)).sqrt()
}

#[test]
fn a_gguf_file_has_the_logits_of_its_tensors() {
    for (name, config) in configs() {
        let (expected, packed) = (random_model(&config, 1), packed_model(&config, 1, Kind::F32));
        let ids = tokens(&config, 50, 2);
        let run =
            |model: &Model| [chunks(model, &mut model.new_state(), &ids), steps(model, &mut model.new_state(), &ids)];
        for (found, expected) in run(&packed).iter().zip(&run(&expected)) {
            assert_close(name, found, expected, 1e-5);
        }
    }
}

#[test]
fn steps_and_chunks_agree_on_every_kind() {
    let config = wide();
    let ids = tokens(&config, 30, 3);
    for kind in Kind::all() {
        let model = packed_model(&config, 4, kind).with_options(&EXACT);
        let stepped = steps(&model, &mut model.new_state(), &ids);
        assert_close(kind.name(), &stepped, &chunks(&model, &mut model.new_state(), &ids), 1e-4);
    }
}

#[test]
fn activations_in_int8_change_little_and_only_where_weights_have_codes() {
    // a router turns a small change into another expert
    let config = ModelConfig { n_experts: 0, ..wide() };
    let ids = tokens(&config, 30, 5);
    for kind in Kind::all() {
        let exact = packed_model(&config, 6, kind).with_options(&EXACT);
        let rounded = packed_model(&config, 6, kind);
        let [exact, rounded] = [exact, rounded].map(|model| steps(&model, &mut model.new_state(), &ids));
        let difference = rounded.iter().zip(&exact).map(|(rounded, exact)| rounded - exact);
        let share = root_mean_square(difference) / root_mean_square(exact.iter().copied());
        println!("{}: logits off by {:.2} % of their size", kind.name(), 100.0 * share);
        if kind.block_len() == 1 {
            assert_eq!(share, 0.0, "{}", kind.name());
        } else {
            assert!(share > 0.0 && share < 0.05, "{}: {share}", kind.name());
        }
    }
}

#[test]
fn a_prefill_of_single_tokens_is_the_steps_of_a_text() {
    let config = wide();
    let ids = tokens(&config, 40, 7);
    for kind in [Kind::F32, Kind::Q8_0, Kind::Q4_0] {
        let by_chunk = |tokens: usize| {
            let options = OpenOptions { ubatch_size: tokens, ..OpenOptions::default() };
            let model = packed_model(&config, 8, kind).with_options(&options);
            chunks(&model, &mut model.new_state(), &ids)
        };
        let model = packed_model(&config, 8, kind);
        let stepped = steps(&model, &mut model.new_state(), &ids);
        assert_eq!(by_chunk(1), stepped, "{}", kind.name());
        assert_ne!(by_chunk(OpenOptions::UBATCH_SIZE), stepped, "{}", kind.name());
        for tokens in [8, 9, 31, 40, 41] {
            assert_close(kind.name(), &by_chunk(tokens), &by_chunk(OpenOptions::UBATCH_SIZE), 1e-4);
        }
    }
}
