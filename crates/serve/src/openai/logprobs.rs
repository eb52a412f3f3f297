//! How likely tokens were, as completions and chats list it.

use std::sync::Arc;

use itera_runtime::TokenLogprob;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{
    likely::{Token, name},
    loaded::Loaded,
    openai::form::Form,
    openapi::schema::{any_number, count, exactly, list, or_null, text},
};

/// The tokens of a text, or of a piece of it.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum LogprobList {
    Completion(Lists),
    Chat { content: Vec<Token> },
}

impl LogprobList {
    pub fn schema(form: Form) -> Value {
        match form {
            Form::Completion => exactly(vec![
                ("tokens", list(text())),
                ("token_logprobs", list(or_null(any_number()))),
                ("top_logprobs", list(json!({"type": ["object", "null"], "additionalProperties": any_number()}))),
                ("text_offset", list(count())),
            ]),
            Form::Chat => exactly(vec![("content", list(Token::schema()))]),
        }
    }
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
            Form::Chat => {
                LogprobList::Chat { content: tokens.iter().map(|token| Token::new(&self.loaded, token)).collect() }
            }
        }
    }

    fn lists(&mut self, tokens: &[TokenLogprob]) -> Lists {
        let tokenizer = &self.loaded.tokenizer;
        let mut list = Lists::default();
        for token in tokens {
            let text = name(tokenizer, token.id);
            list.text_offset.push(self.offset);
            self.offset += tokenizer.decode(&[token.id]).chars().count();
            list.tokens.push(text);
            list.token_logprobs.push(token.logprob);
            list.top_logprobs.push(token.logprob.map(|_| self.top(token)));
        }
        list
    }

    /// The most likely tokens, and the one that is there.
    fn top(&self, token: &TokenLogprob) -> Map<String, Value> {
        let tokenizer = &self.loaded.tokenizer;
        let itself = token.logprob.map(|logprob| (token.id, logprob));
        token.top.iter().copied().chain(itself).map(|(id, logprob)| (name(tokenizer, id), logprob.into())).collect()
    }
}
