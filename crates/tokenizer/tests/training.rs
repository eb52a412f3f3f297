//! Training depends on the text alone, and yields the vocabulary that was asked for.

use itera_tokenizer::{Alphabet, END_OF_TEXT, MAX_VOCAB_SIZE, PAD, TokenId, Tokenizer, TokenizerError};
use proptest::prelude::*;

/// Documents over a tiny alphabet: many pairs tie, and many tokens can be put together in two ways.
fn documents() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("[ab]{0,40}( [abc]{1,12}){0,6}", 1..30)
}

fn train(documents: &[impl AsRef<str> + Sync], vocab_size: usize, n_threads: usize) -> Tokenizer {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().expect("a thread pool");
    pool.install(|| Tokenizer::train_bpe(documents.iter().map(AsRef::as_ref), vocab_size)).expect("a tokenizer")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Hash maps are seeded anew in every training, so three runs of equal bytes rule out their order as well.
    #[test]
    fn neither_threads_nor_order_nor_hashing_shows(mut documents in documents(), vocab_size in 258usize..400) {
        let expected = train(&documents, vocab_size, 1).to_json();
        documents.reverse();
        for n_threads in [1, 2, 3] {
            prop_assert_eq!(&train(&documents, vocab_size, n_threads).to_json(), &expected);
        }
    }

    #[test]
    fn the_vocabulary_has_the_size_asked_for_or_all_there_is(vocab_size in 258usize..300) {
        let rich = train(&["a rose is a rose is a rose, and this sentence has pairs enough for forty merges"], vocab_size, 1);
        prop_assert_eq!(rich.vocab_size(), vocab_size);
        let poor = train(&["ab"], vocab_size, 1);
        prop_assert_eq!(poor.vocab_size(), vocab_size.min(259));
    }
}

#[test]
fn the_most_frequent_pair_is_joined_first() {
    let tokenizer = train(&["hug pug", "hug pun", "hug bun"], 259, 1);
    assert_eq!(tokenizer.token_bytes(TokenId(258)), 2);
    assert_eq!(tokenizer.decode(&[TokenId(258)]), "ug");
}

#[test]
fn no_text_at_all_leaves_the_bytes() {
    let trained = train(&[] as &[&str], 1000, 2);
    assert_eq!(trained.vocab_size(), Tokenizer::byte().vocab_size());
    assert_eq!(trained.encode("abc").len(), 3);
}

#[test]
fn special_tokens_come_first_and_are_never_learnt() {
    let corpus = vec![format!("{END_OF_TEXT}{END_OF_TEXT} {PAD}"); 50];
    let tokenizer = train(&corpus, 300, 1);
    assert_eq!((tokenizer.bos(), tokenizer.eos(), tokenizer.pad()), (TokenId(0), TokenId(0), TokenId(1)));
    let ids = tokenizer.encode(&corpus[0]);
    assert!(ids.iter().all(|&id| id > TokenId(1)), "{ids:?}");
}

#[test]
fn impossible_sizes_are_refused() {
    for vocab_size in [0, 257, MAX_VOCAB_SIZE + 1] {
        let error = Tokenizer::train_bpe(["text"].into_iter(), vocab_size).expect_err("an impossible size");
        assert!(matches!(error, TokenizerError::VocabSize { vocab_size: named, .. } if named == vocab_size), "{error}");
    }
}

fn of_its_text(text: &str, vocab_size: usize) -> Result<Tokenizer, TokenizerError> {
    Tokenizer::train_bpe_watched([text].into_iter(), vocab_size, Alphabet::Text, &mut |_| {})
}

#[test]
fn an_alphabet_of_the_text_leaves_its_place_to_merges() {
    let text = "hug pug, hug pun, hug bun";
    let tokenizer = of_its_text(text, 12).expect("a tokenizer");
    // <|endoftext|>, 8 bytes, 3 merges
    let spelled: Vec<&str> = tokenizer.spellings().collect();
    assert_eq!(spelled, [END_OF_TEXT, ",", "b", "g", "h", "n", "p", "u", "Ġ", "ug", "hug", "un"]);
    assert_eq!(tokenizer.specials(), [TokenId(0)]);
    let ids = (tokenizer.bos(), tokenizer.eos(), tokenizer.pad(), tokenizer.unknown());
    assert_eq!(ids, (TokenId(0), TokenId(0), TokenId(0), Some(TokenId(0))));
    assert_eq!(tokenizer.decode(&tokenizer.encode(text)), text);
}

#[test]
fn a_vocabulary_has_room_for_the_bytes_of_its_text() {
    assert_eq!(of_its_text("hug", 4).expect("a tokenizer").vocab_size(), 4);
    let error = of_its_text("hug", 3).expect_err("no room");
    assert!(matches!(error, TokenizerError::VocabSize { vocab_size: 3, min: 4 }), "{error}");
    assert!(matches!(of_its_text("hug", MAX_VOCAB_SIZE + 1), Err(TokenizerError::VocabSize { .. })));
    assert_eq!(of_its_text("", 1).expect("a tokenizer").vocab_size(), 1);
}

#[test]
fn a_smaller_vocabulary_of_an_alphabet_is_the_beginning_of_a_larger_one() {
    let text = "the cat and the hat sat on the mat";
    let (small, large) = (of_its_text(text, 20).expect("a tokenizer"), of_its_text(text, 26).expect("a tokenizer"));
    assert!(large.begins_with(&small) && !small.begins_with(&large));
    let of_bytes = train(&[text], 270, 1);
    assert!(!of_bytes.begins_with(&small) && !large.begins_with(&of_bytes));
}
