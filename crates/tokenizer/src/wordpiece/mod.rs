//! The tokenizer of BERT: words, and of each the longest piece that the vocabulary has, again and again.
//!
//! ```text
//! text ─ special tokens as they are spelled ─ normalise ─ words ─ pieces ─▶ [CLS] … [SEP], cut to a length
//! ```
//!
//! The ids are those of `tokenizers` (0.22) for the same `tokenizer.json`. There is no way back: a text that is read for its
//! meaning is not written.

mod file;
mod normalize;

use std::path::Path;

use hashbrown::HashMap;
use itera_files::failed_to;

use self::normalize::{Normalizer, words};
use crate::Result;
use crate::error::TokenizerError;
use crate::token::TokenId;

/// A tokenizer of the WordPiece kind.
#[derive(Clone, Debug)]
pub struct WordPiece {
    normalizer: Option<Normalizer>,
    /// Pieces that begin a word.
    first: HashMap<Box<str>, TokenId>,
    /// Pieces that go on in one, without what marks them.
    further: HashMap<Box<str>, TokenId>,
    /// Bytes of the longest piece.
    longest: usize,
    /// Words of more characters are unknown.
    max_word_chars: usize,
    unknown: TokenId,
    begin: TokenId,
    end: TokenId,
    /// Tokens that are found as they are spelled, whatever is around them, those that are prefixes of others last.
    specials: Vec<(Box<str>, TokenId)>,
    max_tokens: Option<usize>,
    n_ids: usize,
}

impl WordPiece {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// If the file cannot be read, or for the reasons of [`Self::from_json`]; the message names the file.
    pub fn from_file(path: &Path) -> Result<Self> {
        let json = std::fs::read(path).map_err(failed_to("read", path))?;
        Self::from_json(&json).map_err(|source| TokenizerError::File { path: path.to_owned(), source: source.into() })
    }

    /// One more than the largest id: rows that an embedding must have.
    pub fn n_ids(&self) -> usize {
        self.n_ids
    }

    /// The length that the file cuts texts to, `[CLS]` and `[SEP]` counted; `None` if it says none.
    pub fn max_tokens(&self) -> Option<usize> {
        self.max_tokens
    }

    /// The tokens of a text between `[CLS]` and `[SEP]`, the last ones left out where that is more than `max_tokens`, which
    /// counts these two; with fewer than two there are no others.
    pub fn encode(&self, text: &str, max_tokens: usize) -> Vec<TokenId> {
        let mut ids = vec![self.begin];
        let most = max_tokens.saturating_sub(2) + 1;
        for (part, special) in self.parts(text) {
            match special {
                Some(id) => ids.push(id),
                None => self.encode_part(part, most, &mut ids),
            }
            if ids.len() >= most {
                break;
            }
        }
        ids.truncate(most);
        ids.push(self.end);
        ids
    }

    /// Runs of text, and the special tokens between them.
    fn parts<'t>(&self, text: &'t str) -> impl Iterator<Item = (&'t str, Option<TokenId>)> {
        let mut rest = text;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let at_start = |text: &str| self.specials.iter().find(|(special, _)| text.starts_with(&**special));
            if let Some((special, id)) = at_start(rest) {
                let (found, after) = rest.split_at(special.len());
                rest = after;
                return Some((found, Some(*id)));
            }
            let next = rest.char_indices().map(|(at, _)| at).find(|at| at_start(&rest[*at..]).is_some());
            let (part, after) = rest.split_at(next.unwrap_or(rest.len()));
            rest = after;
            Some((part, None))
        })
    }

    fn encode_part(&self, part: &str, most: usize, ids: &mut Vec<TokenId>) {
        let normalized = self.normalizer.as_ref().map(|normalizer| normalizer.normalize(part));
        for word in words(normalized.as_deref().unwrap_or(part)) {
            if ids.len() >= most {
                break;
            }
            self.encode_word(word, ids);
        }
    }

    /// The longest piece, and the longest of what is left; one unknown token if there is none somewhere.
    fn encode_word(&self, word: &str, ids: &mut Vec<TokenId>) {
        let before = ids.len();
        let mut rest = word;
        let is_long = word.chars().count() > self.max_word_chars;
        while !rest.is_empty() {
            let pieces = if rest.len() == word.len() { &self.first } else { &self.further };
            let ends = rest.char_indices().rev().map(|(at, c)| at + c.len_utf8());
            let mut ends = ends.filter(|end| *end <= self.longest);
            let found = ends.find_map(|end| pieces.get(&rest[..end]).map(|id| (*id, end)));
            match found.filter(|_| !is_long) {
                Some((id, end)) => {
                    ids.push(id);
                    rest = &rest[end..];
                }
                None => {
                    ids.truncate(before);
                    ids.push(self.unknown);
                    return;
                }
            }
        }
    }
}
