//! The prompts of a request: text or tokens, one or several.

use itera_tokenizer::{TokenId, Tokenizer};
use serde::{Deserialize, Deserializer, de::Error};
use serde_json::Value;

use crate::{
    loaded::Loaded,
    openapi::schema::{any_of, integer, some, text},
    refusal::Refusal,
};

/// One prompt.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Prompt {
    /// The beginning of a document.
    Text(String),
    /// Tokens as they are; bos is not put before them.
    Tokens(Vec<TokenId>),
}

/// One prompt, or several.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Prompts(pub Vec<Prompt>);

impl Prompt {
    pub fn tokens(&self, loaded: &Loaded) -> Vec<TokenId> {
        match self {
            Self::Text(text) => loaded.tokens(text),
            Self::Tokens(tokens) => tokens.clone(),
        }
    }

    pub fn is_empty(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::Tokens(tokens) => tokens.is_empty(),
        }
    }

    pub fn text(&self, tokenizer: &Tokenizer) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Tokens(tokens) => tokenizer.decode(tokens),
        }
    }
}

impl Default for Prompts {
    /// A document from its beginning.
    fn default() -> Self {
        Self(vec![Prompt::Text(String::new())])
    }
}

/// Refuse `tokens`, which came in `field`, if one is not of the model.
pub(crate) fn check_tokens(field: &str, tokens: &[TokenId], loaded: &Loaded) -> Result<(), Refusal> {
    let vocab_size = loaded.model.config().vocab_size;
    match tokens.iter().find(|token| token.index() >= vocab_size) {
        None => Ok(()),
        Some(token) => {
            Err(Refusal::field(field, format!("{field}: token {token} is outside the vocabulary of {vocab_size}")))
        }
    }
}

/// What prompts are.
pub(crate) const EXPECTED: &str =
    "expected a text, a list of texts, a list of token ids, or a list of such lists, none of them empty";

/// What [`Prompts`] are read from.
pub(crate) fn schema() -> Value {
    let tokens = || some(integer(0..=u32::MAX));
    any_of([text(), tokens(), some(any_of([text(), tokens()]))])
}

impl<'de> Deserialize<'de> for Prompts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let prompts = match Value::deserialize(deserializer)? {
            Value::String(text) => vec![Prompt::Text(text)],
            Value::Array(items) if items.first().is_some_and(Value::is_number) => {
                vec![Prompt::Tokens(tokens(items).ok_or_else(|| D::Error::custom(EXPECTED))?)]
            }
            Value::Array(items) => {
                let prompts: Option<Vec<Prompt>> = items.into_iter().map(prompt).collect();
                prompts.filter(|prompts| !prompts.is_empty()).ok_or_else(|| D::Error::custom(EXPECTED))?
            }
            _ => return Err(D::Error::custom(EXPECTED)),
        };
        Ok(Self(prompts))
    }
}

fn prompt(value: Value) -> Option<Prompt> {
    match value {
        Value::String(text) => Some(Prompt::Text(text)),
        Value::Array(items) if !items.is_empty() => tokens(items).map(Prompt::Tokens),
        _ => None,
    }
}

fn tokens(items: Vec<Value>) -> Option<Vec<TokenId>> {
    items.iter().map(|item| item.as_u64().and_then(|id| u32::try_from(id).ok()).map(TokenId)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_are_text_or_tokens_one_or_several() {
        let prompts =
            |json: &str| serde_json::from_str::<Prompts>(json).map(|prompts| prompts.0).map_err(|e| e.to_string());
        let text = |text: &str| Prompt::Text(text.into());
        let tokens = |ids: &[u32]| Prompt::Tokens(ids.iter().copied().map(TokenId).collect());
        assert_eq!(prompts(r#""a""#), Ok(vec![text("a")]));
        assert_eq!(prompts(r#""""#), Ok(vec![text("")]));
        assert_eq!(prompts(r#"["a", "b"]"#), Ok(vec![text("a"), text("b")]));
        assert_eq!(prompts("[1, 2]"), Ok(vec![tokens(&[1, 2])]));
        assert_eq!(prompts("[[1, 2], [3]]"), Ok(vec![tokens(&[1, 2]), tokens(&[3])]));
        for wrong in ["[]", "[[]]", "[1, -2]", "[1.5]", "[1, \"a\"]", "[4294967296]", "{}", "3", "[[[1]]]"] {
            assert!(prompts(wrong).is_err_and(|error| error.contains("expected a text")), "{wrong}");
        }
    }
}
