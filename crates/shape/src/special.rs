//! The tokens that models and tokenizers agree on.

/// Ids of the special tokens, as the files of a model state them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpecialIds {
    /// The token before the first of a document.
    pub bos: u32,
    /// The token that ends a document.
    pub eos: u32,
    /// The token that fills a batch.
    pub pad: u32,
}
