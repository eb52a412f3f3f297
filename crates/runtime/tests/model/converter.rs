//! A file that llama.cpp's converter made gives the logits and the text of the model that it was made of.
//!
//! ```text
//! directory ─ converter ─▶ GGUF: q8_0, f16 or bf16 ─▶ Model ─┐
//!     └─ the same rounding ─▶ f32 in memory ────────▶ Model ─┴─▶ equal
//! ```

use itera_formats::{hf::read_model_dir, pack_model};
use itera_kernels::quant::Kind;
use itera_runtime::{Activations, Model, OpenOptions, Text};
use itera_shape::{NamedTensor, TensorRef};
use itera_testkit::assert_close;
use itera_tokenizer::TokenId;

use crate::support::{chunks, golden_dir, steps, tokens};

/// Between products with weights in their packed form and with the numbers that they stand for.
const PACKED: f64 = 1e-5;

/// The model in a directory, its matrices rounded as `kind`.
fn rounded(case: &str, kind: Kind) -> Model {
    let model = read_model_dir(&golden_dir(case)).expect("read");
    let tensors: Vec<TensorRef<'_>> = model.tensors.iter().map(NamedTensor::as_ref).collect();
    let packed = pack_model(&model.config, &tensors, kind).expect("packed");
    let numbers: Vec<Vec<f32>> = packed.iter().map(|tensor| tensor.numbers()).collect();
    let tensors: Vec<TensorRef<'_>> =
        tensors.iter().zip(&numbers).map(|(tensor, data)| TensorRef { data, ..*tensor }).collect();
    Model::from_tensors(&model.config, model.special_ids, &tensors).expect("a model")
}

fn greedy(model: &Model, prompt: &[TokenId]) -> Vec<TokenId> {
    Text::of_ids(model, prompt).expect("a text").with_max_tokens(50).collect()
}

#[test]
fn its_files_give_the_logits_and_texts_of_their_models() {
    for (case, kind) in [("hybrid", Kind::Q8_0), ("all_attention", Kind::F16), ("dense", Kind::Bf16)] {
        let theirs = Model::open(golden_dir("gguf").join(case).with_extension("gguf")).expect("opened");
        let theirs =
            theirs.with_options(&OpenOptions { activations: Some(Activations::Exact), ..OpenOptions::default() });
        let ours = rounded(case, kind);
        assert_eq!(theirs.config().vocab_size, ours.config().vocab_size, "{case}");
        let ids = tokens(ours.config(), 60, 1);
        for (form, logits) in [("chunks", chunks as fn(&Model, &mut _, &[TokenId]) -> Vec<f32>), ("steps", steps)] {
            let found = logits(&theirs, &mut theirs.new_state(), &ids);
            let expected = logits(&ours, &mut ours.new_state(), &ids);
            assert_close(&format!("{case}, {form}"), &found, &expected, PACKED);
        }
        for prompt in [&ids[..1], &ids[..5], &ids[..12]] {
            let text = greedy(&theirs, prompt);
            assert_eq!(text, greedy(&ours, prompt), "{case}");
            assert_eq!(text.len(), 50, "{case}");
        }
    }
}
