//! Special tokens and how they are spelled. A text that spells one is plain text, unless it is read as below.

use itera_tokenizer::{TokenId, Tokenizer};

/// A stretch of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part<'t> {
    Text(&'t str),
    /// The spelling of a special token.
    Special(TokenId),
}

/// A token as its vocabulary spells it; a special token by its name.
pub(crate) fn spelling(tokenizer: &Tokenizer, id: TokenId) -> &str {
    tokenizer.spellings().nth(id.index()).unwrap_or_default()
}

/// The special tokens by their names, none of them empty.
pub(crate) fn named(tokenizer: &Tokenizer) -> Vec<(&str, TokenId)> {
    let named = tokenizer.specials().iter().map(|id| (spelling(tokenizer, *id), *id));
    named.filter(|(name, _)| !name.is_empty()).collect()
}

/// A text cut where special tokens are spelled; of those that begin at one place the longest counts.
pub(crate) fn parts<'t>(tokenizer: &Tokenizer, mut text: &'t str) -> Vec<Part<'t>> {
    let specials = named(tokenizer);
    let mut parts = vec![];
    loop {
        let found = specials.iter().filter_map(|(name, id)| Some((text.find(name)?, name.len(), *id)));
        let Some((at, len, id)) = found.min_by_key(|(at, len, _)| (*at, usize::MAX - len)) else { break };
        parts.extend([Part::Text(&text[..at]), Part::Special(id)]);
        text = &text[at + len..];
    }
    parts.push(Part::Text(text));
    parts
}

/// The tokens of a text in which spellings of special tokens are these tokens.
pub(crate) fn encode(tokenizer: &Tokenizer, text: &str) -> Vec<TokenId> {
    let tokens = parts(tokenizer, text).into_iter().map(|part| match part {
        Part::Text(text) => tokenizer.encode(text),
        Part::Special(id) => vec![id],
    });
    tokens.flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_special_token_is_found_where_it_is_spelled() {
        let tokenizer = Tokenizer::byte();
        let name = spelling(&tokenizer, tokenizer.eos());
        let plain = |text: &str| tokenizer.encode(text);
        let text = format!("a{name}{name}b<|");
        let expected = [plain("a"), vec![tokenizer.eos(), tokenizer.eos()], plain("b<|")].concat();
        assert_eq!(encode(&tokenizer, &text), expected);
        assert_eq!(encode(&tokenizer, ""), []);
        assert_ne!(plain(name), [tokenizer.eos()], "elsewhere it is text");
    }
}
