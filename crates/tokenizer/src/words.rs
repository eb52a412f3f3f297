//! text → words, as the GPT-2 release splits it.
//!
//! ```text
//! 's|'t|'re|'ve|'m|'ll|'d | ?\p{L}+ | ?\p{N}+ | ?[^\s\p{L}\p{N}]+ | \s+(?!\S) | \s+
//! ```
//!
//! The alternatives are tried in this order and each takes all it can, so the first characters decide which one it is,
//! and one pass without a regex engine finds the end. White space before a word leaves it the last character: a space
//! becomes the word's own, anything else is alone.

use std::{ops::RangeInclusive, sync::LazyLock};

/// Bytes that are worth a task of their own.
pub(crate) const PIECE_LEN: usize = 1 << 16;

/// What the alternatives tell apart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `\s`
    Space,
    /// `\p{L}`
    Letter,
    /// `\p{N}`
    Number,
    /// All else.
    Other,
}

impl Kind {
    /// Of the character that `text` begins with, and the bytes that it takes.
    fn first(text: &str) -> Option<(Self, usize)> {
        match *text.as_bytes().first()? {
            byte if byte.is_ascii() => Some((ASCII[usize::from(byte)], 1)),
            _ => text.chars().next().map(|c| (Self::of(c), c.len_utf8())),
        }
    }

    fn of(c: char) -> Self {
        let is_in = |ranges: &[RangeInclusive<char>]| {
            ranges.get(ranges.partition_point(|range| *range.end() < c)).is_some_and(|range| range.contains(&c))
        };
        match c {
            _ if c.is_whitespace() => Self::Space,
            _ if is_in(&LETTERS) => Self::Letter,
            _ if is_in(&NUMBERS) => Self::Number,
            _ => Self::Other,
        }
    }
}

static ASCII: [Kind; 128] = {
    let mut kinds = [Kind::Other; 128];
    let mut byte = 0;
    while byte < 128 {
        kinds[byte as usize] = match byte {
            b'\t'..=b'\r' | b' ' => Kind::Space,
            b'a'..=b'z' | b'A'..=b'Z' => Kind::Letter,
            b'0'..=b'9' => Kind::Number,
            _ => Kind::Other,
        };
        byte += 1;
    }
    kinds
};

static LETTERS: LazyLock<Vec<RangeInclusive<char>>> = LazyLock::new(|| class(r"\p{L}"));
static NUMBERS: LazyLock<Vec<RangeInclusive<char>>> = LazyLock::new(|| class(r"\p{N}"));

/// The characters of a class, in ascending ranges.
fn class(pattern: &str) -> Vec<RangeInclusive<char>> {
    let parsed = regex_syntax::parse(pattern).expect("a general category");
    match parsed.into_kind() {
        regex_syntax::hir::HirKind::Class(regex_syntax::hir::Class::Unicode(class)) => {
            class.iter().map(|range| range.start()..=range.end()).collect()
        }
        _ => unreachable!("a general category is a class of characters"),
    }
}

/// The words of a text; put together, they are the text.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (word, after) = rest.split_at(first_word(rest)?);
        rest = after;
        Some(word)
    })
}

/// Length of the first word; `None` where there is no text.
fn first_word(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    if *bytes.first()? == b'\''
        && let Some(ending) = contraction(&bytes[1..])
    {
        return Some(1 + ending);
    }
    let space = usize::from(bytes[0] == b' ');
    Some(match Kind::first(&text[space..]) {
        None | Some((Kind::Space, _)) => white_space(text),
        Some((kind, _)) => space + run(&text[space..], kind),
    })
}

/// Length of the ending that may follow an apostrophe.
fn contraction(after: &[u8]) -> Option<usize> {
    match after {
        [b'r' | b'v', b'e', ..] | [b'l', b'l', ..] => Some(2),
        [b's' | b't' | b'm' | b'd', ..] => Some(1),
        _ => None,
    }
}

/// Length of the white space that a text begins with, less the last character if something follows and others precede.
fn white_space(text: &str) -> usize {
    let len = run(text, Kind::Space);
    let last = text[..len].chars().next_back().map_or(0, char::len_utf8);
    if len < text.len() && len > last { len - last } else { len }
}

/// Length of the characters of one kind that a text begins with.
fn run(text: &str, kind: Kind) -> usize {
    let mut len = 0;
    while let Some((_, size)) = Kind::first(&text[len..]).filter(|(next, _)| *next == kind) {
        len += size;
    }
    len
}

/// The text in pieces of at least `min_len` bytes, but for the last, cut where no word is: the words of the pieces are
/// those of the text.
///
/// A word has white space at its beginning at most, and what it is depends on nothing before it. So every character of
/// white space after one that is not begins a word, whatever came before. Text without such a place stays whole.
pub(crate) fn pieces(text: &str, min_len: usize) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (piece, after) = rest.split_at(cut(rest, min_len));
        rest = after;
        Some(piece)
    })
}

/// The first place at or after `min_len` where white space follows something else; the end if there is none.
fn cut(text: &str, min_len: usize) -> usize {
    let from = text.ceil_char_boundary(min_len.max(1));
    let mut after_space = text[..from].chars().next_back().is_some_and(char::is_whitespace);
    for (at, c) in text[from..].char_indices() {
        let is_space = c.is_whitespace();
        if is_space && !after_space {
            return from + at;
        }
        after_space = is_space;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokenizers::pre_tokenizers::byte_level::ByteLevel;
    use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};

    use super::*;

    /// The words by the regex itself.
    fn by_regex(text: &str) -> Vec<&str> {
        let mut split = PreTokenizedString::from(text);
        ByteLevel::new(false, false, true).pre_tokenize(&mut split).expect("any text can be split");
        let words = split.get_splits(OffsetReferential::Original, OffsetType::Byte);
        words.into_iter().map(|(_, (start, end), _)| &text[start..end]).collect()
    }

    fn of(text: &str) -> Vec<&str> {
        words(text).collect()
    }

    #[test]
    fn each_alternative_takes_what_it_can_in_order() {
        let cases: [(&str, &[&str]); 9] = [
            ("", &[]),
            ("don't we'll 'sabc", &["don", "'t", " we", "'ll", " '", "sabc"]),
            ("''s 'S'RE", &["''", "s", " '", "S", "'", "RE"]),
            ("  two", &[" ", " two"]),
            (" \n x", &[" \n", " x"]),
            ("a\n\nb", &["a", "\n", "\n", "b"]),
            ("end \t ", &["end", " \t "]),
            (" ", &[" "]),
            ("été 12½... 日本\u{3000}語", &["été", " 12½", "...", " 日本", "\u{3000}", "語"]),
        ];
        for (text, expected) in cases {
            assert_eq!(of(text), expected, "{text:?}");
            assert_eq!(by_regex(text), expected, "{text:?}");
        }
    }

    #[test]
    fn characters_are_of_the_kind_that_the_regex_says() {
        let all = || (0..=u32::from(char::MAX)).filter_map(char::from_u32);
        for c in all().filter(|c| *c < '\u{3000}').chain(all().step_by(61)) {
            let text = format!("x{c}1{c}{c}x^{c}^ {c}x {c}");
            assert_eq!(of(&text), by_regex(&text), "{c:?}");
        }
    }

    proptest! {
        #[test]
        fn words_are_those_of_the_regex(text in "([ab'sl ]{0,9}|\\s{1,3}|\\PC{1,3}|\\pN{1,2}){0,9}") {
            prop_assert_eq!(of(&text), by_regex(&text));
        }

        #[test]
        fn cutting_changes_no_word(text in "([ab1']{0,5}|\\s{1,3}|\\PC{1,3}){0,20}", min_len in 0usize..12) {
            let pieces: Vec<&str> = pieces(&text, min_len).collect();
            prop_assert_eq!(pieces.concat(), text.as_str());
            prop_assert!(pieces.iter().rev().skip(1).all(|piece| piece.len() >= min_len));
            prop_assert_eq!(pieces.into_iter().flat_map(words).collect::<Vec<_>>(), of(&text));
        }
    }
}
