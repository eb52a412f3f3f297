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

/// Which bytes have a token, whatever else is learnt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Alphabet {
    /// All 256, behind the special tokens `<|endoftext|>` and `<|pad|>`.
    #[default]
    Bytes,
    /// Those of the text, behind the special token `<|endoftext|>`, which is the [unknown](Tokenizer::unknown) one too.
    Text,
}

impl Alphabet {
    /// The tokens that every vocabulary begins with.
    fn specials(self) -> &'static [&'static str] {
        match self {
            Self::Bytes => &[END_OF_TEXT, PAD],
            Self::Text => &[END_OF_TEXT],
        }
    }

    /// The bytes that have a token, in the order of their letters, which is that of their ids.
    fn bytes(self, counts: &FxHashMap<&str, u64>) -> Vec<u8> {
        let mut is_used = [self == Self::Bytes; 256];
        counts.keys().flat_map(|word| word.bytes()).for_each(|byte| is_used[usize::from(byte)] = true);
        let letters = letters();
        let mut bytes: Vec<u8> = (0..=255).filter(|byte| is_used[usize::from(*byte)]).collect();
        bytes.sort_unstable_by_key(|byte| letters[usize::from(*byte)]);
        bytes
    }
}

impl Tokenizer {
    /// Trains a byte-level BPE (arXiv 1508.07909 over bytes) on documents, with a token for every byte.
    ///
    /// The vocabulary has `vocab_size` entries, or fewer where the text has no more pairs to join. The result depends
    /// on the text alone: not on the order of the documents, nor on the number of threads.
    ///
    /// # Errors
    ///
    /// If `vocab_size` is below 258 (two special tokens and the bytes) or above [`MAX_VOCAB_SIZE`].
    pub fn train_bpe<'t>(documents: impl Iterator<Item = &'t str> + Send, vocab_size: usize) -> Result<Self> {
        Self::train_bpe_watched(documents, vocab_size, Alphabet::Bytes, &mut |_| {})
    }

    /// [`Self::train_bpe`] with tokens for the bytes of an alphabet, telling `watch` the number of entries so far: first the
    /// special tokens and the bytes when the words are counted, then after each pair that was joined.
    ///
    /// # Errors
    ///
    /// If `vocab_size` is below the number of special tokens and bytes, or above [`MAX_VOCAB_SIZE`].
    pub fn train_bpe_watched<'t>(
        documents: impl Iterator<Item = &'t str> + Send,
        vocab_size: usize,
        alphabet: Alphabet,
        watch: &mut dyn FnMut(usize),
    ) -> Result<Self> {
        let counts = counts(documents);
        let (specials, bytes) = (alphabet.specials(), alphabet.bytes(&counts));
        let min = specials.len() + bytes.len();
        if !(min..=MAX_VOCAB_SIZE).contains(&vocab_size) {
            return Err(TokenizerError::VocabSize { vocab_size, min });
        }
        let mut id_of = [0; 256];
        (specials.len() as u32..).zip(&bytes).for_each(|(id, byte)| id_of[usize::from(*byte)] = id);
        let first = specials.iter().map(|text| text.as_bytes().to_vec());
        let first = first.chain(bytes.iter().map(|byte| vec![*byte])).collect();

        let learner = Learner::new(counts.iter().map(|(word, count)| (word.as_bytes(), *count)), &id_of);
        let Learnt { tokens, merges } = learner.learn(first, vocab_size, watch);

        let letters = letters();
        let spell = |token: &Vec<u8>| token.iter().map(|byte| letters[usize::from(*byte)]).collect();
        let learnt = tokens[specials.len()..].iter().map(spell);
        let spelled: Vec<String> = specials.iter().copied().map(String::from).chain(learnt).collect();
        let merges = merges.iter().map(|&(left, right)| [left, right].map(|id| spelled[id as usize].as_str()));
        let specials = (0..specials.len() as u32).map(TokenId).collect();
        let unknown = (alphabet == Alphabet::Text).then_some(TokenId(0));
        Self::of_parts(Parts::new(spelled.iter().collect(), merges, specials, unknown)?, None)
    }
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
    fn theirs(documents: &[String], vocab_size: usize, alphabet: Alphabet) -> String {
        let specials = alphabet.specials().iter().map(|text| AddedToken::from(*text, true)).collect();
        let (initial, parts) = match alphabet {
            Alphabet::Bytes => (letters().into(), Parts::bytes_only()),
            Alphabet::Text => (Default::default(), Parts::nothing_but_end_of_text()),
        };
        let trainer = BpeTrainer::builder()
            .vocab_size(vocab_size)
            .show_progress(false)
            .special_tokens(specials)
            .initial_alphabet(initial)
            .build();
        let mut tokenizer = parts.to_library();
        tokenizer.train(&mut TrainerWrapper::from(trainer), documents.iter()).expect("it trains");
        tokenizer.to_string(false).expect("JSON")
    }

    fn trained(documents: &[String], vocab_size: usize, alphabet: Alphabet) -> Result<Tokenizer> {
        let documents = documents.iter().map(String::as_str);
        Tokenizer::train_bpe_watched(documents, vocab_size, alphabet, &mut |_| {})
    }

    fn ours(documents: &[String], vocab_size: usize) -> Tokenizer {
        trained(documents, vocab_size, Alphabet::Bytes).expect("a tokenizer")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn the_vocabulary_is_that_of_the_library(
            documents in prop::collection::vec("[ab ]{0,40}('s|1|\\n|é|\\PC{1,12}){0,6}", 0..20),
            vocab_size in 258usize..400,
        ) {
            prop_assert_eq!(ours(&documents, vocab_size).to_json(), theirs(&documents, vocab_size, Alphabet::Bytes));
        }

        #[test]
        fn a_smaller_vocabulary_is_the_beginning_of_a_larger_one(
            documents in prop::collection::vec("[ab ]{0,40}('s|1|\\n|é|\\PC{1,2}){0,6}", 1..9),
            entries in 1usize..300,
            more in 0usize..200,
        ) {
            for alphabet in [Alphabet::Bytes, Alphabet::Text] {
                let Ok(larger) = trained(&documents, entries + more, alphabet) else { continue };
                let first = larger.first_entries(entries).map(|first| first.to_json());
                // a text may have no more pairs to join
                let is_whole = larger.vocab_size() >= entries;
                let smaller = trained(&documents, entries, alphabet).ok().filter(|_| is_whole);
                prop_assert_eq!(first, smaller.map(|smaller| smaller.to_json()));
            }
        }

        #[test]
        fn an_alphabet_of_the_text_is_that_of_the_library(
            documents in prop::collection::vec("[ab ]{0,40}('s|1|\\n|é|\\PC{1,2}){0,6}", 1..9),
            vocab_size in 40usize..200,
        ) {
            match trained(&documents, vocab_size, Alphabet::Text) {
                Ok(ours) => prop_assert_eq!(ours.to_json(), theirs(&documents, vocab_size, Alphabet::Text)),
                Err(TokenizerError::VocabSize { min, .. }) => {
                    let bytes: std::collections::BTreeSet<u8> = documents.iter().flat_map(|text| text.bytes()).collect();
                    prop_assert!(min == 1 + bytes.len() && min > vocab_size, "{} for {}", min, vocab_size);
                }
                Err(other) => prop_assert!(false, "{}", other),
            }
        }

        /// Long words over few letters: tokens are made in several ways, and pairs come back after they were joined.
        #[test]
        fn long_words_have_the_vocabulary_of_the_library(
            documents in prop::collection::vec("[acgt]{0,600}|(ab|ba){0,90}|[-=]{0,300}| {0,70}|(abc|cab|bca){0,60}", 1..5),
            vocab_size in 258usize..700,
        ) {
            prop_assert_eq!(ours(&documents, vocab_size).to_json(), theirs(&documents, vocab_size, Alphabet::Bytes));
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
        for (alphabet, first, vocab_size) in [(Alphabet::Bytes, 258, 262), (Alphabet::Text, 7, 11)] {
            let mut seen = vec![];
            let watch = &mut |n| seen.push(n);
            Tokenizer::train_bpe_watched(["hug pug hugs"].into_iter(), vocab_size, alphabet, watch)
                .expect("a tokenizer");
            assert_eq!((seen.first(), seen.last()), (Some(&first), Some(&vocab_size)));
            assert!(seen.is_sorted(), "{seen:?}");
        }
    }
}
