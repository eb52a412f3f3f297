//! tokens ⇄ file: a header and the token ids, memory-mapped
//!
//! ```text
//! offset  0  "ITERASHD"          magic
//!         8  u32                 version of this layout
//!        12  u32                 bytes a token: 2 or 4
//!        16  u64                 number of tokens
//!        24  [u8; 32]            SHA-256 of the token bytes
//!        56  u32                 1 + the unknown token; 0 if every byte has a token
//!        60  [0; 4]              so that the tokens begin at a multiple of 64
//!        64  tokens, little-endian
//! ```
//!
//! A byte without a token is the largest number that fits. It is read as the unknown token, which may be eos: so that a
//! document does not seem to end there, and the byte can be counted.

use std::{ops::Range, path::Path};

use itera_files::{MappedFile, Sha256Digest, write_atomic};
use itera_tokenizer::TokenId;

use crate::error::{Damage, DataError};

const MAGIC: &[u8; 8] = b"ITERASHD";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 64;

/// The token stream of a split: eos, then each document's tokens and eos. Cheap to hold, whatever its size.
#[derive(Debug)]
pub struct Shard {
    file: MappedFile,
    token_bytes: usize,
    len: usize,
    /// The token of bytes that have none.
    unknown: Option<TokenId>,
}

impl Shard {
    /// Map a shard, and check its length and hash.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or is not byte for byte what [`ShardWriter`] wrote.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let damaged = |damage| DataError::Damaged { path: path.into(), damage };
        let file = MappedFile::open(path)?;
        let (header, tokens) =
            file.bytes().split_first_chunk::<HEADER_BYTES>().ok_or_else(|| damaged(Damage::Short))?;
        let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        if &header[..8] != MAGIC || word(8) != VERSION {
            return Err(damaged(Damage::Version { version: VERSION }));
        }
        let token_bytes = match word(12) {
            bytes @ (2 | 4) => bytes as usize,
            other => return Err(damaged(Damage::TokenBytes(other))),
        };
        let promised = u64::from(word(16)) | u64::from(word(20)) << 32;
        let len = tokens.len() / token_bytes;
        if promised != len as u64 {
            let found_bytes = tokens.len();
            return Err(damaged(Damage::Length { n_tokens: promised, token_bytes, found_bytes }));
        }
        if hash(word(56), tokens).as_bytes() != &header[24..56] {
            return Err(damaged(Damage::Hash));
        }
        let unknown = word(56).checked_sub(1).map(TokenId);
        Ok(Self { file, token_bytes, len, unknown })
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no token.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The token at a position.
    ///
    /// # Panics
    ///
    /// If `index` is not below [`Self::len`].
    pub fn token(&self, index: usize) -> TokenId {
        TokenId(self.ids(index..index + 1).next().expect("a range of one token"))
    }

    /// Append the tokens of a range to `out`, as the signed integers that tensors hold.
    ///
    /// # Panics
    ///
    /// If the range does not lie within the shard.
    pub fn copy_range(&self, range: Range<usize>, out: &mut Vec<i32>) {
        out.extend(self.ids(range).map(|id| id as i32));
    }

    /// Whether the token at a position is a byte that has none, and not the end of a document.
    ///
    /// # Panics
    ///
    /// If `index` is not below [`Self::len`].
    pub fn is_unknown(&self, index: usize) -> bool {
        self.unknown.is_some() && self.stored(index..index + 1).any(|id| id == mark(self.token_bytes))
    }

    /// How many bytes of text have no token.
    pub fn n_unknown(&self) -> u64 {
        let unknown = self.unknown.map(|_| mark(self.token_bytes));
        unknown.map_or(0, |mark| self.stored(0..self.len).filter(|id| *id == mark).count() as u64)
    }

    /// Ranges of the documents, each without the eos before it and with the eos that ends it.
    pub fn documents(&self, eos: TokenId) -> impl Iterator<Item = Range<usize>> + '_ {
        let mut start = 1;
        std::iter::from_fn(move || {
            if start >= self.len {
                return None;
            }
            let length = self.stored(start..self.len).position(|id| id == eos.0).map_or(self.len - start, |at| at + 1);
            start += length;
            Some(start - length..start)
        })
    }

    fn ids(&self, range: Range<usize>) -> impl Iterator<Item = u32> + '_ {
        let unknown = self.unknown.map(|unknown| (mark(self.token_bytes), unknown.0));
        self.stored(range).map(move |id| unknown.filter(|(mark, _)| *mark == id).map_or(id, |(_, unknown)| unknown))
    }

    /// The numbers of the file.
    fn stored(&self, range: Range<usize>) -> impl Iterator<Item = u32> + '_ {
        let bytes = &self.file.bytes()[HEADER_BYTES..][range.start * self.token_bytes..range.end * self.token_bytes];
        bytes.chunks_exact(self.token_bytes).map(|token| match *token {
            [a, b] => u32::from(u16::from_le_bytes([a, b])),
            [a, b, c, d] => u32::from_le_bytes([a, b, c, d]),
            _ => unreachable!("a token has 2 or 4 bytes"),
        })
    }
}

/// What is stored of a byte that has no token.
fn mark(token_bytes: usize) -> u32 {
    if token_bytes == 2 { u16::MAX.into() } else { u32::MAX }
}

/// Hash of the tokens, and of the word for the unknown one where there is one.
fn hash(unknown: u32, tokens: &[u8]) -> Sha256Digest {
    match unknown {
        0 => Sha256Digest::of(tokens),
        word => Sha256Digest::of_parts([&word.to_le_bytes(), tokens]),
    }
}

/// Gathers a token stream and writes it as one file.
#[derive(Debug)]
pub struct ShardWriter {
    bytes: Vec<u8>,
    token_bytes: usize,
    unknown: Option<TokenId>,
}

impl ShardWriter {
    /// An empty stream of ids below `vocab_size`, of which `unknown` stands in text for bytes without a token: two bytes a
    /// token where that is enough.
    pub fn new(vocab_size: usize, unknown: Option<TokenId>) -> Self {
        let n_numbers = vocab_size + usize::from(unknown.is_some());
        let token_bytes = if n_numbers <= 1 << 16 { 2 } else { 4 };
        Self { bytes: vec![0; HEADER_BYTES], token_bytes, unknown }
    }

    /// Append tokens.
    pub fn extend(&mut self, ids: impl IntoIterator<Item = TokenId>) {
        for TokenId(id) in ids {
            self.bytes.extend_from_slice(&id.to_le_bytes()[..self.token_bytes]);
        }
    }

    /// Append the tokens of a text, of which each unknown one is a byte.
    pub fn extend_text(&mut self, ids: impl IntoIterator<Item = TokenId>) {
        let (unknown, mark) = (self.unknown, TokenId(mark(self.token_bytes)));
        self.extend(ids.into_iter().map(|id| if Some(id) == unknown { mark } else { id }));
    }

    /// Write the stream to `path`, atomically.
    pub fn finish(mut self, path: &Path) -> Result<(), DataError> {
        let (header, tokens) = self.bytes.split_at_mut(HEADER_BYTES);
        header[..8].copy_from_slice(MAGIC);
        header[8..12].copy_from_slice(&VERSION.to_le_bytes());
        header[12..16].copy_from_slice(&(self.token_bytes as u32).to_le_bytes());
        header[16..24].copy_from_slice(&((tokens.len() / self.token_bytes) as u64).to_le_bytes());
        let unknown = self.unknown.map_or(0, |TokenId(id)| id + 1);
        header[24..56].copy_from_slice(hash(unknown, tokens).as_bytes());
        header[56..60].copy_from_slice(&unknown.to_le_bytes());
        Ok(write_atomic(path, &self.bytes)?)
    }
}
