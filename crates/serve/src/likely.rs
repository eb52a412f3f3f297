//! How likely a token was, as a list of tokens tells it.

use itera_runtime::TokenLogprob;
use itera_tokenizer::{TokenId, Tokenizer};
use serde::Serialize;
use serde_json::Value;

use crate::{
    loaded::Loaded,
    openapi::schema::{Properties, any_number, count, exactly, integer, list, or_null, text},
    specials::spelling,
};

/// A token of a text.
#[derive(Debug, Serialize)]
pub(crate) struct Token {
    #[serde(flatten)]
    itself: Likely,
    /// The most likely tokens in its place, the likeliest first.
    top_logprobs: Vec<Likely>,
}

#[derive(Debug, Serialize)]
struct Likely {
    id: TokenId,
    token: String,
    /// Null of one that nothing precedes.
    logprob: Option<f32>,
    /// Of its text, which may be a part of a character.
    bytes: Vec<u8>,
}

impl Token {
    pub fn schema() -> Value {
        let likely = || -> Properties {
            vec![
                ("id", count()),
                ("token", text()),
                ("logprob", or_null(any_number())),
                ("bytes", list(integer(0..=u8::MAX))),
            ]
        };
        exactly([likely(), vec![("top_logprobs", list(exactly(likely())))]].concat())
    }

    pub fn new(loaded: &Loaded, token: &TokenLogprob) -> Self {
        let tokenizer = &loaded.tokenizer;
        let likely =
            |id, logprob| Likely { id, token: name(tokenizer, id), logprob, bytes: tokenizer.decode_bytes(&[id]) };
        Self {
            itself: likely(token.id, token.logprob),
            top_logprobs: token.top.iter().map(|(id, logprob)| likely(*id, Some(*logprob))).collect(),
        }
    }
}

/// A token as OpenAI writes it: its text, `bytes:` where that is no UTF-8 by itself; a special token by its name.
pub(crate) fn name(tokenizer: &Tokenizer, id: TokenId) -> String {
    match String::from_utf8(tokenizer.decode_bytes(&[id])) {
        Ok(text) if text.is_empty() => spelling(tokenizer, id).to_owned(),
        Ok(text) => text,
        Err(error) => {
            let escaped: String = error.as_bytes().iter().map(|byte| format!("\\x{byte:02x}")).collect();
            format!("bytes:{escaped}")
        }
    }
}
