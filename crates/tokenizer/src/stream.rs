//! Tokens in, text out, as it is generated.

use std::mem;

use crate::token::TokenId;
use crate::tokenizer::Tokenizer;

/// Decodes one token at a time. A character whose bytes are spread over tokens is held back until it is whole.
///
/// All that is emitted, put together, is what [`Tokenizer::decode`] makes of all tokens at once.
#[derive(Clone, Debug)]
pub struct TextStream<'t> {
    tokenizer: &'t Tokenizer,
    /// The first bytes of a character that is not whole yet: three at most.
    pending: Vec<u8>,
}

impl<'t> TextStream<'t> {
    /// A stream that has seen nothing.
    pub fn new(tokenizer: &'t Tokenizer) -> Self {
        Self { tokenizer, pending: Vec::new() }
    }

    /// Takes a token and returns the text that it completes, which may be empty.
    pub fn push(&mut self, id: TokenId) -> String {
        self.pending.extend_from_slice(self.tokenizer.bytes_of(id));
        let whole = self.pending.len() - len_of_cut_character(&self.pending);
        let held_back = self.pending.split_off(whole);
        String::from_utf8_lossy(&mem::replace(&mut self.pending, held_back)).into_owned()
    }

    /// Ends the text: bytes still held back become U+FFFD.
    pub fn finish(self) -> String {
        String::from_utf8_lossy(&self.pending).into_owned()
    }
}

/// Bytes at the end that may yet become a character.
fn len_of_cut_character(bytes: &[u8]) -> usize {
    let last_invalid = bytes.utf8_chunks().last().map_or(&[][..], |chunk| chunk.invalid());
    match std::str::from_utf8(last_invalid) {
        Err(error) if error.error_len().is_none() => last_invalid.len(),
        _ => 0,
    }
}
