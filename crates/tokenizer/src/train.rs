//! documents → counts of words → most frequent pairs joined → vocabulary.

use ahash::AHashMap;
use compact_str::CompactString;
use rayon::prelude::*;
use rustc_hash::FxHashMap;
use tokenizers::AddedToken;
use tokenizers::models::bpe::{BPE, BpeTrainer};

use crate::alphabet::letters;
use crate::parts::Parts;
use crate::words::{PIECE_LEN, pieces, words};
use crate::{END_OF_TEXT, MAX_VOCAB_SIZE, PAD, Result, Tokenizer, TokenizerError};

/// The special tokens and the 256 bytes, which every vocabulary holds.
const MIN_VOCAB_SIZE: usize = 258;

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
        if !(MIN_VOCAB_SIZE..=MAX_VOCAB_SIZE).contains(&vocab_size) {
            return Err(TokenizerError::VocabSize { vocab_size, min: MIN_VOCAB_SIZE });
        }
        let failed = |error: tokenizers::Error| TokenizerError::Train(error.to_string());
        let mut model = BPE::default();
        trainer(vocab_size).do_train(&spelled_counts(documents), &mut model).map_err(failed)?;
        let mut tokenizer = Parts::bytes_only().to_library()?;
        tokenizer.with_model(model);
        let json = tokenizer.to_string(false).map_err(failed)?;
        Self::from_json(json.as_bytes())
    }
}

fn trainer(vocab_size: usize) -> BpeTrainer {
    BpeTrainer::builder()
        .vocab_size(vocab_size)
        .show_progress(false)
        .special_tokens([END_OF_TEXT, PAD].map(|text| AddedToken::from(text, true)).into())
        .initial_alphabet(letters().into())
        .build()
}

/// How often each word occurs, in the letters of the byte alphabet and the types that the trainer asks for.
fn spelled_counts<'t>(documents: impl Iterator<Item = &'t str> + Send) -> AHashMap<CompactString, u64> {
    let letters = letters();
    let pieces = documents.flat_map(|document| pieces(document, PIECE_LEN));
    let counts = pieces.par_bridge().fold(FxHashMap::default, count).reduce(FxHashMap::default, |mut sum, counts| {
        counts.into_iter().for_each(|(word, n)| *sum.entry(word).or_default() += n);
        sum
    });
    let spell = |word: &str| word.bytes().map(|byte| letters[usize::from(byte)]).collect();
    counts.into_iter().map(|(word, n)| (spell(word), n)).collect()
}

/// Count the words of a piece too.
fn count<'t>(mut counts: FxHashMap<&'t str, u64>, piece: &'t str) -> FxHashMap<&'t str, u64> {
    words(piece).for_each(|word| *counts.entry(word).or_default() += 1);
    counts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokenizers::models::TrainerWrapper;

    use super::*;

    /// What the trainer makes of documents that it splits and counts itself.
    fn theirs(documents: &[String], vocab_size: usize) -> String {
        let mut tokenizer = Parts::bytes_only().to_library().expect("a tokenizer");
        let trainer = trainer(vocab_size);
        tokenizer.train(&mut TrainerWrapper::from(trainer), documents.iter()).expect("it trains");
        tokenizer.to_string(false).expect("JSON")
    }

    proptest! {
        #[test]
        fn counting_words_here_changes_nothing(
            documents in prop::collection::vec("[ab ]{0,40}('s|1|\\n|é|\\PC{1,12}){0,6}", 0..20),
            vocab_size in 258usize..400,
        ) {
            let ours = Tokenizer::train_bpe(documents.iter().map(String::as_str), vocab_size).expect("a tokenizer");
            prop_assert_eq!(ours.to_json(), theirs(&documents, vocab_size));
        }
    }
}
