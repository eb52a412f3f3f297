//! The ids of `tokenizers` for the same file, whatever the text.

use itera_tokenizer::{TokenId, TokenizerError, VocabularyProblem, WordPiece};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Every letter of these begins a word and goes on in one, and some more pieces.
const LETTERS: &str = "abcdefghijklmnopqrstuvwxyzABCDE0123456789éüßñçœıſ,.!?-'_$+<|>~^`«»…“漢字国かガ한국кириλςσ中ب़";
const PIECES: [&str; 12] =
    ["the", "##ing", "hello", "##lo", "##o w", "un", "##aff", "##able", "naive", "##ve", "##国", "ß##"];

fn file(lowercase: bool, strip: Value, clean: bool, spaced: bool) -> Value {
    let specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[MASK]x"];
    let letters = LETTERS.chars().flat_map(|c| [c.to_string(), format!("##{c}")]);
    let all = specials.iter().chain(&PIECES).map(|text| text.to_string()).chain(letters);
    let vocab: serde_json::Map<String, Value> = all.zip(0_u32..).map(|(text, id)| (text, id.into())).collect();
    let added = specials.iter().map(|text| {
        let id = &vocab[*text];
        json!({ "id": id, "content": text, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true })
    });
    let special = |text: &str| json!({ "SpecialToken": { "id": text, "type_id": 0 } });
    let named = |text: &str| json!({ "id": text, "ids": [vocab[text]], "tokens": [text] });
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added.collect::<Vec<_>>(),
        "normalizer": { "type": "BertNormalizer", "clean_text": clean, "handle_chinese_chars": spaced, "strip_accents": strip, "lowercase": lowercase },
        "pre_tokenizer": { "type": "BertPreTokenizer" },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [special("[CLS]"), { "Sequence": { "id": "A", "type_id": 0 } }, special("[SEP]")],
            "pair": [special("[CLS]"), { "Sequence": { "id": "A", "type_id": 0 } }, { "Sequence": { "id": "B", "type_id": 1 } }],
            "special_tokens": { "[CLS]": named("[CLS]"), "[SEP]": named("[SEP]") },
        },
        "decoder": null,
        "model": { "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 12, "vocab": vocab },
    })
}

fn ours(file: &Value) -> Result<WordPiece, TokenizerError> {
    WordPiece::from_json(file.to_string().as_bytes())
}

fn library(file: &Value, max_tokens: usize) -> tokenizers::Tokenizer {
    let mut file = file.clone();
    file["truncation"] =
        json!({ "direction": "Right", "max_length": max_tokens, "strategy": "LongestFirst", "stride": 0 });
    file.to_string().parse().expect("the library reads it")
}

fn ids(tokens: &[TokenId]) -> Vec<u32> {
    tokens.iter().map(|token| token.0).collect()
}

/// Every way in which texts can be normalised.
fn files() -> Vec<Value> {
    let flags = [false, true];
    let strips = [Value::Null, true.into(), false.into()];
    let all = flags.into_iter().flat_map(|lower| strips.clone().map(|strip| (lower, strip)));
    let all = all.flat_map(|(lower, strip)| flags.map(|clean| (lower, strip.clone(), clean)));
    let all = all.flat_map(|(lower, strip, clean)| flags.map(|spaced| file(lower, strip.clone(), clean, spaced)));
    all.collect()
}

#[test]
fn odd_texts_have_the_ids_of_the_library() {
    let long = "a".repeat(13);
    let texts = [
        "",
        " ",
        "\t\n\r",
        "hello world",
        "Hello, WORLD!",
        "unaffable",
        "naïve nai\u{308}ve",
        "the[MASK]ing",
        "[CLS] [SEP]",
        "[MASK]x",
        "[mask] [PAD",
        "[[MASK]]",
        "漢字kanji国",
        "ガ か\u{3099}",
        "한국",
        "ΣΑΣ ς",
        "İI ıi ſ ß ẞ",
        "a\u{0}b\u{fffd}c\u{200b}d\u{ad}e",
        "\u{a0}nbsp\u{3000}wide\u{2028}line",
        "don't can’t “quoted” «so»…",
        "$1,000.50+~^`|<>",
        "a़b ب\u{651}",
        "e\u{301}\u{301}é",
        "\u{1f600}😀 🇩🇪",
        "\u{e000}\u{f0000}private",
        "\u{10ffff}\u{378}none",
        "ﬁ ﬃ Ǆ ǅ",
        "１２３ ½ Ⅳ",
        &long,
        "a-b_c",
        "\u{85}next",
        "\u{feff}bom",
        "x\u{1c}y\u{1d}z",
    ];
    for file in files() {
        let (ours, library) = (ours(&file).expect("read"), library(&file, 64));
        for text in texts {
            let expected = library.encode(text, true).expect("encoded");
            assert_eq!(ids(&ours.encode(text, 64)), expected.get_ids(), "{text:?} {}", file["normalizer"]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Each case some texts of any letters, of those of the vocabulary, and of every part of Unicode.
    #[test]
    fn any_text_has_the_ids_of_the_library(
        which in 0_usize..24,
        max_tokens in 2_usize..40,
        texts in prop::collection::vec(prop_oneof![
            any::<String>(),
            "[ a-eA-E,.'\\[\\]CLSEPMASK#oxing]{0,40}",
            "(the|ing|hello|lo|un|aff|able|\\[MASK\\]|\\[SEP\\]|国|é|e\u{301}| |,|x|\u{200d}|\u{3000}){0,30}",
            "[\u{2b0}-\u{1fff}\u{3040}-\u{ffff}\u{1d400}-\u{1f9ff} ]{0,20}",
        ], 16),
    ) {
        let file = &files()[which];
        let (ours, library) = (ours(file).expect("read"), library(file, max_tokens));
        for text in texts {
            let expected = library.encode(text.as_str(), true).expect("encoded");
            prop_assert_eq!(ids(&ours.encode(&text, max_tokens)), expected.get_ids(), "{:?}", text);
        }
    }
}

#[test]
fn a_text_is_cut_before_its_end_is_written() {
    let tokenizer = ours(&file(true, Value::Null, true, true)).expect("read");
    let whole = tokenizer.encode("hello hello hello", usize::MAX);
    assert_eq!((whole.len(), tokenizer.max_tokens()), (5, None));
    for max in [2, 3, 4] {
        let cut = tokenizer.encode("hello hello hello", max);
        assert_eq!((cut.len(), &cut[..max - 1], cut[max - 1]), (max, &whole[..max - 1], whole[4]));
    }
    for max in [0, 1] {
        assert_eq!(tokenizer.encode("hello", max), [whole[0], whole[4]]);
    }
}

#[test]
fn files_of_other_kinds_are_refused_by_the_key_that_shows_it() {
    let whole = file(true, Value::Null, true, true);
    let changed = |pointer: &str, value: Value| {
        let mut file = whole.clone();
        *file.pointer_mut(pointer).expect("there") = value;
        ours(&file).expect_err("refused")
    };
    for (pointer, value, key) in [
        ("/model/type", json!("BPE"), "model.type"),
        ("/normalizer", json!({ "type": "NFC" }), "normalizer"),
        ("/pre_tokenizer", json!({ "type": "Whitespace" }), "pre_tokenizer"),
        ("/post_processor", json!(null), "post_processor"),
        ("/added_tokens/0/lstrip", json!(true), "added_tokens"),
        ("/added_tokens/0/normalized", json!(true), "added_tokens"),
        ("/truncation", json!({ "direction": "Left", "max_length": 8 }), "truncation.direction"),
    ] {
        let error = changed(pointer, value);
        assert!(matches!(&error, TokenizerError::UnsupportedWordPiece { key: found, .. } if *found == key), "{error}");
    }
    assert!(matches!(changed("/model/unk_token", "none".into()), TokenizerError::NoToken { token } if token == "none"));
    assert!(matches!(changed("/model/vocab", json!(3)), TokenizerError::WordPieceJson(_)));
    let twice = changed("/added_tokens/0/id", 5.into());
    assert!(matches!(twice, TokenizerError::Vocabulary(VocabularyProblem::TwoIds { .. })));
    let huge = changed("/model/vocab/the", u32::MAX.into());
    assert!(matches!(huge, TokenizerError::Vocabulary(VocabularyProblem::Tokens { .. })));
    assert!(matches!(WordPiece::from_json(b"{"), Err(TokenizerError::WordPieceJson(_))));
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
    assert!(matches!(WordPiece::from_json(pointer), Err(TokenizerError::LfsPointer)));
}
