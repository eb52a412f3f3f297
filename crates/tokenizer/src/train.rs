//! documents → counts of words → most frequent pairs joined → vocabulary.

use rayon::prelude::*;
use rustc_hash::FxHashMap;

use crate::alphabet::letters;
use crate::error::TokenizerError;
use crate::learner::{Learner, Learnt};
use crate::parts::Parts;
use crate::token::TokenId;
use crate::tokenizer::Tokenizer;
use crate::words::{PIECE_LEN, pieces, words};
use crate::{END_OF_TEXT, MAX_VOCAB_SIZE, PAD, Result};

/// The tokens that every vocabulary begins with.
const SPECIALS: [&str; 2] = [END_OF_TEXT, PAD];

/// The special tokens and the 256 bytes, which every vocabulary holds.
const MIN_VOCAB_SIZE: usize = SPECIALS.len() + 256;

impl Tokenizer {
    /// Trains a byte-level BPE (arXiv 1508.07909 over bytes) on documents.
    ///
    /// The vocabulary has `vocab_size` entries, or fewer where the text has no more pairs to join. The result depends
    /// on the text alone: not on the order of the documents, nor on the number of threads.
    ///
    /// # Errors
    ///
    /// If `vocab_size` is below 258 (two special tokens and the bytes) or above [`MAX_VOCAB_SIZE`].
    pub fn train_bpe<'t>(documents: impl Iterator<Item = &'t str> + Send, vocab_size: usize) -> Result<Self> {
        Self::train_bpe_watched(documents, vocab_size, &mut |_| {})
    }

    /// [`Self::train_bpe`], telling `watch` the number of entries so far: first 258 when the words are counted, then after
    /// each pair that was joined.
    pub fn train_bpe_watched<'t>(
        documents: impl Iterator<Item = &'t str> + Send,
        vocab_size: usize,
        watch: &mut dyn FnMut(usize),
    ) -> Result<Self> {
        if !(MIN_VOCAB_SIZE..=MAX_VOCAB_SIZE).contains(&vocab_size) {
            return Err(TokenizerError::VocabSize { vocab_size, min: MIN_VOCAB_SIZE });
        }
        let (letters, bytes) = (letters(), bytes_in_order());
        let mut id_of = [0; 256];
        (SPECIALS.len() as u32..).zip(bytes).for_each(|(id, byte)| id_of[usize::from(byte)] = id);
        let first = SPECIALS.iter().map(|text| text.as_bytes().to_vec()).chain(bytes.map(|byte| vec![byte])).collect();

        let counts = counts(documents);
        let learner = Learner::new(counts.iter().map(|(word, count)| (word.as_bytes(), *count)), &id_of);
        let Learnt { tokens, merges } = learner.learn(first, vocab_size, watch);

        let spell = |token: &Vec<u8>| token.iter().map(|byte| letters[usize::from(*byte)]).collect();
        let spelled: Vec<String> =
            SPECIALS.map(String::from).into_iter().chain(tokens[SPECIALS.len()..].iter().map(spell)).collect();
        let merges = merges.iter().map(|&(left, right)| [left, right].map(|id| spelled[id as usize].as_str()));
        let specials = (0..SPECIALS.len() as u32).map(TokenId).collect();
        Self::of_parts(Parts::new(spelled.iter().collect(), merges, specials)?, None)
    }
}

/// The bytes in the order of their letters, which is that of their ids.
fn bytes_in_order() -> [u8; 256] {
    let letters = letters();
    let mut bytes: [u8; 256] = std::array::from_fn(|byte| byte as u8);
    bytes.sort_unstable_by_key(|byte| letters[usize::from(*byte)]);
    bytes
}

/// How often each word occurs.
fn counts<'t>(documents: impl Iterator<Item = &'t str> + Send) -> FxHashMap<&'t str, u64> {
    let pieces = documents.flat_map(|document| pieces(document, PIECE_LEN));
    pieces.par_bridge().fold(FxHashMap::default, count).reduce(FxHashMap::default, |mut sum, counts| {
        counts.into_iter().for_each(|(word, n)| *sum.entry(word).or_default() += n);
        sum
    })
}

/// Count the words of a piece too.
fn count<'t>(mut counts: FxHashMap<&'t str, u64>, piece: &'t str) -> FxHashMap<&'t str, u64> {
    words(piece).for_each(|word| *counts.entry(word).or_default() += 1);
    counts
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;
    use tokenizers::AddedToken;
    use tokenizers::models::TrainerWrapper;
    use tokenizers::models::bpe::BpeTrainer;

    use super::*;

    /// What the library makes of documents.
    fn theirs(documents: &[String], vocab_size: usize) -> String {
        let trainer = BpeTrainer::builder()
            .vocab_size(vocab_size)
            .show_progress(false)
            .special_tokens(SPECIALS.map(|text| AddedToken::from(text, true)).into())
            .initial_alphabet(letters().into())
            .build();
        let mut tokenizer = Parts::bytes_only().to_library();
        tokenizer.train(&mut TrainerWrapper::from(trainer), documents.iter()).expect("it trains");
        tokenizer.to_string(false).expect("JSON")
    }

    fn ours(documents: &[String], vocab_size: usize) -> Tokenizer {
        Tokenizer::train_bpe(documents.iter().map(String::as_str), vocab_size).expect("a tokenizer")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn the_vocabulary_is_that_of_the_library(
            documents in prop::collection::vec("[ab ]{0,40}('s|1|\\n|é|\\PC{1,12}){0,6}", 0..20),
            vocab_size in 258usize..400,
        ) {
            prop_assert_eq!(ours(&documents, vocab_size).to_json(), theirs(&documents, vocab_size));
        }

        /// Long words over few letters: tokens are made in several ways, and pairs come back after they were joined.
        #[test]
        fn long_words_have_the_vocabulary_of_the_library(
            documents in prop::collection::vec("[acgt]{0,600}|(ab|ba){0,90}|[-=]{0,300}| {0,70}|(abc|cab|bca){0,60}", 1..5),
            vocab_size in 258usize..700,
        ) {
            prop_assert_eq!(ours(&documents, vocab_size).to_json(), theirs(&documents, vocab_size));
        }
    }

    /// A million letters without a break took the library more than a quarter of an hour.
    #[test]
    fn the_length_of_a_word_costs_no_more_than_its_letters() {
        let mut seed = 1u64;
        let mut random = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            usize::from(seed.leading_zeros() == 0) + 2 * usize::from(seed & (1 << 62) != 0)
        };
        let dna: String = (0..300_000).map(|_| ["a", "c", "g", "t"][random()]).collect();
        let runs = ["a", " ", "-", "é"].map(|letter| letter.repeat(300_000));
        for text in runs.into_iter().chain([dna]) {
            let started = Instant::now();
            let tokenizer = ours(std::slice::from_ref(&text), 600);
            let ids = tokenizer.encode(&text);
            assert!(started.elapsed() < Duration::from_secs(60), "{:?} for {:?}…", started.elapsed(), &text[..8]);
            assert!(tokenizer.decode(&ids) == text);
        }
    }

    #[test]
    fn who_watches_sees_each_entry() {
        let mut seen = vec![];
        Tokenizer::train_bpe_watched(["hug pug hugs"].into_iter(), 262, &mut |n| seen.push(n)).expect("a tokenizer");
        assert_eq!((seen.first(), seen.last()), (Some(&258), Some(&262)));
        assert!(seen.is_sorted(), "{seen:?}");
    }
}
