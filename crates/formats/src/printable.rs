//! text of a file → the same text without what a terminal would obey

use std::ffi::OsStr;

/// Names, keys and paths come from files that anyone may have written. What would move the cursor, break the line, change
/// colours or turn the direction of writing is escaped as Rust escapes it, `\u{1b}`; everything else stays as it is.
pub fn printable(text: impl AsRef<OsStr>) -> String {
    let text = text.as_ref().to_string_lossy();
    let mut printable = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            letter if letter.is_control() || is_invisible(letter) => printable.extend(letter.escape_debug()),
            letter => printable.push(letter),
        }
    }
    printable
}

/// Separators of lines and paragraphs, marks, embeddings, overrides and isolates of direction, the byte order mark.
fn is_invisible(letter: char) -> bool {
    matches!(letter, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_escaped_and_nothing_else() {
        for (text, shown) in [
            ("layers.0.é 漢字 \"q\" \\ 🦔", "layers.0.é 漢字 \"q\" \\ 🦔"),
            ("\u{1b}[2J\r\n\t\0", "\\u{1b}[2J\\r\\n\\t\\0"),
            ("\u{7f}\u{9b}31m", "\\u{7f}\\u{9b}31m"),
            ("a\u{202e}b\u{2028}c\u{2066}", "a\\u{202e}b\\u{2028}c\\u{2066}"),
        ] {
            assert_eq!(printable(text), shown);
        }
    }
}
