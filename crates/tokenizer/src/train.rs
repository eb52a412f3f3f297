//! documents → counts of words → most frequent pairs joined → vocabulary.

use tokenizers::AddedToken;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::BpeTrainer;

use crate::alphabet::letters;
use crate::file::Parts;
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
    pub fn train_bpe(
        documents: impl Iterator<Item = impl AsRef<str> + Send> + Send,
        vocab_size: usize,
    ) -> Result<Self> {
        if !(MIN_VOCAB_SIZE..=MAX_VOCAB_SIZE).contains(&vocab_size) {
            return Err(TokenizerError::VocabSize { vocab_size, min: MIN_VOCAB_SIZE });
        }
        let trainer = BpeTrainer::builder()
            .vocab_size(vocab_size)
            .show_progress(false)
            .special_tokens([END_OF_TEXT, PAD].map(|text| AddedToken::from(text, true)).into())
            .initial_alphabet(letters().into())
            .build();
        let mut tokenizer = Parts::bytes_only().into_tokenizer()?;
        tokenizer
            .train(&mut TrainerWrapper::from(trainer), documents)
            .map_err(|error| TokenizerError::Train(error.to_string()))?;
        let json = tokenizer.to_string(false).map_err(|error| TokenizerError::Train(error.to_string()))?;
        Self::from_json(json.as_bytes())
    }
}
