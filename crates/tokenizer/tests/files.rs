//! What is written can be read; what is not ours, or damaged, is refused by name and never panics.

use std::error::Error;

use itera_shape::SpecialIds;
use itera_tokenizer::{Alphabet, TokenId, Tokenizer, TokenizerError};
use proptest::prelude::*;
use serde_json::{Value, json};

fn trained() -> Tokenizer {
    Tokenizer::train_bpe(["the cat and the hat sat on the mat"].into_iter(), 270).expect("a tokenizer")
}

/// A tokenizer of the bytes of its text alone.
fn of_its_text() -> Tokenizer {
    let text = "the cat and the hat sat on the mat";
    Tokenizer::train_bpe_watched([text].into_iter(), 24, Alphabet::Text, &mut |_| {}).expect("a tokenizer")
}

/// The message with which a changed tokenizer is refused.
fn refusal(change: impl FnOnce(&mut Value)) -> String {
    let mut file: Value = serde_json::from_str(&trained().to_json()).expect("JSON");
    change(&mut file);
    Tokenizer::from_json(file.to_string().as_bytes()).expect_err("a refusal").to_string()
}

#[test]
fn a_directory_round_trips() {
    let dir = tempfile::tempdir().expect("a directory");
    for tokenizer in [Tokenizer::byte(), trained(), of_its_text()] {
        tokenizer.write_dir(dir.path(), 4096).expect("written");
        let loaded = Tokenizer::load_dir(dir.path()).expect("loaded");
        assert_eq!(loaded.to_json(), tokenizer.to_json());
        assert_eq!(loaded.fingerprint(), tokenizer.fingerprint());
        assert_eq!(loaded.encode("the cat's 🐈"), tokenizer.encode("the cat's 🐈"));

        let settings = std::fs::read_to_string(dir.path().join("tokenizer_config.json")).expect("settings");
        let settings: Value = serde_json::from_str(&settings).expect("JSON");
        assert_eq!(settings["eos_token"], "<|endoftext|>");
        assert_eq!(settings["model_max_length"], 4096);
        assert_eq!(settings.get("unk_token").is_some(), tokenizer.unknown().is_some());
        assert_eq!(loaded.unknown(), tokenizer.unknown());
    }
}

#[test]
fn fingerprints_tell_tokenizers_apart() {
    let fingerprint = trained().fingerprint();
    assert_eq!(fingerprint.len(), 64);
    assert_eq!(fingerprint, trained().fingerprint());
    assert_ne!(fingerprint, Tokenizer::byte().fingerprint());
}

#[test]
fn its_parts_make_the_same_tokenizer() {
    for tokenizer in [Tokenizer::byte(), trained(), of_its_text()] {
        let unknown = tokenizer.unknown().map(|id| id.0);
        let (tokens, merges): (Vec<_>, Vec<_>) = (tokenizer.spellings().collect(), tokenizer.merges().collect());
        let specials: Vec<u32> = tokenizer.specials().iter().map(|id| id.0).collect();
        let same = Tokenizer::from_parts(&tokens, &merges, &specials, unknown, tokenizer.special_ids());
        let same = same.expect("a tokenizer");
        assert_eq!(same.to_json(), tokenizer.to_json());
        assert_eq!(same.encode("the cat's 🐈"), tokenizer.encode("the cat's 🐈"));
    }
    for tokenizer in [Tokenizer::byte(), trained()] {
        let (tokens, merges): (Vec<_>, Vec<_>) = (tokenizer.spellings().collect(), tokenizer.merges().collect());
        let specials: Vec<u32> = tokenizer.specials().iter().map(|id| id.0).collect();
        let refusal = |tokens: &[&str], merges: &[[&str; 2]], specials: &[u32]| {
            let refused = Tokenizer::from_parts(tokens, merges, specials, None, tokenizer.special_ids());
            refused.expect_err("a refusal").to_string()
        };
        let twice: Vec<_> = tokens.iter().copied().chain(["a"]).collect();
        assert!(refusal(&twice, &merges, &specials).contains("both \"a\""));
        assert!(refusal(&tokens, &merges, &[0, 1, 999]).contains("special token 999"));
        assert!(refusal(&tokens, &merges, &[1]).contains("token 0, which the model has as its bos"));
        assert!(refusal(&tokens[..200], &[], &specials).contains("all 256 are needed"));
        assert!(refusal(&tokens, &[["a", "日"]], &specials).contains("\"日\", which is no token"));
    }
}

#[test]
fn a_model_says_which_tokens_begin_and_end_documents() {
    let json = trained().to_json().replace("<|endoftext|>", "<|im_end|>").replace("<|pad|>", "<|im_start|>");
    let error = Tokenizer::from_json(json.as_bytes()).expect_err("a refusal").to_string();
    assert!(error.contains("<|endoftext|>"), "{error}");
    let ids = SpecialIds { bos: 1, eos: 0, pad: 1 };
    let tokenizer = Tokenizer::from_json_of_model(json.as_bytes(), ids).expect("a tokenizer");
    assert_eq!((tokenizer.bos(), tokenizer.eos(), tokenizer.pad()), (TokenId(1), TokenId(0), TokenId(1)));
    assert_eq!(tokenizer.encode("the cat <|im_end|>"), trained().encode("the cat <|im_end|>"));
    let dir = tempfile::tempdir().expect("a directory");
    tokenizer.write_dir(dir.path(), 4096).expect("written");
    let settings = std::fs::read_to_string(dir.path().join("tokenizer_config.json")).expect("settings");
    let settings: Value = serde_json::from_str(&settings).expect("JSON");
    assert_eq!((&settings["bos_token"], &settings["eos_token"]), (&json!("<|im_start|>"), &json!("<|im_end|>")));

    for (ids, named) in [
        (SpecialIds { bos: 2, ..ids }, "token 2, which the model has as its bos"),
        (SpecialIds { eos: 270, ..ids }, "token 270, which the model has as its eos"),
        (SpecialIds { pad: u32::MAX, ..ids }, "as its pad"),
    ] {
        let error = Tokenizer::from_json_of_model(json.as_bytes(), ids).expect_err("a refusal").to_string();
        assert!(error.contains(named), "{error}");
    }
}

#[test]
fn a_missing_or_foreign_file_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let missing = Tokenizer::load_dir(dir.path()).expect_err("no file").to_string();
    assert!(missing.contains("tokenizer.json"), "{missing}");
    std::fs::write(dir.path().join("tokenizer.json"), "{}").expect("written");
    let foreign = Tokenizer::load_dir(dir.path()).expect_err("no tokenizer");
    assert!(foreign.to_string().contains("tokenizer.json"), "{foreign}");
    let why = foreign.source().and_then(Error::source).expect("what JSON lacks");
    assert!(why.to_string().contains("model"), "{why}");
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 2203239\n";
    let refused = Tokenizer::from_json(pointer.as_bytes()).expect_err("no tokenizer");
    assert!(matches!(refused, TokenizerError::LfsPointer), "{refused}");
}

#[test]
fn what_could_break_the_round_trip_is_refused() {
    type Change = fn(&mut Value);
    let cases: [(Change, &str); 14] = [
        (|f| f["model"]["type"] = json!("Unigram"), "model.type"),
        (|f| f["model"]["dropout"] = json!(0.1), "model.dropout"),
        (|f| f["model"]["ignore_merges"] = json!(true), "ignore_merges"),
        (|f| f["model"]["continuing_subword_prefix"] = json!("##"), "continuing_subword_prefix"),
        (|f| f["normalizer"] = json!({"type": "NFC"}), "NFC"),
        (|f| f["pre_tokenizer"]["add_prefix_space"] = json!(true), "add_prefix_space"),
        (|f| f["pre_tokenizer"] = json!({"type": "Whitespace"}), "Whitespace"),
        (|f| f["decoder"] = Value::Null, "decoder"),
        (|f| f["added_tokens"] = json!([]), "<|endoftext|>"),
        (|f| f["added_tokens"][0]["special"] = json!(false), "added_tokens"),
        (|f| f["added_tokens"][0]["id"] = json!(7), "ids 7 and 0"),
        (|f| f["model"]["merges"][3] = f["model"]["merges"][2].clone(), "twice"),
        (|f| f["model"]["merges"][0] = json!(["q", "q"]), "\"qq\", which is no token"),
        (
            |f| {
                f["model"]["vocab"]["<|pad|"] = json!(270);
                f["model"]["merges"][0] = json!(["<|pad|", ">"]);
            },
            "\"<|pad|>\", which is no token",
        ),
    ];
    for (change, named) in cases {
        let message = refusal(change);
        assert!(message.contains(named), "{named}: {message}");
    }
}

#[test]
fn a_vocabulary_that_contradicts_itself_is_refused() {
    let with = |token: &'static str, id: u32| move |file: &mut Value| file["model"]["vocab"][token] = json!(id);
    for (message, named) in [
        (refusal(with("a", 5)), "without gap or repetition"),
        (refusal(with("new", u32::MAX)), "without gap or repetition"),
        (refusal(with("日", 270)), "byte-level alphabet"),
        (refusal(|file| drop(file["model"]["vocab"].as_object_mut().and_then(|vocab| vocab.remove("a")))), "gap"),
    ] {
        assert!(message.contains(named), "{named}: {message}");
    }
}

/// GPT-2's own file: `<|endoftext|>` comes last, there is no padding token, merges are lines, affixes are empty.
#[test]
fn the_older_form_is_read() {
    let mut file: Value = serde_json::from_str(&trained().to_json()).expect("JSON");
    let mut tokens: Vec<_> = file["model"]["vocab"].as_object().expect("vocab").keys().skip(2).cloned().collect();
    tokens.push("<|endoftext|>".into());
    let end_of_text = tokens.len() - 1;
    file["model"]["vocab"] = tokens.into_iter().zip((0..).map(|id: u32| json!(id))).collect();
    file["added_tokens"] = json!([{"id": end_of_text, "content": "<|endoftext|>", "special": true}]);
    file["model"]["continuing_subword_prefix"] = json!("");
    let merges = file["model"]["merges"].as_array().expect("merges").iter();
    file["model"]["merges"] = merges
        .map(|pair| format!("{} {}", pair[0].as_str().expect("left"), pair[1].as_str().expect("right")))
        .collect();

    let older = Tokenizer::from_json(file.to_string().as_bytes()).expect("a tokenizer");
    assert_eq!(older.eos().index(), end_of_text);
    assert_eq!(older.pad(), older.eos());
    let shifted: Vec<_> = trained().encode("the cat").into_iter().map(|id| TokenId(id.0 - 2)).collect();
    assert_eq!(older.encode("the cat"), shifted);
}

/// What is read as an alphabet of the text, and what is not.
#[test]
fn bytes_without_a_token_need_an_unknown_one() {
    let json: Value = serde_json::from_str(&of_its_text().to_json()).expect("JSON");
    assert_eq!((&json["model"]["unk_token"], &json["model"]["fuse_unk"]), (&json!("<|endoftext|>"), &json!(false)));
    let read = |change: fn(&mut Value)| {
        let mut json = json.clone();
        change(&mut json);
        Tokenizer::from_json(json.to_string().as_bytes())
    };
    let refused = |change| read(change).expect_err("a refusal");
    let missing = refused(|f| f["model"]["unk_token"] = Value::Null);
    assert!(matches!(missing, TokenizerError::NoByte { letter: 'Ā' }), "{missing}");
    let absent = refused(|f| f["model"]["unk_token"] = json!("<unk>"));
    assert!(matches!(absent, TokenizerError::NoByte { .. }), "{absent}");
    let ordinary = refused(|f| f["model"]["unk_token"] = json!("a"));
    assert!(matches!(ordinary, TokenizerError::NotSpecial { role: "unk", id: 1 }), "{ordinary}");
    let fused = refused(|f| f["model"]["fuse_unk"] = json!(true)).to_string();
    assert!(fused.contains("fuse_unk"), "{fused}");
    let falls_back = refused(|f| f["model"]["byte_fallback"] = json!(true)).to_string();
    assert!(falls_back.contains("byte_fallback"), "{falls_back}");

    // another special token may stand for them
    let own = read(|f| {
        f["model"]["vocab"]["<unk>"] = json!(24);
        f["model"]["unk_token"] = json!("<unk>");
        let end_of_text = f["added_tokens"][0].take();
        f["added_tokens"] = json!([end_of_text, {"id": 24, "content": "<unk>", "special": true}]);
    });
    let own = own.expect("a tokenizer");
    assert_eq!((own.unknown(), own.eos()), (Some(TokenId(24)), TokenId(0)));
    assert_eq!(own.encode("aZ"), [TokenId(1), TokenId(24)]);
}

/// An unknown token that nothing needs is left out: such a file has always been read as the same tokenizer.
#[test]
fn an_unknown_token_means_nothing_where_every_byte_has_one() {
    let mut json: Value = serde_json::from_str(&trained().to_json()).expect("JSON");
    json["model"]["unk_token"] = json!("<|endoftext|>");
    json["model"]["fuse_unk"] = json!(true);
    let read = Tokenizer::from_json(json.to_string().as_bytes()).expect("a tokenizer");
    assert_eq!((read.unknown(), read.fingerprint()), (None, trained().fingerprint()));
}

#[test]
fn a_truncated_file_is_refused_at_every_length() {
    let json = Tokenizer::byte().to_json();
    for length in 0..json.len() {
        assert!(Tokenizer::from_json(&json.as_bytes()[..length]).is_err(), "{length}");
    }
}

proptest! {
    /// Either it is refused, or it is another tokenizer that keeps the promise.
    #[test]
    fn damage_never_breaks_the_promise(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut json = Tokenizer::byte().to_json().into_bytes();
        let at = at.index(json.len());
        json[at] = byte;
        if let Ok(tokenizer) = Tokenizer::from_json(&json) {
            prop_assert_eq!(tokenizer.decode(&tokenizer.encode("a cat, 🐈\0")), "a cat, 🐈\0");
        }
    }
}
