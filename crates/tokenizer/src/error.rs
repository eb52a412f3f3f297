//! What can go wrong with a tokenizer.

use std::path::PathBuf;

use itera_files::FileError;

use crate::{END_OF_TEXT, MAX_VOCAB_SIZE, TokenId};

/// An error of this crate. Its text says what is; the causes are its sources.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// The system refused.
    #[error(transparent)]
    Io(#[from] FileError),
    /// A file was read, but what it holds is refused.
    #[error("the tokenizer {} cannot be used", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why it is refused.
        source: Box<TokenizerError>,
    },
    /// The bytes are not the JSON of a BPE tokenizer.
    #[error("not a `tokenizer.json` of a BPE tokenizer")]
    Json(#[from] serde_json::Error),
    /// The few lines that Git leaves in place of a large file.
    #[error("a Git LFS pointer, not the `tokenizer.json` that it stands for")]
    LfsPointer,
    /// The file is longer than any sane tokenizer.
    #[error("the tokenizer is {size_bytes} bytes long; at most {max_bytes} are read")]
    TooLarge {
        /// Length of the file.
        size_bytes: usize,
        /// Longest that is read.
        max_bytes: usize,
    },
    /// A tokenizer of a kind that is not spoken here.
    #[error("`{key}` is {found}, but only byte-level BPE of the GPT-2 kind is supported: {supported}")]
    Unsupported {
        /// Key of `tokenizer.json`.
        key: &'static str,
        /// Its value, shortened.
        found: String,
        /// What it may be.
        supported: &'static str,
    },
    /// The bytes are not the JSON of a WordPiece tokenizer.
    #[error("not a `tokenizer.json` of a WordPiece tokenizer")]
    WordPieceJson(#[source] serde_json::Error),
    /// A WordPiece tokenizer of a kind that is not spoken here, or none.
    #[error("`{key}` is {found}, but a WordPiece tokenizer is supported that has there: {supported}")]
    UnsupportedWordPiece {
        /// Key of `tokenizer.json`.
        key: &'static str,
        /// Its value, shortened.
        found: String,
        /// What it may be.
        supported: &'static str,
    },
    /// A token that other parts of a tokenizer name is none of its vocabulary.
    #[error("the vocabulary has no token {token:?}, which other parts of the tokenizer name")]
    NoToken {
        /// How it is spelled.
        token: String,
    },
    /// The vocabulary contradicts itself.
    #[error("vocabulary: {0}")]
    Vocabulary(VocabularyProblem),
    /// A byte has no token, and the tokenizer none that is used in its place.
    #[error("byte letter {letter:?} has no token; all 256 are needed, or an unknown token for those that have none")]
    NoByte {
        /// How a vocabulary spells the byte.
        letter: char,
    },
    /// The token that separates documents is missing.
    #[error("the tokenizer has no special token `{END_OF_TEXT}`, which separates documents")]
    NoEndOfText,
    /// The files of a model give a part to a token that the tokenizer has not set apart for it.
    #[error("token {id}, which the model has as its {role}, is no special token of the tokenizer")]
    NotSpecial {
        /// `bos`, `eos`, `pad` or `unk`.
        role: &'static str,
        /// The token.
        id: u32,
    },
    /// A size that no vocabulary can have.
    #[error("a vocabulary has {min} (its bytes and special tokens) to {MAX_VOCAB_SIZE} entries, not {vocab_size}")]
    VocabSize {
        /// Entries asked for.
        vocab_size: usize,
        /// Fewest possible.
        min: usize,
    },
}

/// How a vocabulary contradicts itself.
#[derive(Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum VocabularyProblem {
    /// It has more tokens than can be used.
    #[error("{n_tokens} entries; at most {MAX_VOCAB_SIZE} are supported")]
    Tokens {
        /// How many it has.
        n_tokens: usize,
    },
    /// The id of a special token is that of no token.
    #[error("special token {id} is none of the {n_tokens} tokens")]
    Special {
        /// The id.
        id: TokenId,
        /// How many tokens there are.
        n_tokens: usize,
    },
    /// A special token has an id as a token and another as a special one.
    #[error("special token {token:?} has ids {} and {}", ids[0], ids[1])]
    TwoIds {
        /// The token.
        token: String,
        /// Both of its ids.
        ids: [u32; 2],
    },
    /// Two tokens are spelled alike.
    #[error("tokens {} and {} are both {token:?}", ids[0], ids[1])]
    Alike {
        /// How they are spelled.
        token: String,
        /// Both of their ids.
        ids: [TokenId; 2],
    },
    /// Ids leave a gap, or two tokens share one.
    #[error("token {token:?} has id {id} where {expected} was expected; ids must run from 0 without gap or repetition")]
    Id {
        /// The token.
        token: String,
        /// Its id.
        id: u32,
        /// The id that it should have, by the order of ids.
        expected: u32,
    },
    /// A token that stands for no bytes.
    #[error("token {id}, {token:?}, has characters outside the byte-level alphabet")]
    Letters {
        /// Its id.
        id: u32,
        /// How it is spelled.
        token: String,
    },
    /// A merge that is not written as two tokens.
    #[error("merge {line:?} is not two tokens with a space between")]
    Line {
        /// The merge, as it is written.
        line: String,
    },
    /// A merge needs or makes what is no token.
    #[error("merge {:?} + {:?} needs {missing:?}, which is no token", parts[0], parts[1])]
    Merge {
        /// What it joins.
        parts: [String; 2],
        /// Which of them, or of both joined, is no token.
        missing: String,
    },
    /// A merge occurs a second time.
    #[error("merge {:?} + {:?} is listed twice", parts[0], parts[1])]
    Twice {
        /// What it joins.
        parts: [String; 2],
    },
}
