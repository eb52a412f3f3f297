//! Logits are those that `transformers` computed (`tests/golden`).

use itera_formats::read_safetensors;
use itera_runtime::Model;
use itera_testkit::assert_close;
use itera_tokenizer::TokenId;
use serde_json::Value;

use crate::support::{chunks, golden_dir, steps};

const CASES: [&str; 8] =
    ["all_mamba", "hybrid", "all_attention", "all_attention_nope", "dense", "two_groups", "untied", "multipliers"];

/// The bar of the project: the reference's own other chunk size moves its logits by 1.5e-6.
const LOGITS: f64 = 1e-4;

#[test]
fn logits_equal_transformers_by_chunks_and_by_steps() {
    for name in CASES {
        let dir = golden_dir(name);
        let model = Model::open(&dir).expect("a golden model opens");
        let numbers = std::fs::read_to_string(dir.join("golden.json")).expect("golden.json");
        let numbers: Value = serde_json::from_str(&numbers).expect("JSON");
        let tensors = read_safetensors(&dir.join("golden.safetensors")).expect("golden.safetensors");
        let lengths: Vec<usize> = serde_json::from_value(numbers["lengths"].clone()).expect("lengths");
        for len in lengths {
            let rows: Vec<Vec<TokenId>> =
                serde_json::from_value(numbers[format!("ids_{len}")].clone()).expect("rows of ids");
            let key = format!("logits_{len}");
            let expected = &tensors.iter().find(|tensor| tensor.name == key).expect("logits").data;
            for (ids, expected) in rows.iter().zip(expected.chunks(len * model.config().vocab_size)) {
                let by_chunks = chunks(&model, &mut model.new_state(), ids);
                assert_close(&format!("{name}, {len} tokens by chunks"), &by_chunks, expected, LOGITS);
                let by_steps = steps(&model, &mut model.new_state(), ids);
                assert_close(&format!("{name}, {len} tokens by steps"), &by_steps, expected, LOGITS);
            }
        }
    }
}
