//! llama.cpp's converter, given a model directory, writes what is written here. Its files are remade by
//! `tests/golden/gguf/make_goldens.py`.

use std::path::{Path, PathBuf};

use itera_files::MappedFile;
use itera_formats::gguf::{Gguf, GgufSource, Value, write_gguf};
use itera_formats::hf::{HfModel, read_model_dir};
use itera_formats::{ModelFile, TokenizerSource, pack_model};
use itera_kernels::quant::Kind;
use itera_shape::{ModelConfig, NamedTensor, TensorRef};

use crate::support::numbers;

const CASES: [(&str, Kind); 3] = [("hybrid", Kind::Q8_0), ("all_attention", Kind::F16), ("dense", Kind::Bf16)];

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(name)
}

fn theirs(case: &str) -> PathBuf {
    golden("gguf").join(case).with_extension("gguf")
}

/// What a file cannot say, and what is read for it.
fn as_in_files(config: &ModelConfig, found: &ModelConfig) -> ModelConfig {
    let ModelConfig { chunk_len, init_std, .. } = ModelConfig::default();
    let config = ModelConfig { chunk_len, init_std, ..config.clone() };
    match found.attention_layers.len() == found.n_layers {
        true => config,
        // the converter promises a context of 2²⁰ wherever there are SSM layers
        false => ModelConfig { max_seq_len: 1 << 20, ..config },
    }
}

#[test]
fn its_files_are_the_models_they_were_made_of() {
    for (case, _) in CASES {
        let model = ModelFile::open(&theirs(case)).expect("opened");
        let directory = ModelFile::open(&golden(case)).expect("opened");
        let expected = as_in_files(directory.config(), model.config());
        let expected = ModelConfig { top_k: expected.top_k.max(model.config().top_k), ..expected };
        assert_eq!((model.config(), model.special_ids()), (&expected, directory.special_ids()), "{case}");
        let last = model.config().n_layers - 1;
        for name in ["embed", "layers.1.attention.o_proj", &format!("layers.{last}.shared.up")] {
            let (found, expected) = (model.matrix(name).expect("a matrix"), directory.matrix(name).expect("a matrix"));
            let (found, expected) = (numbers(found), numbers(expected));
            let largest = expected.iter().fold(0.0, |largest: f32, number| largest.max(number.abs()));
            let is_close = |(found, expected): (&f32, &f32)| (found - expected).abs() < largest / 250.0;
            assert!(found.iter().zip(&expected).all(is_close), "{case}: {name}");
        }
        let Ok(TokenizerSource::Vocabulary(vocabulary)) = model.tokenizer() else { panic!("a vocabulary") };
        assert_eq!((vocabulary.tokens.len(), &vocabulary.specials[..]), (259, &[256, 257, 258][..]), "{case}");
    }
}

#[test]
fn it_writes_what_is_written_here() {
    for (case, kind) in CASES {
        let HfModel { config, special_ids, tensors } = read_model_dir(&golden(case)).expect("read");
        let model = ModelFile::open(&theirs(case)).expect("opened");
        let Ok(TokenizerSource::Vocabulary(vocabulary)) = model.tokenizer() else { panic!("a vocabulary") };
        let tensors: Vec<TensorRef<'_>> = tensors.iter().map(NamedTensor::as_ref).collect();
        let tensors = &pack_model(&config, &tensors, kind).expect("packed");
        let source = GgufSource { name: "Model", config: &config, special_ids, vocabulary: &vocabulary, tensors };
        let dir = tempfile::tempdir().expect("a directory");
        let ours = dir.path().join("ours.gguf");
        write_gguf(&ours, &source, true).expect("written");
        compare(case, &theirs(case), &ours);
    }
}

/// Every key and every tensor, but for what is deliberately not as the converter has it.
fn compare(case: &str, theirs: &Path, ours: &Path) {
    let (their_file, our_file) = (MappedFile::open(theirs).expect("mapped"), MappedFile::open(ours).expect("mapped"));
    let their = Gguf::parse(theirs, their_file.bytes()).expect("read");
    let our = Gguf::parse(ours, our_file.bytes()).expect("read");

    for entry in &their.metadata {
        let is_ours = match entry.key.rsplit_once('.').map_or(entry.key, |(_, key)| key) {
            // a size in words, made from the counts of parameters
            "size_label" => false,
            // the converter's promise is not the model's, and llama.cpp refuses its width of a dense model
            "context_length" | "feed_forward_length" if case != "all_attention" => false,
            // the converter pads the tokens, not the embedding, and llama.cpp refuses that too
            "tokens" | "token_type" if case != "all_attention" => false,
            _ => true,
        };
        if is_ours {
            let found = our.entry(entry.key).map(|entry| entry.value);
            assert_eq!(found, Some(entry.value), "{case}: {}", entry.key);
        }
    }
    let keys: Vec<_> = our.metadata.iter().map(|entry| entry.key).filter(|key| their.entry(key).is_none()).collect();
    // llama.cpp wants the list even where it is empty, and begins a text with bos only if the file says so
    assert_eq!(keys, ["tokenizer.ggml.merges", "tokenizer.ggml.add_bos_token"]);
    assert_eq!(our.entry(keys[1]).map(|entry| entry.value), Some(Value::Flag(true)));
    assert!(matches!(our.entry(keys[0]).map(|entry| entry.value), Some(Value::Array(merges)) if merges.is_empty()));

    assert_eq!(our.tensors.len(), their.tensors.len());
    for tensor in &their.tensors {
        let same = our.tensors.iter().find(|ours| ours.name == tensor.name).expect(tensor.name);
        assert_eq!((same.stored_as, &same.shape), (tensor.stored_as, &tensor.shape), "{case}: {}", tensor.name);
        let (found, expected) = (&our_file.bytes()[same.range.clone()], &their_file.bytes()[tensor.range.clone()]);
        if tensor.name.ends_with("ssm_a") {
            let floats = |bytes: &[u8]| bytes.as_chunks().0.iter().map(|x| f32::from_le_bytes(*x)).collect::<Vec<_>>();
            let close = |(a, b): (f32, f32)| (a - b).abs() <= a.abs() * f32::EPSILON;
            assert!(floats(found).into_iter().zip(floats(expected)).all(close), "{case}: {}", tensor.name);
        } else {
            assert!(found == expected, "{case}: {} differs", tensor.name);
        }
    }
}
