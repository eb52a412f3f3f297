//! How likely tokens were, as completions list it.

use std::sync::Arc;

use itera_runtime::TokenLogprob;
use itera_tokenizer::TokenId;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{loaded::Loaded, tokens::spelling};

/// Lists with one element a token.
#[derive(Debug, Default, Serialize)]
pub(super) struct LogprobList {
    tokens: Vec<String>,
    /// Natural logarithms; null of the first token of a prompt.
    token_logprobs: Vec<Option<f32>>,
    /// Of the most likely tokens in its place, the likeliest first.
    top_logprobs: Vec<Option<Map<String, Value>>>,
    /// Characters of the text before it.
    text_offset: Vec<usize>,
}

/// Lists the tokens of one text, piece by piece.
pub(super) struct Lister {
    loaded: Arc<Loaded>,
    offset: usize,
}

impl Lister {
    pub fn new(loaded: Arc<Loaded>) -> Self {
        Self { loaded, offset: 0 }
    }

    /// The tokens that come next.
    pub fn list(&mut self, tokens: &[TokenLogprob]) -> LogprobList {
        let mut list = LogprobList::default();
        for token in tokens {
            let text = self.name(token.id);
            list.text_offset.push(self.offset);
            self.offset += self.loaded.tokenizer.decode(&[token.id]).chars().count();
            list.tokens.push(text);
            list.token_logprobs.push(token.logprob);
            list.top_logprobs.push(token.logprob.map(|_| self.top(token)));
        }
        list
    }

    /// The most likely tokens, and the one that is there.
    fn top(&self, token: &TokenLogprob) -> Map<String, Value> {
        let itself = token.logprob.map(|logprob| (token.id, logprob));
        token.top.iter().copied().chain(itself).map(|(id, logprob)| (self.name(id), logprob.into())).collect()
    }

    /// A token as OpenAI writes it: its text, `bytes:` where that is no UTF-8 by itself; a special token by its name.
    fn name(&self, id: TokenId) -> String {
        let tokenizer = &self.loaded.tokenizer;
        let bytes = tokenizer.decode_bytes(&[id]);
        match String::from_utf8(bytes) {
            Ok(text) if text.is_empty() => spelling(tokenizer, id).to_owned(),
            Ok(text) => text,
            Err(error) => {
                let escaped: String = error.as_bytes().iter().map(|byte| format!("\\x{byte:02x}")).collect();
                format!("bytes:{escaped}")
            }
        }
    }
}
