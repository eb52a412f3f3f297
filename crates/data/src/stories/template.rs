//! The parts of a template, as text: where a group ends, what its options are, how an option begins.

/// Characters that end a run of plain text.
pub(super) fn is_special(byte: u8) -> bool {
    matches!(byte, b'{' | b'[' | b'\n')
}

/// Splits what follows a `[` into the body of the group and what comes after its `]`.
pub(super) fn group(after: &str) -> (&str, &str) {
    let mut depth = 0;
    for (at, byte) in after.bytes().enumerate() {
        match byte {
            b'[' => depth += 1,
            b']' if depth == 0 => return (&after[..at], &after[at + 1..]),
            b']' => depth -= 1,
            _ => {}
        }
    }
    unreachable!("a template opens a group that it does not close: [{after}")
}

/// The options of the body of a group. A line break after a bar is layout, not text.
pub(super) fn options(body: &'static str) -> impl Iterator<Item = &'static str> {
    let mut depth = 0;
    body.split(move |letter| {
        match letter {
            '[' => depth += 1,
            ']' => depth -= 1,
            _ => {}
        }
        letter == '|' && depth == 0
    })
    .map(|option| if option.starts_with('\n') { option.trim_start() } else { option })
}

/// The plain text that a template starts with.
pub(super) fn lead(template: &str) -> &str {
    &template[..template.bytes().position(is_special).unwrap_or(template.len())]
}

/// Whether `text` starts with `lead`, capitals aside (a mention may ask for one).
pub(super) fn starts_like(text: &str, lead: &str) -> bool {
    text.get(..lead.len()).is_some_and(|start| start.eq_ignore_ascii_case(lead))
}

/// The indefinite article of a word, with its space. Words like "hour" or "useful" are not in the lexicon.
pub(super) fn article_of(word: &str) -> &'static str {
    if word.starts_with(['a', 'e', 'i', 'o', 'u']) || word == "honest" { "an " } else { "a " }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_nest() {
        let (body, after) = group("a [b|c]|[d[e|f]]|] g]");
        assert_eq!((body, after), ("a [b|c]|[d[e|f]]|", " g]"));
        assert_eq!(options(body).collect::<Vec<_>>(), ["a [b|c]", "[d[e|f]]", ""]);
    }

    #[test]
    fn a_lead_is_what_every_telling_starts_with() {
        assert_eq!(lead("One {weather} day"), "One ");
        assert_eq!(lead("[a|b]"), "");
        assert!(starts_like("The owl", "the ") && !starts_like("Th", "the ") && starts_like("x", ""));
    }

    #[test]
    fn articles() {
        assert_eq!(["owl", "red", "honest", "honey"].map(article_of), ["an ", "a ", "an ", "a "]);
    }
}
