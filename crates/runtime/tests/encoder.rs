//! Encoders against the vectors that sentence-transformers made, and against themselves.

use std::fs;
use std::path::{Path, PathBuf};

use itera_formats::{FormatError, hf::WeightsDir, write_safetensors};
use itera_kernels::quant::Kind;
use itera_ptq::{Fp8Scales, Layout, Method, Plan, Selection, quantize};
use itera_runtime::{Encoder, Pooling, RuntimeError};
use itera_shape::TensorRef;
use itera_tokenizer::TokenizerError;
use itera_vectors::cosine;
use rayon::ThreadPoolBuilder;
use serde_json::{Value, json};

fn golden() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/encoder")
}

fn expected(mode: &str) -> (Vec<String>, Vec<Vec<f32>>) {
    let file: Value = serde_json::from_slice(&fs::read(golden().join("vectors.json")).expect("read")).expect("JSON");
    let of = |key: &str| serde_json::from_value(file[key].clone()).expect("texts and vectors");
    (of("texts"), serde_json::from_value(file[mode].clone()).expect("vectors"))
}

fn open(dir: &Path) -> Encoder {
    Encoder::open(dir).expect("an encoder")
}

fn embed<T: AsRef<str> + Sync>(encoder: &Encoder, texts: &[T]) -> Vec<Vec<f32>> {
    let all = encoder.embed(texts, &mut || ());
    all.chunks(encoder.config().d_model).map(<[f32]>::to_vec).collect()
}

/// A copy of the golden directory.
struct Copy(tempfile::TempDir);

impl Copy {
    fn new() -> Self {
        let copy = Self(tempfile::tempdir().expect("a directory"));
        fs::create_dir(copy.path("1_Pooling")).expect("created");
        for name in [
            "config.json",
            "model.safetensors",
            "tokenizer.json",
            "modules.json",
            "sentence_bert_config.json",
            "1_Pooling/config.json",
        ] {
            fs::copy(golden().join(name), copy.path(name)).expect("copied");
        }
        copy
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The same with a key of a file changed.
    fn with(file: &str, key: &str, value: Value) -> Self {
        let copy = Self::new();
        let mut json: Value = serde_json::from_slice(&fs::read(copy.path(file)).expect("read")).expect("JSON");
        json[key] = value;
        fs::write(copy.path(file), json.to_string()).expect("written");
        copy
    }

    fn refused(&self) -> RuntimeError {
        Encoder::open(self.0.path()).expect_err("refused")
    }
}

#[test]
fn vectors_are_those_of_sentence_transformers() {
    let encoder = open(Copy::with("sentence_bert_config.json", "max_seq_length", 20.into()).0.path());
    assert_eq!(encoder.max_tokens(), 20);
    let first = open(&golden()).with_pooling(Pooling::First);
    for (mode, found) in [("mean", embed(&encoder, &expected("mean").0)), ("cls", embed(&first, &expected("cls").0))] {
        let (texts, vectors) = expected(mode);
        for ((text, found), vector) in texts.iter().zip(found).zip(vectors) {
            // the directory divides by the length, which the vectors of the first token were not
            let is_cut = mode == "cls" && first.tokens(text).len() > 20;
            let cosine = cosine(&found, &vector);
            assert!(is_cut || cosine > 1.0 - 1e-10, "{mode} {text:?}: {cosine}");
            if mode == "mean" {
                let worst = found.iter().zip(&vector).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(worst < 2e-6, "{text:?}: {worst}");
            }
        }
    }
}

#[test]
fn a_text_has_the_same_bits_alone_in_any_company_and_on_any_threads() {
    let encoder = open(&golden());
    // more rows than go through the layers together
    let some = expected("mean").0;
    let texts: Vec<&str> = some.iter().cycle().take(200).map(String::as_str).collect();
    let alone: Vec<Vec<f32>> = some.iter().map(|text| embed(&encoder, &[text]).remove(0)).collect();
    for threads in 1..=4 {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        let mut done = 0;
        let all = pool.install(|| encoder.embed(&texts, &mut || done += 1));
        assert_eq!(done, texts.len());
        for (index, vector) in all.chunks(encoder.config().d_model).enumerate() {
            assert_eq!(vector, alone[index % some.len()], "{threads} threads, text {index}");
        }
    }
    assert!(embed::<&str>(&encoder, &[]).is_empty());
}

#[test]
fn rounded_directories_are_run_as_the_numbers_that_they_stand_for() {
    let texts = expected("mean").0;
    let exact = embed(&open(&golden()), &texts);
    let blocks = Method::Fp8(Fp8Scales::Block);
    for (method, layout, least) in [
        (Method::Fp8(Fp8Scales::Channel), Layout::CompressedTensors, 0.99),
        (Method::Fp8(Fp8Scales::Channel), Layout::ModelOpt, 0.99),
        (blocks, Layout::CompressedTensors, 0.99),
        (Method::Nvfp4, Layout::CompressedTensors, 0.9),
        (Method::Nvfp4, Layout::ModelOpt, 0.9),
    ] {
        let copy = Copy::new();
        let out = copy.path("out");
        let mut plan = Plan::new(copy.0.path(), method, layout, &Selection::default()).expect("planned");
        quantize(&mut plan, &out, &mut |_| true).expect("written");
        let found = embed(&open(&out), &texts);
        for ((text, found), exact) in texts.iter().zip(&found).zip(&exact) {
            let cosine = cosine(found, exact);
            assert!((least..1.0 - 1e-9).contains(&cosine), "{method:?} {layout:?} {text:?}: {cosine}");
        }
        // the expanded weights in f32
        let mut weights = WeightsDir::open(&out).expect("opened");
        let all: Vec<_> = (0..weights.weights().len())
            .map(|index| {
                let (name, shape) = (weights.weights()[index].name.clone(), weights.weights()[index].shape.clone());
                let (rows, mut data) = (weights.weights()[index].rows_and_cols().0, Vec::new());
                weights.read(index, 0..rows, &mut data).expect("read");
                (name, shape, data)
            })
            .collect();
        let refs: Vec<TensorRef<'_>> = all.iter().map(|(name, shape, data)| TensorRef { name, shape, data }).collect();
        write_safetensors(&copy.path("model.safetensors"), &refs, Kind::F32).expect("written");
        assert_eq!(embed(&open(copy.0.path()), &texts), found, "{method:?} {layout:?}");
        // and in f16 and bf16, of a model that was saved so
        for kind in [Kind::F16, Kind::Bf16] {
            write_safetensors(&copy.path("model.safetensors"), &refs, kind).expect("written");
            let near = embed(&open(copy.0.path()), &texts);
            assert!(near.iter().zip(&found).all(|(near, found)| cosine(near, found) > 0.999), "{kind:?}");
        }
    }
}

#[test]
fn what_a_directory_says_of_pooling_and_lengths_is_done() {
    let text = "the cat sat on the mat the cat sat on the mat the cat sat on the mat the cat sat on the mat";
    let whole = open(&golden());
    assert_eq!((whole.max_tokens(), whole.tokens(text).len()), (24, 24));
    let cut = open(Copy::with("sentence_bert_config.json", "max_seq_length", 7.into()).0.path());
    assert_eq!((cut.max_tokens(), cut.tokens(text).len()), (7, 7));
    // no more than there are positions
    assert_eq!(open(Copy::with("sentence_bert_config.json", "max_seq_length", 99.into()).0.path()).max_tokens(), 24);
    assert_eq!(
        open(Copy::with("sentence_bert_config.json", "max_seq_length", 0.into()).0.path()).tokens(text).len(),
        1
    );
    let cls = Copy::new();
    let flags =
        json!({ "word_embedding_dimension": 32, "pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false });
    fs::write(cls.path("1_Pooling/config.json"), flags.to_string()).expect("written");
    let texts = [text, "a dog"];
    assert_eq!(embed(&open(cls.0.path()), &texts), embed(&open(&golden()).with_pooling(Pooling::First), &texts));
    let lower = open(Copy::with("sentence_bert_config.json", "do_lower_case", true.into()).0.path());
    assert_ne!(lower.tokens("[MASK]"), whole.tokens("[MASK]"));
    fs::remove_file(cls.path("modules.json")).expect("removed");
    let bare = embed(&open(cls.0.path()), &texts);
    let length = |vector: &[f32]| vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    assert!(bare.iter().all(|vector| (length(vector) - 1.0).abs() > 1e-3), "nothing says that lengths are 1");
    assert!(embed(&whole, &texts).iter().all(|vector| (length(vector) - 1.0).abs() < 1e-5));
}

#[test]
fn directories_of_another_sort_are_refused_by_what_shows_it() {
    for (key, value) in [
        ("model_type", json!("roberta")),
        ("hidden_act", json!("gelu_new")),
        ("position_embedding_type", json!("relative_key")),
        ("num_attention_heads", json!(5)),
        ("num_attention_heads", json!(0)),
        ("hidden_size", json!("wide")),
        ("num_hidden_layers", json!(-1)),
    ] {
        let error = Copy::with("config.json", key, value).refused();
        let RuntimeError::Format(FormatError::File { source, .. }) = &error else { panic!("{error:?}") };
        let key = if key == "hidden_size" { "hidden_size" } else { key };
        assert!(matches!(&**source, FormatError::Key { key: found, .. } if found == key), "{source}");
    }
    for (key, value) in
        [("hidden_size", json!(64)), ("intermediate_size", json!(1_u64 << 40)), ("vocab_size", json!(u32::MAX))]
    {
        let error = Copy::with("config.json", key, value).refused();
        assert!(matches!(&error, RuntimeError::Format(FormatError::Shape { .. })), "{key}: {error}");
    }
    let error = Copy::with("config.json", "num_hidden_layers", json!(u64::MAX)).refused();
    assert!(
        matches!(&error, RuntimeError::Format(FormatError::Names { missing, .. }) if missing.len() == 1),
        "{error}"
    );
    // an embedding without the last tokens of the tokenizer
    let error = Copy::with("config.json", "vocab_size", json!(20)).refused();
    assert!(matches!(error, RuntimeError::Token { vocab_size: 20, .. }), "{error}");

    for module in [
        json!({ "type": "a.Dense", "path": "2_Dense" }),
        json!({ "type": "a.Pooling", "path": "../1_Pooling" }),
        json!({}),
    ] {
        let copy = Copy::new();
        fs::write(copy.path("modules.json"), json!([module]).to_string()).expect("written");
        assert!(matches!(copy.refused(), RuntimeError::Format(FormatError::File { .. })), "{module}");
    }
    let error = Copy::with("1_Pooling/config.json", "pooling_mode", json!("max")).refused();
    assert!(matches!(error, RuntimeError::Format(FormatError::File { .. })), "{error}");

    for (file, bytes) in [
        ("config.json", &b"["[..]),
        ("modules.json", b"{"),
        ("model.safetensors", b"\xff\xff\xff\xff\xff\xff\xff\x7f{}"),
    ] {
        let copy = Copy::new();
        fs::write(copy.path(file), bytes).expect("written");
        assert!(matches!(copy.refused(), RuntimeError::Format(_)), "{file}");
        fs::remove_file(copy.path(file)).expect("removed");
        assert!(file == "modules.json" || matches!(copy.refused(), RuntimeError::Format(_)), "{file}");
    }
    let copy = Copy::new();
    fs::remove_file(copy.path("tokenizer.json")).expect("removed");
    assert!(matches!(copy.refused(), RuntimeError::Tokenizer(TokenizerError::Io(_))));
}

#[test]
fn a_weight_that_is_no_number_is_named() {
    let copy = Copy::new();
    let path = copy.path("model.safetensors");
    let mut bytes = fs::read(&path).expect("read");
    let at = bytes.len() - 8;
    bytes[at..][..4].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&path, bytes).expect("written");
    let error = copy.refused();
    assert!(matches!(error, RuntimeError::Format(FormatError::NotFinite { value, .. }) if value.is_nan()), "{error}");
}
