//! model → file → the same model, rounded as its kind says.

use itera_fixtures::noise;
use itera_formats::gguf::{GgufSource, Vocabulary, gguf_size_bytes, write_gguf};
use itera_formats::{
    FormatError, Listing, LlamaCppLimit, MetadataValue, ModelFile, NumberType, PackedTensor, RotaryPairs,
    TokenizerSource, pack_model,
};
use itera_kernels::quant::{Kind, dequantize, quantize};
use itera_shape::{ModelConfig, NamedTensor, SpecialIds, TensorRef};
use itera_testkit::chain;
use serde_json::json;

use crate::support::{SPECIAL, numbers, small, sorts, spellings, vocabulary, write};

/// What becomes of numbers in the kind that the writer gives to rows of this length.
fn rounded(kind: Kind, rows: &[f32], cols: usize) -> Vec<f32> {
    let kind = if kind.row_bytes(cols).is_some() { kind } else { Kind::F16 };
    let mut bytes = vec![0; rows.len() / kind.block_len() * kind.block_bytes()];
    let mut back = vec![0.0; rows.len()];
    quantize(kind, rows, &mut bytes);
    dequantize(kind, &bytes, &mut back);
    back
}

/// The rows of queries or keys, each pair of a head side by side.
fn paired(rows: &[f32], width: usize, cols: usize) -> Vec<f32> {
    let row = |head: usize, at: usize| rows[(head * width + at) * cols..][..cols].to_vec();
    let heads = rows.len() / width / cols;
    (0..heads).flat_map(|h| (0..width).flat_map(move |at| row(h, at % 2 * width / 2 + at / 2))).collect()
}

fn check(config: &ModelConfig, kind: Kind) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("model.gguf");
    let tensors = noise(config);
    let written = write(&path, config, &tensors, kind).expect("written");

    let model = ModelFile::open(&path).expect("opened");
    assert_eq!((model.config(), model.special_ids()), (config, SPECIAL));
    assert_eq!(model.rotary_pairs(), RotaryPairs::Neighbours);
    let spellings = spellings();
    let Ok(TokenizerSource::Vocabulary(found)) = model.tokenizer() else { panic!("a vocabulary") };
    assert_eq!(found, vocabulary(&spellings), "without the tokens that fill it up");

    let refs: Vec<TensorRef<'_>> = tensors.iter().map(NamedTensor::as_ref).collect();
    let exact = ModelFile::from_tensors(config, SPECIAL, &refs).expect("a model");
    let (mut n_matrices, mut n_vectors) = (0, 0);
    for name in names(config) {
        if let Ok(matrix) = exact.matrix(&name) {
            n_matrices += 1;
            let mut expected = numbers(matrix);
            if name.ends_with(".q_proj") || name.ends_with(".k_proj") {
                expected = paired(&expected, config.d_attention_head(), config.d_model);
            }
            let found = numbers(model.matrix(&name).expect("a matrix"));
            assert_eq!(found, rounded(kind, &expected, matrix.cols()), "{name}");
        } else {
            n_vectors += 1;
            let expected = exact.vector(&name).expect("a vector");
            assert_eq!(model.vector(&name).expect("a vector"), expected, "{name}");
        }
    }
    assert!(n_matrices > 10 && n_vectors > 6);

    let (n_params, size): (Vec<_>, Vec<_>) = written.iter().map(|tensor| (tensor.n_params, tensor.size_bytes)).unzip();
    assert_eq!(n_params.iter().sum::<usize>(), config.total_params());
    let file_bytes = std::fs::metadata(&path).expect("metadata").len() as usize;
    let header_bytes = file_bytes - size.iter().map(|bytes| bytes.next_multiple_of(32)).sum::<usize>();
    assert!((4_000..12_000).contains(&header_bytes), "{header_bytes}");
}

/// Every name that a model answers to.
fn names(config: &ModelConfig) -> Vec<String> {
    let experts = |mlp: &str, parts: &[&str]| -> Vec<String> {
        (0..config.n_experts).flat_map(|e| parts.iter().map(move |part| format!("{mlp}.{e}.{part}"))).collect()
    };
    let name_of = |name: String| match name.rsplit_once('.') {
        Some((mlp, "w_in")) if mlp.ends_with("moe") => experts(mlp, &["gate", "up"]),
        Some((mlp, "w_out")) if mlp.ends_with("moe") => experts(mlp, &["out"]),
        Some((mlp, "w_in")) => vec![format!("{mlp}.gate"), format!("{mlp}.up")],
        Some((mlp, "w_out")) => vec![format!("{mlp}.out")],
        Some((mixer, "a_log")) => vec![format!("{mixer}.a")],
        _ => vec![name],
    };
    let tensors = config.tensors().into_iter().flat_map(|spec| name_of(spec.name));
    tensors.chain(["head".to_owned()]).collect()
}

#[test]
fn every_sort_of_model_round_trips_in_f32() {
    sorts().iter().for_each(|config| check(config, Kind::F32));
}

#[test]
fn every_kind_is_rounded_as_it_says() {
    let kinds = Kind::all().into_iter().filter(|kind| *kind != Kind::F8E4M3);
    kinds.for_each(|kind| check(&small(), kind));
}

#[test]
fn a_kind_of_safetensors_alone_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let error = write(&dir.path().join("file"), &small(), &noise(&small()), Kind::F8E4M3).expect_err("refused");
    assert!(error.to_string().contains("f8_e4m3") && error.to_string().contains("q4_0"), "{error}");
}

#[test]
fn an_expanded_file_is_the_model_it_was_written_from() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("model.gguf");
    for (config, kind) in sorts().iter().flat_map(|config| [Kind::F32, Kind::Q8_0].map(|kind| (config, kind))) {
        let tensors = noise(config);
        write(&path, config, &tensors, kind).expect("written");
        let model = ModelFile::open(&path).expect("opened").expand().expect("expanded");
        assert_eq!((&model.config, model.special_ids), (config, SPECIAL));
        assert_eq!(model.tensors.len(), tensors.len());
        for ((found, given), spec) in model.tensors.iter().zip(&tensors).zip(config.tensors()) {
            assert_eq!((&found.name, &found.shape), (&given.name, &given.shape));
            let expected = match spec.role.is_matrix() {
                true => rounded(kind, &given.data, given.shape[given.shape.len() - 1]),
                false => given.data.clone(),
            };
            // a file holds −exp(a_log)
            let most = if given.name.ends_with("a_log") { 1e-6 } else { 0.0 };
            let mut off = found.data.iter().zip(&expected).map(|(found, expected)| (found - expected).abs());
            assert!(off.all(|off| off <= most), "{}", given.name);
        }
        let refs: Vec<TensorRef<'_>> = tensors.iter().map(NamedTensor::as_ref).collect();
        let in_memory = ModelFile::from_tensors(config, SPECIAL, &refs).expect("a model").expand().expect("expanded");
        let queries = |tensors: &[NamedTensor]| {
            tensors.iter().filter(|t| t.name.ends_with("q_proj")).cloned().collect::<Vec<_>>()
        };
        assert_eq!(queries(&in_memory.tensors), queries(&tensors), "a directory has the pairs of a head apart already");
    }
}

#[test]
fn equal_models_give_equal_bytes_whatever_the_order() {
    let dir = tempfile::tempdir().expect("a directory");
    let (config, tensors) = (small(), noise(&small()));
    let bytes = |tensors: &[NamedTensor]| {
        write(&dir.path().join("file"), &config, tensors, Kind::Q8_0).expect("written");
        std::fs::read(dir.path().join("file")).expect("read")
    };
    let reversed: Vec<_> = tensors.iter().rev().cloned().collect();
    assert_eq!(bytes(&tensors), bytes(&reversed));
    assert_eq!(std::fs::read_dir(dir.path()).expect("a directory").count(), 1);
}

#[test]
fn what_llama_cpp_cannot_run_is_refused_unless_allowed() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("model.gguf");
    for (config, limit) in [
        (ModelConfig { attention_layers: vec![], ..small() }, LlamaCppLimit::NoAttention),
        (ModelConfig { expand: 1, ..small() }, LlamaCppLimit::Expand { expand: 1 }),
        (ModelConfig { n_layers: 513, ..small() }, LlamaCppLimit::Layers { found: 513, most: 512 }),
        (ModelConfig { n_experts: 513, d_expert: 1, ..small() }, LlamaCppLimit::Experts { found: 513, most: 512 }),
    ] {
        let tensors = noise(&config);
        let error = write(&path, &config, &tensors, Kind::F32).expect_err("refused");
        assert!(matches!(error, FormatError::NotForLlamaCpp(found) if found == limit), "{error}");
        assert!(!path.exists());
    }
    let config = ModelConfig { attention_layers: vec![], n_kv_heads: 4, ..small() };
    let (spellings, tensors) = (spellings(), noise(&config));
    let tensors: Vec<TensorRef<'_>> = tensors.iter().map(NamedTensor::as_ref).collect();
    let vocabulary = &vocabulary(&spellings);
    let tensors = &pack_model(&config, &tensors, Kind::F32).expect("packed");
    let source = GgufSource { name: "", config: &config, special_ids: SPECIAL, vocabulary, tensors };
    write_gguf(&path, &source, true).expect("allowed");
    assert_eq!(*ModelFile::open(&path).expect("opened").config(), config);
}

/// A vocabulary without the bytes that its text never used says no more than a reader needs.
#[test]
fn end_of_text_alone_is_written_without_types_of_tokens() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("model.gguf");
    let letters: Vec<String> = spellings().into_iter().take(255).chain(["ĀāĂ".into()]).collect();
    let of = |specials: &[&'static str]| Vocabulary {
        tokens: specials.iter().copied().chain(letters.iter().map(String::as_str)).collect(),
        merges: vec![["Āā", "Ă"], ["Ā", "ā"]],
        specials: (0..specials.len() as u32).collect(),
        unknown: Some(0),
    };
    let optional = ["token_type", "padding_token_id", "unknown_token_id"];
    let all = SpecialIds { bos: 0, eos: 0, pad: 0 };
    for (specials, special_ids, n_filling, written) in [
        (&["<|endoftext|>"][..], all, 0, [false, false, false]),
        (&["<|endoftext|>"], SpecialIds { pad: 1, ..all }, 0, [false, true, false]),
        // what fills the vocabulary up is no text either
        (&["<|endoftext|>"], all, 1, [true, true, true]),
        (&["<|unknown|>"], all, 0, [true, true, true]),
        (&["<|unknown|>", "<|endoftext|>"], all, 0, [true, true, true]),
    ] {
        let vocabulary = of(specials);
        let config = ModelConfig { vocab_size: vocabulary.tokens.len() + n_filling, ..small() };
        let tensors = noise(&config);
        let tensors: Vec<TensorRef<'_>> = tensors.iter().map(NamedTensor::as_ref).collect();
        let tensors = &pack_model(&config, &tensors, Kind::F32).expect("packed");
        let source = GgufSource { name: "", config: &config, special_ids, vocabulary: &vocabulary, tensors };
        write_gguf(&path, &source, false).expect("written");
        assert_eq!(gguf_size_bytes(&source, false).ok(), std::fs::read(&path).ok().map(|bytes| bytes.len()));

        let keys: Vec<String> =
            Listing::of(&path).expect("a listing").metadata.into_iter().map(|(key, _)| key).collect();
        let has = optional.map(|key| keys.contains(&format!("tokenizer.ggml.{key}")));
        assert_eq!(has, written, "{specials:?}, {n_filling} more");
        let model = ModelFile::open(&path).expect("opened");
        let Ok(TokenizerSource::Vocabulary(found)) = model.tokenizer() else { panic!("a vocabulary") };
        assert_eq!((found, model.special_ids()), (vocabulary, special_ids), "{specials:?}, {n_filling} more");
    }
}

#[test]
fn what_contradicts_itself_is_not_written() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("model.gguf");
    let (config, tensors, spellings) = (small(), noise(&small()), spellings());
    let tensors: Vec<TensorRef<'_>> = tensors.iter().map(NamedTensor::as_ref).collect();
    let tensors = pack_model(&config, &tensors, Kind::F32).expect("packed");
    let good = vocabulary(&spellings);
    let long = Vocabulary { tokens: vec!["a"; 263], ..good.clone() };
    let stray = Vocabulary { specials: vec![260], ..good.clone() };
    for (tensors, vocabulary, named) in
        [(&tensors[1..], &good, "`embed`"), (&tensors[..], &long, "263 tokens"), (&tensors[..], &stray, "260")]
    {
        let source = GgufSource { name: "", config: &config, special_ids: SPECIAL, vocabulary, tensors };
        let error = chain(&write_gguf(&path, &source, false).expect_err("refused"));
        assert!(error.contains(named), "{error}");
    }
    let special_ids = SpecialIds { pad: 262, ..SPECIAL };
    let source = GgufSource { name: "", config: &config, special_ids, vocabulary: &good, tensors: &tensors };
    let error = chain(&write_gguf(&path, &source, false).expect_err("refused"));
    assert!(error.contains("`special_ids` is 262"), "{error}");
    assert_eq!(std::fs::read_dir(dir.path()).expect("a directory").count(), 0);
}

#[test]
fn a_listing_tells_what_was_written() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("model.gguf");
    let written = write(&path, &small(), &noise(&small()), Kind::Q8_0).expect("written");
    let listing = Listing::of(&path).expect("a listing");
    assert_eq!((listing.format.as_str(), listing.tensors.len()), ("GGUF 3", written.len()));
    for (listed, written) in listing.tensors.iter().zip(&written) {
        assert_eq!((&listed.name, &listed.stored_as), (&written.name, &NumberType::Kind(written.kind)));
        assert_eq!((listed.n_params(), listed.size_bytes), (written.n_params, written.size_bytes));
    }
    let says = |key: &str, value: MetadataValue| {
        assert!(listing.metadata.contains(&(key.to_owned(), value)), "{key}: {:?}", listing.metadata);
    };
    says("granitehybrid.embedding_length", MetadataValue::Whole(small().d_model.into()));
    says("granitehybrid.attention.head_count_kv", MetadataValue::Whole(json!([0, 2, 0])));
    let first = (0..8).map(|_| json!(1)).collect();
    says("tokenizer.ggml.token_type", MetadataValue::Long { len: small().vocab_size, first });
    assert_eq!(listing.file_bytes, std::fs::metadata(&path).expect("a file").len());
}

#[test]
fn each_tensor_may_have_a_kind_and_a_rounding_of_its_own() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("model.gguf");
    let (config, spellings) = (small(), spellings());
    let tensors = noise(&config);
    let mut packed: Vec<PackedTensor> = tensors
        .iter()
        .map(|tensor| {
            let kind = if tensor.name.ends_with("shared.w_in") { Kind::Q4_0 } else { Kind::F32 };
            PackedTensor::round(&tensor.as_ref(), kind).expect("whole blocks")
        })
        .collect();
    // blocks that rounding would not have made: the scale is not the one of the largest element
    let at = packed.iter().position(|tensor| tensor.name() == "layers.0.shared.w_in").expect("there is one");
    let chosen: Vec<u8> = packed[at].bytes().iter().map(|byte| byte & 0x3b).collect();
    packed[at] = PackedTensor::new(packed[at].name(), packed[at].shape(), Kind::Q4_0, chosen).expect("whole blocks");

    let vocabulary = &vocabulary(&spellings);
    let source = GgufSource { name: "", config: &config, special_ids: SPECIAL, vocabulary, tensors: &packed };
    write_gguf(&path, &source, false).expect("written");
    assert_eq!(
        std::fs::metadata(&path).expect("a file").len(),
        gguf_size_bytes(&source, false).expect("a size") as u64
    );
    let model = ModelFile::open(&path).expect("opened");
    let half = packed[at].numbers().len() / 2;
    assert_eq!(numbers(model.matrix("layers.0.shared.gate").expect("a matrix")), packed[at].numbers()[..half]);
    assert_eq!(numbers(model.matrix("layers.0.shared.up").expect("a matrix")), packed[at].numbers()[half..]);
    assert_eq!(model.matrix("layers.0.shared.out").expect("a matrix").kind(), Kind::F32);

    let router = packed.iter().position(|tensor| tensor.name().ends_with("router")).expect("there is one");
    let mut unsupported = packed.clone();
    unsupported[router] = PackedTensor::round(&tensors[router].as_ref(), Kind::F16).expect("whole blocks");
    let error = write_gguf(&path, &GgufSource { tensors: &unsupported, ..source }, false);
    let error = chain(&error.expect_err("refused"));
    assert!(error.contains("router") && error.contains("f16") && error.contains("f32"), "{error}");

    let narrow = TensorRef { name: "narrow", shape: &[2, 40], data: &[0.0; 80] };
    let error = chain(&PackedTensor::round(&narrow, Kind::Q4_0).expect_err("refused"));
    assert!(error.contains("`narrow`") && error.contains("multiple of 32"), "{error}");
}

#[test]
fn what_a_kind_cannot_hold_is_not_written() {
    // a NaN would become a code of 0; 1e37 / 127 is no f16, and the sum of the two ends of q4_1 is infinite
    for (kind, value) in [
        (Kind::Q8_0, f32::NAN),
        (Kind::Q4_0, f32::INFINITY),
        (Kind::Q8_0, -1e37),
        (Kind::Q4_1, 1e6),
        (Kind::F8E4M3, 465.0),
        (Kind::F16, 70_000.0),
    ] {
        let mut data = [0.5; 64];
        data[40] = value;
        let error =
            PackedTensor::round(&TensorRef { name: "w", shape: &[2, 32], data: &data }, kind).expect_err("refused");
        let FormatError::Unstorable { tensor, index, value: found, kind: of } = &error else { panic!("{error}") };
        assert_eq!((tensor.as_str(), *of), ("w", kind));
        // the numbers of a block fall together
        let same_block = index / kind.block_len() == 40 / kind.block_len();
        assert!(same_block && found.to_bits() == data[*index].to_bits(), "{error}");
    }
    let mut blocks = vec![0; 2 * 34];
    blocks[34..36].copy_from_slice(&[0, 0x7c]);
    let error = PackedTensor::new("w", &[2, 32], Kind::Q8_0, blocks).expect_err("an infinite scale");
    assert!(matches!(error, FormatError::Unstorable { index: 32, kind: Kind::Q8_0, .. }), "{error}");

    let mut tensors = noise(&small());
    let a_log = tensors.iter_mut().find(|tensor| tensor.name == "layers.0.mamba.a_log").expect("it is there");
    a_log.data[1] = 100.0;
    let dir = tempfile::tempdir().expect("a directory");
    let error = write(&dir.path().join("file"), &small(), &tensors, Kind::F32).expect_err("exp(100) is infinite");
    assert!(matches!(error, FormatError::Unstorable { index: 1, .. }), "{error}");
}

#[test]
fn a_number_of_a_file_that_is_not_finite_is_named() {
    let mut file = crate::support::small_file(Kind::Q8_0);
    let gguf = itera_formats::gguf::Gguf::parse(std::path::Path::new("file"), &file).expect("valid");
    let place = |name: &str| gguf.tensors.iter().find(|tensor| tensor.name == name).expect("it is there").range.clone();
    let (experts, norm) = (place("blk.2.ffn_up_exps.weight"), place("output_norm.weight"));
    // [3, 24, 64]: the scale of the second block of row 5 of expert 1
    let block = (24 + 5) * 2 + 1;
    file[experts.start + block * 34..][..2].copy_from_slice(&[0, 0x7e]);
    let model = ModelFile::from_gguf(file.clone()).expect("opened");
    for error in [model.check_finite().expect_err("refused"), model.expand().expect_err("refused")] {
        let FormatError::NotFinite { tensor, index, value, .. } = error else { panic!("{error}") };
        assert_eq!((tensor.as_str(), index, value.is_nan()), ("blk.2.ffn_up_exps.weight", block * 32, true));
    }
    file[norm.start + 8..norm.start + 12].copy_from_slice(&f32::NEG_INFINITY.to_le_bytes());
    let error = ModelFile::from_gguf(file).expect_err("refused").to_string();
    assert!(error.contains("tensor `output_norm.weight` holds -inf at index 2"), "{error}");
}

/// A file with one key more, whose value is `value` of type `kind`; a multiple of 32 bytes, so that its data stay aligned.
fn with_key(key: &str, kind: u32, value: &[u8]) -> Vec<u8> {
    let mut file = crate::support::small_file(Kind::F32);
    file[16] += 1;
    let entry = [&(key.len() as u64).to_le_bytes(), key.as_bytes(), &kind.to_le_bytes(), value].concat();
    assert!(entry.len().is_multiple_of(32), "{} bytes", entry.len());
    file.splice(24..24, entry);
    file
}

#[test]
fn a_file_may_have_the_template_of_a_chat() {
    let template = format!("{:53}", "{{ messages[0].content }}");
    let text = [&(template.len() as u64).to_le_bytes(), template.as_bytes()].concat();
    let model = ModelFile::from_gguf(with_key("tokenizer.chat_template", 8, &text[..])).expect("opened");
    assert_eq!(model.chat_template().expect("read"), Some(template));
    let model = ModelFile::from_gguf(crate::support::small_file(Kind::F32)).expect("opened");
    assert_eq!(model.chat_template().expect("read"), None);
    // 35 bytes and a list: type of its items, how many, the items
    let list = [&0_u32.to_le_bytes()[..], &17_u64.to_le_bytes(), &[0; 17]].concat();
    let model = ModelFile::from_gguf(with_key("tokenizer.chat_template", 9, &list)).expect("opened");
    let error = chain(&model.chat_template().expect_err("no text"));
    assert!(error.contains("tokenizer.chat_template"), "{error}");
}
