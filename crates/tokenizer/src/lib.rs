//! Text ⇄ token ids, in the GPT-2 manner: tokens stand for bytes, so every text has an encoding.
//!
//! ```text
//! documents ──train_bpe──▶ Tokenizer ──write_dir──▶ tokenizer.json, tokenizer_config.json
//!                              ▲                                 │
//!                              └───────────load_dir──────────────┘
//!
//! text ──split (GPT-2 regex)──▶ words ──bytes as letters──▶ merges ──▶ [TokenId]
//! [TokenId] ──bytes of each──▶ concatenated ──▶ text      (one token at a time: TextStream)
//! ```
//!
//! One kind of tokenizer is spoken here both ways, the one that `transformers` calls byte-level BPE and llama.cpp
//! calls `gpt-2`: no normaliser, no prefix space, the full alphabet of 256 bytes. [`Tokenizer::byte`] is the same
//! kind with no merges. A file of another kind is refused, because it could not promise
//! `decode(encode(text)) == text`.
//!
//! A small vocabulary may leave out the bytes that its text never uses ([`Alphabet::Text`]). Each of them, where it comes
//! up nevertheless, is the token [`Tokenizer::unknown`], which stands for no text: what else there is of the text
//! round-trips, and the loss can be counted.
//!
//! Two tokens are special and stand for no text: `<|endoftext|>` ends a document and precedes the next one (it is
//! both bos and eos, GPT-2's convention), `<|pad|>` fills a batch. A vocabulary without the unused bytes has the first
//! alone, which is its pad and its unknown token too, as in the GPT-2 release. The *text* `<|endoftext|>` is ordinary: a
//! document that contains it cannot forge the end of a document. Tokenizers of others may have other special tokens; the
//! model beside them says which of them are bos, eos and pad.
//!
//! Models that only read, those of the BERT family, have a [`WordPiece`], which encodes alone.
//!
//! ```
//! # fn main() -> Result<(), itera_tokenizer::TokenizerError> {
//! use itera_tokenizer::Tokenizer;
//!
//! let tokenizer = Tokenizer::train_bpe(["the cat and the hat", "the cat sat"].into_iter(), 270)?;
//! let ids = tokenizer.encode("the hat 🎩");
//! assert_eq!(tokenizer.decode(&ids), "the hat 🎩");
//! # Ok(())
//! # }
//! ```

mod alphabet;
mod directory;
mod encoder;
mod error;
mod file;
mod learner;
#[cfg(test)]
mod library;
mod parts;
mod stream;
mod texts;
mod token;
mod tokenizer;
mod train;
mod wordpiece;
mod words;

pub use error::{TokenizerError, VocabularyProblem};
pub use stream::TextStream;
pub use token::TokenId;
pub use tokenizer::Tokenizer;
pub use train::Alphabet;
pub use wordpiece::WordPiece;

/// Text of the token that ends a document and precedes the next one.
pub const END_OF_TEXT: &str = "<|endoftext|>";

/// Text of the token that fills a batch.
pub const PAD: &str = "<|pad|>";

/// Entries that a vocabulary may have at most: four times the largest in common use.
pub const MAX_VOCAB_SIZE: usize = 1 << 20;

/// What the functions of this crate return.
pub type Result<T, E = TokenizerError> = std::result::Result<T, E>;
