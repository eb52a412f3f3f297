//! text → words, as BERT's normaliser and pre-tokenizer find them.
//!
//! ```text
//! text ─ clean ─ spaces around CJK ─ NFD, marks left out ─ lower case ─▶ text ─ at spaces, around punctuation ─▶ words
//! ```
//!
//! Categories are those of `tokenizers`, of an old release of Unicode: an id is worth more than a newer table.

use serde::Deserialize;
use unicode_categories::UnicodeCategories;
use unicode_normalization_alignments::UnicodeNormalization;

/// What is done to a text before it is cut into words.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(super) struct Normalizer {
    #[serde(rename = "type")]
    kind: Bert,
    clean_text: bool,
    handle_chinese_chars: bool,
    /// As `lowercase` if not said.
    strip_accents: Option<bool>,
    lowercase: bool,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
enum Bert {
    #[serde(rename = "BertNormalizer")]
    Normalizer,
}

impl Normalizer {
    pub(super) fn normalize(&self, text: &str) -> String {
        let mut text = text.to_owned();
        if self.clean_text {
            text.retain(|c| !(matches!(c, '\0' | '\u{fffd}') || is_control(c)));
            text = text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).collect();
        }
        if self.handle_chinese_chars {
            let mut spaced = String::with_capacity(text.len());
            for c in text.chars() {
                if is_ideograph(c) {
                    spaced.extend([' ', c, ' ']);
                } else {
                    spaced.push(c);
                }
            }
            text = spaced;
        }
        if self.strip_accents.unwrap_or(self.lowercase) {
            text = text.nfd().map(|(c, _)| c).filter(|c| !c.is_mark_nonspacing()).collect();
        }
        if self.lowercase {
            // a letter at a time: a sigma at the end of a word is like all others
            text = text.chars().flat_map(char::to_lowercase).collect();
        }
        text
    }
}

/// The words of a text, each mark of punctuation one of its own.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(char::is_whitespace).flat_map(|word| word.split_inclusive(is_punctuation).flat_map(cut_last))
}

/// What is before the mark that a part ends with, and the mark.
fn cut_last(part: &str) -> impl Iterator<Item = &str> {
    let at = part.char_indices().next_back().filter(|(_, c)| is_punctuation(*c)).map_or(part.len(), |(at, _)| at);
    let (before, mark) = part.split_at(at);
    [before, mark].into_iter().filter(|part| !part.is_empty())
}

fn is_control(c: char) -> bool {
    !matches!(c, '\t' | '\n' | '\r') && c.is_other()
}

fn is_punctuation(c: char) -> bool {
    c.is_ascii_punctuation() || c.is_punctuation()
}

/// Whether a character stands in a block of CJK ideographs, which are written without spaces.
fn is_ideograph(c: char) -> bool {
    matches!(u32::from(c),
        0x4E00..=0x9FFF | 0x3400..=0x4DBF | 0x20000..=0x2A6DF | 0x2A700..=0x2B73F | 0x2B740..=0x2B81F
        | 0x2B920..=0x2CEAF | 0xF900..=0xFAFF | 0x2F800..=0x2FA1F)
}
