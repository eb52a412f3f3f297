//! The tokenizer in memory: encode, decode, and what each token stands for.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::file::Parts;
use crate::{END_OF_TEXT, PAD, Result, TokenId, TokenizerError};

/// A byte-level BPE tokenizer. Any UTF-8 text round-trips: `decode(encode(text)) == text`.
///
/// Shared between threads by reference; encoding takes no lock that a reader waits for.
#[derive(Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// Text of each token as bytes; special tokens stand for none.
    bytes: Vec<Vec<u8>>,
    end_of_text: TokenId,
    pad: TokenId,
}

impl Tokenizer {
    /// The tokenizer that needs no training: ids 0 and 1 are `<|endoftext|>` and `<|pad|>`, and
    /// byte `n` has id `n + 2`.
    pub fn byte() -> Self {
        Self::from_parts(Parts::bytes_only()).expect("256 bytes and two special tokens make a tokenizer")
    }

    pub(crate) fn from_parts(parts: Parts) -> Result<Self> {
        let bytes = parts.token_bytes()?;
        let end_of_text = parts.special(END_OF_TEXT).ok_or(TokenizerError::NoEndOfText)?;
        let pad = parts.special(PAD).unwrap_or(end_of_text);
        Ok(Self { inner: parts.into_tokenizer()?, bytes, end_of_text, pad })
    }

    /// The tokens of a text, in order. Nothing is added at either end.
    ///
    /// The text of a special token is ordinary text here: its pieces are encoded, never its id.
    pub fn encode(&self, text: &str) -> Vec<TokenId> {
        let encoding = self.inner.encode_fast(text, false).expect("every byte has a token, so encoding cannot fail");
        encoding.get_ids().iter().copied().map(TokenId).collect()
    }

    /// The text of the tokens. Special tokens, and ids outside the vocabulary, stand for nothing; UTF-8 that was cut
    /// within a character becomes U+FFFD.
    pub fn decode(&self, ids: &[TokenId]) -> String {
        String::from_utf8_lossy(&self.decode_bytes(ids)).into_owned()
    }

    /// The bytes of the tokens, one token after the other.
    pub fn decode_bytes(&self, ids: &[TokenId]) -> Vec<u8> {
        ids.iter().flat_map(|&id| self.bytes_of(id)).copied().collect()
    }

    /// Bytes of text that a token stands for: 0 for special tokens and for ids outside the vocabulary.
    ///
    /// Over the tokens of a text the sum is the length of the text, which makes bits per byte exact.
    pub fn token_bytes(&self, id: TokenId) -> usize {
        self.bytes_of(id).len()
    }

    pub(crate) fn bytes_of(&self, id: TokenId) -> &[u8] {
        self.bytes.get(id.index()).map_or(&[], Vec::as_slice)
    }

    /// Number of tokens; ids are `0..vocab_size`.
    pub fn vocab_size(&self) -> usize {
        self.bytes.len()
    }

    /// The token before the first of a document: the one that ended the document before it.
    pub fn bos(&self) -> TokenId {
        self.end_of_text
    }

    /// The token that ends a document.
    pub fn eos(&self) -> TokenId {
        self.end_of_text
    }

    /// The token that fills a batch; eos where a loaded tokenizer has none of its own.
    pub fn pad(&self) -> TokenId {
        self.pad
    }

    /// The `tokenizer.json` of this tokenizer, on one line. Equal tokenizers give equal bytes.
    pub fn to_json(&self) -> String {
        self.inner.to_string(false).expect("a tokenizer of strings and numbers is representable as JSON")
    }

    /// SHA-256 of [`Self::to_json`] in hexadecimal: two tokenizers with the same one are interchangeable.
    pub fn fingerprint(&self) -> String {
        format!("{:x}", Sha256::digest(self.to_json()))
    }

    pub(crate) fn text_of_special(&self, id: TokenId) -> String {
        self.inner.id_to_token(id.0).expect("special tokens are in the vocabulary")
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokenizer")
            .field("vocab_size", &self.vocab_size())
            .field("end_of_text", &self.end_of_text)
            .field("pad", &self.pad)
            .finish_non_exhaustive()
    }
}
