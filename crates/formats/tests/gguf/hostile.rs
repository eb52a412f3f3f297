//! Headers that no program would write.

use std::path::Path;

use itera_fixtures::noise;
use itera_formats::gguf::{Gguf, Value};
use itera_formats::{Listing, ModelFile, NumberType, TokenizerSource};
use itera_kernels::quant::Kind;
use itera_shape::{ModelConfig, PositionEmbedding};
use itera_testkit::chain;

use crate::support::{small, small_file, write};

/// A file under construction.
#[derive(Clone, Default)]
struct Header(Vec<u8>);

impl Header {
    fn start(n_tensors: u64, n_entries: u64) -> Self {
        Self(b"GGUF".to_vec()).u32(3).u64(n_tensors).u64(n_entries)
    }

    fn u32(mut self, number: u32) -> Self {
        self.0.extend(number.to_le_bytes());
        self
    }

    fn u64(mut self, number: u64) -> Self {
        self.0.extend(number.to_le_bytes());
        self
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    fn text(self, text: &str) -> Self {
        self.u64(text.len() as u64).bytes(text.as_bytes())
    }

    /// A tensor of f32 whose dimensions are given as files have them, the innermost first.
    fn tensor(self, name: &str, dims: &[u64], offset: u64) -> Self {
        self.tensor_of(name, dims, 0, offset)
    }

    /// A tensor of another type.
    fn tensor_of(self, name: &str, dims: &[u64], code: u32, offset: u64) -> Self {
        let header = self.text(name).u32(dims.len() as u32);
        dims.iter().fold(header, |header, size| header.u64(*size)).u32(code).u64(offset)
    }

    fn data(mut self, n_bytes: usize) -> Self {
        self.0.resize(self.0.len().next_multiple_of(32) + n_bytes, 0);
        self
    }

    fn refusal(&self) -> String {
        chain(&Gguf::parse(Path::new("hostile.gguf"), &self.0).map(drop).expect_err("refused"))
    }
}

const U32: u32 = 4;
const F32: u32 = 6;
const BOOL: u32 = 7;
const TEXT: u32 = 8;
const ARRAY: u32 = 9;

#[test]
fn what_breaks_the_format_is_named_with_its_place() {
    let entry = |key: &str, kind: u32| Header::start(0, 1).text(key).u32(kind);
    let one = |dims: &[u64], offset| Header::start(1, 0).tensor("w", dims, offset).data(64);
    let many = u64::from(u32::MAX);
    let cases = [
        (Header(b"GGML\x03\0\0\0".to_vec()), "the magic number, at byte 0"),
        (Header(b"GGUF".to_vec()).u32(1).data(64), "the version, at byte 4, is 1"),
        (Header::start(many, 0).data(64), "the number of tensors, at byte 8, is 4294967295"),
        (Header::start(0, u64::MAX).data(64), "the number of metadata entries, at byte 16"),
        (Header::start(0, 1).u64(u64::MAX).data(64), "the length of the key of metadata entry 0, at byte 24"),
        (Header::start(0, 1).u64(2).bytes(b"\xff\xfe").data(64), "entry 0, at byte 32, is not valid UTF-8"),
        (entry("k", 13).data(64), "the type of `k`, at byte 33, is 13"),
        (entry("k", BOOL).bytes(&[2]).data(64), "`k`, at byte 37, is 2, neither true nor false"),
        (entry("k", TEXT).u64(u64::MAX).data(64), "the length of `k`, at byte 37"),
        (entry("k", ARRAY).u32(ARRAY).data(64), "`k`, at byte 37, is an array of arrays"),
        (entry("k", ARRAY).u32(U32).u64(1 << 62).data(64), "the number of items of `k`, at byte 41"),
        (entry("k", ARRAY).u32(TEXT).u64(2).text("a").u64(99).data(0), "the length of item 1 of `k`"),
        (Header::start(0, 2).text("k").u32(BOOL).bytes(&[0]).text("k").u32(BOOL).bytes(&[0]).data(0), "given twice"),
        (entry("general.alignment", U32).u32(0).data(0), "`general.alignment`, at byte 24, is 0"),
        (entry("general.alignment", U32).u32(48).data(0), "is 48, not a power of two"),
        (entry("general.alignment", TEXT).text("32").data(0), "is \"32\""),
        (one(&[1, 1, 1, 1, 1], 0), "the number of dimensions of tensor `w`, at byte 33, is 5"),
        (one(&[1 << 63, 1 << 63], 0), "the shape of tensor `w`"),
        (one(&[1 << 62, 4, 0], 0), "the shape of tensor `w`"),
        (one(&[17], 0), "leaves 64 bytes for 68"),
        (one(&[1], 32), "the offset of tensor `w`, at byte 49, is 32 where 0 was expected"),
        (one(&[1], u64::MAX), "is 18446744073709551615"),
        (one(&[8], 0), "32 bytes that belong to nothing"),
        (Header::start(1, 0).tensor_of("w", &[33], 8, 0).data(64), "not whole blocks of 32"),
        (Header::start(1, 0).tensor_of("w", &[32], 12, 0).data(64), "not whole blocks of 256"),
        (Header::start(1, 0).tensor_of("w", &[513], 77, 0).data(64), "leaves 64 bytes for 513 numbers"),
        (Header::start(1, 0).tensor_of("w", &[1 << 62, 4], 77, 0).data(64), "the shape of tensor `w`"),
        (Header::start(2, 0).tensor_of("v", &[8], 77, 0).tensor("w", &[8], 40).data(72), "is 40 where 64 was"),
        (Header::start(2, 0).tensor_of("v", &[8], 77, 0).tensor("w", &[8], 96).data(96), "`w`, at byte 82"),
        (entry("k\u{1b}[2J\n", 13).data(0), "the type of `k\\u{1b}[2J\\n`, at byte"),
        (Header::start(1, 0).tensor("\u{9b}w\r", &[17], 0).data(64), "tensor `\\u{9b}w\\r`, at byte"),
        (Header::start(2, 0).tensor("w", &[8], 0).tensor("w", &[8], 32).data(64), "tensor `w`, at byte"),
        (Header::start(2, 0).tensor("v", &[8], 0).tensor("w", &[8], 0).data(64), "`w`, at byte 82, is 0 where 32"),
    ];
    for (header, named) in cases {
        let error = header.refusal();
        assert!(error.starts_with("hostile.gguf") && error.contains(named), "{named}: {error}");
    }
}

#[test]
fn an_unusual_file_is_read() {
    let header = Header::start(3, 3)
        .text("general.alignment")
        .u32(U32)
        .u32(8)
        .text("")
        .u32(ARRAY)
        .u32(1)
        .u64(3)
        .bytes(&[1, 0xff, 0x80])
        .text("f")
        .u32(12)
        .bytes(&0.1_f64.to_le_bytes())
        .tensor("scalar", &[], 0)
        .tensor("empty", &[0, 7], 8)
        .tensor("é", &[3, 1], 8);
    let padded = header.0.len().next_multiple_of(8);
    let mut file = header.0;
    file.resize(padded + 20, 0);
    let gguf = Gguf::parse(Path::new("file"), &file).expect("valid");
    let Some(Value::Array(items)) = gguf.entry("").map(|entry| entry.value) else { panic!("an array") };
    assert_eq!(items.iter().collect::<Vec<_>>(), [Value::Signed(1), Value::Signed(-1), Value::Signed(-128)]);
    assert_eq!(gguf.entry("f").map(|entry| entry.value), Some(Value::Float(0.1)));
    let tensors: Vec<_> = gguf.tensors.iter().map(|t| (t.name, &t.shape[..], t.range.clone())).collect();
    let at = |start: usize, end: usize| padded + start..padded + end;
    assert_eq!(tensors, [("scalar", &[][..], at(0, 4)), ("empty", &[7, 0], at(8, 8)), ("é", &[1, 3], at(8, 20))]);
}

/// Types of ggml's table that models are not run from, two that it had once, and one that it may have some day.
#[test]
fn tensors_of_every_type_are_listed() {
    let types: [(u32, &str, u64, usize); 9] = [
        (12, "q4_K", 256, 144),
        (14, "q6_K", 512, 420),
        (24, "i8", 7, 7),
        (26, "i32", 7, 28),
        (28, "f64", 3, 24),
        (31, "q4_0_4_4", 32, 18),
        (41, "q1_0", 128, 18),
        (4_000_000_000, "type 4000000000", 99, 32),
        (8, "q8_0", 32, 34),
    ];
    let mut offset = 0;
    let header = types.iter().fold(Header::start(9, 0), |header, (code, name, size, n_bytes)| {
        let header = header.tensor_of(&format!("a {name}"), &[*size], *code, offset as u64);
        offset += n_bytes.next_multiple_of(32);
        header
    });
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("all.gguf");
    std::fs::write(&path, header.data(offset).0).expect("written");
    let listing = Listing::of(&path).expect("a listing");
    let found: Vec<_> =
        listing.tensors.iter().map(|tensor| (tensor.stored_as.name(), tensor.n_params(), tensor.size_bytes)).collect();
    let expected = types.map(|(_, name, size, n_bytes)| (name, size as usize, n_bytes));
    assert_eq!(found, expected);
    assert_eq!(listing.tensors[8].stored_as, NumberType::Kind(Kind::Q8_0));
}

#[test]
fn a_model_of_a_type_that_is_not_run_from_names_tensor_and_type() {
    let mut file = small_file(Kind::F32);
    let name = b"blk.2.ssm_out.weight";
    let name_at = file.windows(name.len()).position(|window| window == name).expect("the name is there");
    // behind the number of dimensions and the two; as large as f32 is i32
    let type_at = name_at + name.len() + 4 + 2 * 8;
    file[type_at..type_at + 4].copy_from_slice(&26_u32.to_le_bytes());
    let error = chain(&ModelFile::from_gguf(file).expect_err("refused"));
    assert!(error.contains("`blk.2.ssm_out.weight` is stored as i32; models are run from f32, f16,"), "{error}");
}

/// A valid file with one text of its header replaced by another of the same length.
fn changed(from: &str, to: &str) -> Vec<u8> {
    changed_in(small_file(Kind::F32), from, to)
}

fn changed_in(mut file: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
    let at = file.windows(from.len()).position(|window| window == from.as_bytes()).expect("the text is there");
    file[at..at + to.len()].copy_from_slice(to.as_bytes());
    file
}

#[test]
fn another_tokenizer_is_refused_when_it_is_asked_for() {
    for (from, to, named) in [
        ("gpt2", "bert", "`tokenizer.ggml.model` is \"bert\" at byte"),
        ("gpt-2", "gpt-3", "`tokenizer.ggml.pre`"),
        ("Ā ā", "Ā-ā", "`tokenizer.ggml.merges`"),
    ] {
        let model = ModelFile::from_gguf(changed(from, to)).expect("opened");
        let error = chain(&model.tokenizer().expect_err("refused"));
        assert!(error.contains(named), "{named}: {error}");
    }
}

/// As llama.cpp reads it.
#[test]
fn without_types_of_tokens_end_of_text_is_known_by_its_spelling() {
    let model = ModelFile::from_gguf(changed("ggml.token_type", "ggml.token_tape")).expect("opened");
    let Ok(TokenizerSource::Vocabulary(found)) = model.tokenizer() else { panic!("a vocabulary") };
    assert_eq!((found.specials, found.unknown), (vec![257], Some(257)));
}

#[test]
fn tensors_of_another_model_are_refused() {
    for (from, to, named) in [
        (
            "blk.2.ssm_in",
            "blk.3.ssm_in",
            "`blk.2.ssm_in.weight` is missing, tensor `blk.3.ssm_in.weight` is unexpected",
        ),
        ("token_embd.weight", "token_embd.height", "`token_embd.weight` is absent"),
        ("granitehybrid.rope.freq_base", "granitehybrid.ssm.inner_size", "is given twice"),
        ("granitehybrid.ssm.inner_size", "granitehybrid.ssm.outer_size", "`granitehybrid.ssm.inner_size` is absent"),
    ] {
        let error = chain(&ModelFile::from_gguf(changed(from, to)).expect_err("refused"));
        assert!(error.contains(named), "{named}: {error}");
    }
}

/// `file` with one more metadata entry, given without its key's prefix.
fn with_entry(file: &[u8], key: &str, value: Header) -> Vec<u8> {
    let entry = Header::default().text(&format!("granitehybrid.{key}")).bytes(&value.0).text("filling").u32(TEXT);
    // tensors stay where they are if what comes before them grows by a multiple of the alignment
    let filling = " ".repeat(32 - (entry.0.len() + 8) % 32);
    let n_entries = u64::from_le_bytes(*file[16..].first_chunk().expect("eight bytes")) + 2;
    [&file[..16], &n_entries.to_le_bytes(), &entry.text(&filling).0, &file[24..]].concat()
}

#[test]
fn attention_of_another_sort_is_refused_by_its_key() {
    let text = |text: &str| Header::default().u32(TEXT).text(text);
    let size = |size: u32| Header::default().u32(U32).u32(size);
    let number = |number: f32| Header::default().u32(F32).bytes(&number.to_le_bytes());
    let file = |config: &ModelConfig| {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        write(&path, config, &noise(config), Kind::F32).expect("written");
        std::fs::read(path).expect("read")
    };
    let turning = file(&ModelConfig { position_embedding: PositionEmbedding::Rope, ..small() });
    let still = file(&small());
    for (key, supported, other) in [
        ("rope.scaling.type", text("none"), text("yarn")),
        ("rope.scaling.factor", number(1.0), number(4.0)),
        ("rope.scale_linear", number(1.0), number(2.0)),
        ("attention.value_length", size(16), size(32)),
    ] {
        assert!(ModelFile::from_gguf(with_entry(&turning, key, supported)).is_ok(), "{key}");
        let error = chain(&ModelFile::from_gguf(with_entry(&turning, key, other.clone())).expect_err("refused"));
        assert!(error.contains(&format!("`granitehybrid.{key}` is ")), "{key}: {error}");
        // positions that do not turn are not scaled either
        let found = ModelFile::from_gguf(with_entry(&still, key, other));
        assert_eq!(found.is_ok(), key.starts_with("rope"), "{key}");
    }
    // where the width of values is not given, it is d_model over the number of heads
    assert!(ModelFile::from_gguf(with_entry(&turning, "attention.key_length", size(16))).is_ok());
    let other = ModelFile::from_gguf(with_entry(&turning, "attention.key_length", size(8)));
    let error = chain(&other.expect_err("refused"));
    assert!(error.contains("`granitehybrid.attention.value_length` is absent; supported: 8"), "{error}");
    for (file, is_refused) in [(turning, true), (still, false)] {
        let file = changed_in(
            file,
            "granitehybrid.rope.dimension_count\x04\0\0\0\x10",
            "granitehybrid.rope.dimension_count\x04\0\0\0\x08",
        );
        assert_eq!(ModelFile::from_gguf(file).is_err(), is_refused);
    }
}

#[test]
fn a_file_of_no_model_of_this_family_is_refused() {
    for (header, named) in [
        (Header::start(0, 0).data(0), "`general.architecture` is absent"),
        (Header::start(0, 1).text("general.architecture").u32(TEXT).text("llama").data(0), "\"llama\" at byte 24"),
        (Header::start(0, 1).text("general.architecture").u32(TEXT).text("granite").data(0), "`granite.block_count`"),
    ] {
        let error = chain(&ModelFile::from_gguf(header.0).expect_err("refused"));
        assert!(error.contains("the file in memory") && error.contains(named), "{error}");
    }
}
