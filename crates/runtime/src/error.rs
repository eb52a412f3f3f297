//! What can go wrong between a file and its next token.

use itera_formats::FormatError;
use itera_tokenizer::{TokenId, TokenizerError};

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// The file cannot be opened, or is not a model.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The tokenizer beside the weights is not one that is read.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// A tensor has another shape than the configuration demands.
    #[error("tensor `{name}` has shape {found:?}, expected {expected:?}")]
    Shape {
        /// The tensor.
        name: String,
        /// The shape that the configuration demands.
        expected: Vec<usize>,
        /// The shape that it has.
        found: Vec<usize>,
    },
    /// No such token.
    #[error("token {token} is outside the vocabulary of {vocab_size}")]
    Token {
        /// The token.
        token: TokenId,
        /// Entries of the vocabulary.
        vocab_size: usize,
    },
    /// Nothing to predict from.
    #[error("the prompt has no token")]
    EmptyPrompt,
    /// The attention layers would have to look back further than the model promises.
    #[error("a text of {len} tokens is too long: the model's longest context is {max_seq_len}")]
    ContextFull {
        /// Tokens that the text would have, those seen before included.
        len: usize,
        /// The longest context.
        max_seq_len: usize,
    },
    /// A state belongs to a model of another shape.
    #[error("the state belongs to a model of another shape")]
    ForeignState,
    /// Bytes that are no state of this model.
    #[error("not a state of this model")]
    State(#[from] StateError),
}

/// Why bytes are no state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// They do not begin as a saved state does.
    #[error("it does not begin as a saved state does")]
    Magic,
    /// Another version of the format.
    #[error("it is of version {found}, this program reads version {supported}")]
    Version {
        /// The version found.
        found: u32,
        /// The version read here.
        supported: u32,
    },
    /// Saved from a model of another shape.
    #[error("it was saved from a model of another shape")]
    OtherModel,
    /// More positions than the model has.
    #[error("it has seen {position} positions, the model's longest context is {max_seq_len}")]
    Position {
        /// The position found.
        position: u64,
        /// The longest context.
        max_seq_len: usize,
    },
    /// Cut short, or with something behind it.
    #[error("it is {found} bytes long, expected {expected}")]
    Length {
        /// Bytes that it must have.
        expected: usize,
        /// Bytes that it has.
        found: usize,
    },
    /// The checksum does not fit.
    #[error("its checksum does not fit: a byte was changed")]
    Damaged,
}

/// What the functions of this crate return.
pub type Result<T, E = RuntimeError> = std::result::Result<T, E>;
