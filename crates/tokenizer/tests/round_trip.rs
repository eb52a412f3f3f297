//! `decode(encode(text)) == text`, byte counts that add up, and a stream that says the same as the whole.

use std::sync::LazyLock;

use itera_tokenizer::{END_OF_TEXT, PAD, TextStream, TokenId, Tokenizer};
use proptest::prelude::*;

static TOKENIZERS: LazyLock<[Tokenizer; 2]> = LazyLock::new(|| {
    let text = "the quick brown fox 🦊 jumps over the lazy dog; le cœur déçu mais l'âme plutôt naïve — 日本語の日本語 \
                the fox's dog, the dog's fox   <|endoftext|> 🦊🦊 1234 1212";
    let trained = Tokenizer::train_bpe([text, "the the the fox fox"].into_iter(), 330).expect("a tokenizer");
    [Tokenizer::byte(), trained]
});

/// Pieces that break careless tokenizers, in any order.
fn text() -> impl Strategy<Value = String> {
    let awkward = [
        "",
        " ",
        "   ",
        "\n\n",
        "\r\n",
        "\t \u{a0}\u{3000}",
        "\0\u{1b}\u{7f}\u{85}",
        "<|endoftext|>",
        "<|pad|>",
        "<|",
        "Ġ",
        "Ċ",
        "'s 'll 'LL",
        "e\u{301}\u{327}",
        "\u{202e}\u{200d}\u{feff}",
        "👩‍👩‍👧‍👦",
        "🇫🇷🏳️‍🌈",
        "ﷺ",
        "\u{10ffff}\u{fffd}",
        "the fox",
        "1234",
    ];
    let piece = prop_oneof![
        prop::sample::select(awkward.to_vec()).prop_map(String::from),
        any::<String>(),
        "[a-z ]{0,30}",
        any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn streamed(tokenizer: &Tokenizer, ids: &[TokenId]) -> String {
    let mut stream = TextStream::new(tokenizer);
    let mut text: String = ids.iter().map(|&id| stream.push(id)).collect();
    text += &stream.finish();
    text
}

proptest! {
    #[test]
    fn any_text_round_trips(text in text()) {
        for tokenizer in TOKENIZERS.iter() {
            let ids = tokenizer.encode(&text);
            prop_assert_eq!(&tokenizer.decode(&ids), &text);
            prop_assert_eq!(&streamed(tokenizer, &ids), &text);
            prop_assert_eq!(ids.iter().map(|&id| tokenizer.token_bytes(id)).sum::<usize>(), text.len());
            prop_assert!(ids.iter().all(|&id| id > TokenId(1) && id.index() < tokenizer.vocab_size()));
        }
    }

    /// A model may emit any ids: cut characters, special tokens, rows beyond the vocabulary.
    #[test]
    fn any_ids_decode_alike_at_once_and_one_by_one(ids in prop::collection::vec((0u32..340).prop_map(TokenId), 0..40)) {
        for tokenizer in TOKENIZERS.iter() {
            let bytes = tokenizer.decode_bytes(&ids);
            prop_assert_eq!(tokenizer.decode(&ids), String::from_utf8_lossy(&bytes));
            prop_assert_eq!(streamed(tokenizer, &ids), String::from_utf8_lossy(&bytes));
            prop_assert_eq!(ids.iter().map(|&id| tokenizer.token_bytes(id)).sum::<usize>(), bytes.len());
        }
    }
}

#[test]
fn a_character_is_emitted_with_its_last_byte() {
    let tokenizer = Tokenizer::byte();
    let mut stream = TextStream::new(&tokenizer);
    let emitted: Vec<_> = tokenizer.encode("a🦊").into_iter().map(|id| stream.push(id)).collect();
    assert_eq!(emitted, ["a", "", "", "", "🦊"]);
    assert_eq!(stream.finish(), "");
}

#[test]
fn a_byte_that_begins_no_character_is_not_held_back() {
    let tokenizer = Tokenizer::byte();
    let mut stream = TextStream::new(&tokenizer);
    let emitted: Vec<_> =
        [0xffu8, 0xf0, b'a'].into_iter().map(|byte| stream.push(TokenId(u32::from(byte) + 2))).collect();
    assert_eq!(emitted, ["\u{fffd}", "", "\u{fffd}a"]);
}

#[test]
fn the_byte_tokenizer_numbers_bytes_in_order() {
    let tokenizer = Tokenizer::byte();
    assert!((0..=255).all(|byte: u8| tokenizer.decode_bytes(&[TokenId(u32::from(byte) + 2)]) == [byte]));
}

#[test]
fn special_tokens_stand_for_no_text() {
    for tokenizer in TOKENIZERS.iter() {
        for id in [tokenizer.bos(), tokenizer.eos(), tokenizer.pad(), TokenId(u32::MAX)] {
            assert_eq!(tokenizer.token_bytes(id), 0);
            assert_eq!(tokenizer.decode(&[id]), "");
        }
    }
}

#[test]
fn the_text_of_a_special_token_is_ordinary_text() {
    for tokenizer in TOKENIZERS.iter() {
        for text in [END_OF_TEXT, PAD] {
            let ids = tokenizer.encode(text);
            assert!(ids.len() > 1 && !ids.contains(&tokenizer.eos()) && !ids.contains(&tokenizer.pad()), "{ids:?}");
        }
    }
}

/// Longer than a regex engine that backtracks would bear.
#[test]
fn long_runs_round_trip() {
    for (run, times) in [(" ", 1_100_000), ("a", 200_000), ("\n ", 200_000), ("🦊", 50_000)] {
        let text = run.repeat(times) + "end";
        for tokenizer in TOKENIZERS.iter() {
            let ids = tokenizer.encode(&text);
            assert!(tokenizer.decode(&ids) == text, "{run:?}");
        }
    }
}
