//! A text in an answer: of a completion, or what the assistant of a chat says.

use itera_runtime::FinishReason;
use serde::Serialize;
use serde_json::Value;

use crate::{
    openai::{form::Form, logprobs::LogprobList},
    openapi::schema::{count, exactly, one_of, or_null, text},
};

/// One of the texts that a request asked for, or a piece of it.
#[derive(Serialize)]
pub(super) struct Choice {
    index: usize,
    #[serde(flatten)]
    said: Said,
    logprobs: Option<LogprobList>,
    finish_reason: Option<&'static str>,
}

/// Is `"text": …`, `"message": {…}` or `"delta": {…}`.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Said {
    Text(String),
    Message(Message),
    /// A piece of a message, with its role if it is the first.
    Delta(Message),
}

#[derive(Serialize)]
struct Message {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    content: String,
}

impl Choice {
    /// What a whole text is told as.
    pub fn schema(form: Form) -> Value {
        let said = match form {
            Form::Completion => ("text", text()),
            Form::Chat => ("message", exactly(vec![("role", one_of(&["assistant"])), ("content", text())])),
        };
        exactly(vec![
            ("index", count()),
            said,
            ("logprobs", or_null(LogprobList::schema(form))),
            ("finish_reason", or_null(one_of(&["stop", "length"]))),
        ])
    }

    /// All of text number `index`.
    pub fn whole(
        form: Form,
        index: usize,
        text: String,
        logprobs: Option<LogprobList>,
        end: Option<FinishReason>,
    ) -> Self {
        let said = match form {
            Form::Completion => Said::Text(text),
            Form::Chat => Said::Message(Message { role: Some("assistant"), content: text }),
        };
        Self { index, said, logprobs, finish_reason: end.map(word) }
    }

    /// A piece of text number `index`.
    pub fn piece(
        form: Form,
        index: usize,
        text: String,
        is_first: bool,
        logprobs: Option<LogprobList>,
        end: Option<FinishReason>,
    ) -> Self {
        let said = match form {
            Form::Completion => Said::Text(text),
            Form::Chat => Said::Delta(Message { role: is_first.then_some("assistant"), content: text }),
        };
        Self { index, said, logprobs, finish_reason: end.map(word) }
    }
}

fn word(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Eos | FinishReason::Stop => "stop",
        FinishReason::Length | FinishReason::Context => "length",
    }
}
