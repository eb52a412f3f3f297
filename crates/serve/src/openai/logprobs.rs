//! How likely tokens were, as completions and chats list it.

use std::sync::Arc;

use itera_runtime::TokenLogprob;
use itera_tokenizer::TokenId;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{loaded::Loaded, openai::form::Form, specials::spelling};

/// The tokens of a text, or of a piece of it.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum LogprobList {
    Completion(Lists),
    Chat { content: Vec<Token> },
}

/// Lists with one element a token.
#[derive(Debug, Default, Serialize)]
pub(super) struct Lists {
    tokens: Vec<String>,
    /// Natural logarithms; null of the first token of a prompt.
    token_logprobs: Vec<Option<f32>>,
    /// Of the most likely tokens in its place, the likeliest first.
    top_logprobs: Vec<Option<Map<String, Value>>>,
    /// Characters of the text before it.
    text_offset: Vec<usize>,
}

/// A token of what the assistant says.
#[derive(Debug, Serialize)]
pub(super) struct Token {
    #[serde(flatten)]
    likely: Likely,
    /// The most likely tokens in its place, the likeliest first.
    top_logprobs: Vec<Likely>,
}

#[derive(Debug, Serialize)]
struct Likely {
    token: String,
    logprob: Option<f32>,
    /// Of its text, which may be a part of a character.
    bytes: Vec<u8>,
}

/// Lists the tokens of one text, piece by piece.
pub(super) struct Lister {
    loaded: Arc<Loaded>,
    form: Form,
    offset: usize,
}

impl Lister {
    pub fn new(loaded: Arc<Loaded>, form: Form) -> Self {
        Self { loaded, form, offset: 0 }
    }

    /// The tokens that come next.
    pub fn list(&mut self, tokens: &[TokenLogprob]) -> LogprobList {
        match self.form {
            Form::Completion => LogprobList::Completion(self.lists(tokens)),
            Form::Chat => LogprobList::Chat { content: tokens.iter().map(|token| self.token(token)).collect() },
        }
    }

    fn lists(&mut self, tokens: &[TokenLogprob]) -> Lists {
        let mut list = Lists::default();
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

    fn token(&self, token: &TokenLogprob) -> Token {
        let likely = |id, logprob| {
            let bytes = self.loaded.tokenizer.decode_bytes(&[id]);
            Likely { token: self.name(id), logprob, bytes }
        };
        Token {
            likely: likely(token.id, token.logprob),
            top_logprobs: token.top.iter().map(|(id, logprob)| likely(*id, Some(*logprob))).collect(),
        }
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
