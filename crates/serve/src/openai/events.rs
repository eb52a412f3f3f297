//! Texts under way as server-sent events, in OpenAI's words.
//!
//! ```text
//! data: {"id": …, "choices": [{"index": 0, "text": " upon", …}]}
//!
//! data: [DONE]
//! ```
//!
//! All that was written since the last look goes out in one piece: one event a text, and one write to the socket. The first
//! token goes at once, and the faster the engine is beside the reader, the more tokens an event has.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::{Bytes, HttpBody};
use http_body::Frame;

use crate::{
    answer::{Head, Usage, finish_reason},
    openai::{choice::Choice, logprobs::Lister},
    outbox::Reader,
    refusal::Refusal,
};

/// The body of a response. Dropped, as when the client leaves, it ends its texts.
pub(super) struct Events {
    /// An event up to its choices, without the brace that ends the object.
    head: String,
    texts: Vec<Streamed>,
    /// Texts a prompt.
    choices: usize,
    usage: Usage,
    with_usage: bool,
    is_over: bool,
}

struct Streamed {
    /// `None` once the text has ended.
    reader: Option<Reader>,
    /// What was not sent yet and is no part of the text: its prompt, where that is asked for.
    echo: String,
    /// Tells how likely its tokens were, where that is asked for.
    lister: Option<Lister>,
}

impl Events {
    /// Texts, each after its echo, and with how likely its tokens were where it has a lister; every `choices` of them
    /// continue one prompt. `with_usage` adds an event that counts tokens.
    pub fn new(
        head: &Head,
        texts: impl Iterator<Item = (Reader, String, Option<Lister>)>,
        choices: usize,
        with_usage: bool,
    ) -> Self {
        let texts = texts.map(|(reader, echo, lister)| Streamed { reader: Some(reader), echo, lister });
        let mut head = serde_json::to_string(head).expect("strings and numbers are JSON");
        head.pop();
        Self { head, texts: texts.collect(), choices, usage: Usage::default(), with_usage, is_over: false }
    }

    fn event(&self, out: &mut String, choices: &str, usage: &str) {
        let usage = if self.with_usage { format!(",\"usage\":{usage}") } else { String::new() };
        *out += &format!("data: {},\"choices\":[{choices}]{usage}}}\n\n", self.head);
    }

    /// Append an event for each text that has news.
    fn poll_texts(&mut self, context: &mut Context<'_>, out: &mut String) {
        for index in 0..self.texts.len() {
            let streamed = &mut self.texts[index];
            let Some(reader) = &mut streamed.reader else { continue };
            let Poll::Ready(piece) = reader.poll_take(context) else { continue };
            let text = std::mem::take(&mut streamed.echo) + &piece.text;
            let end = match piece.end {
                Some(Err(lost)) => {
                    *out += &format!("data: {}\n\n", Refusal::from(lost).to_json());
                    self.is_over = true;
                    return;
                }
                Some(Ok(ended)) => {
                    streamed.reader = None;
                    self.usage.add(&ended, index.is_multiple_of(self.choices));
                    ended.completion.finish_reason
                }
                None => None,
            };
            let logprobs = self.texts[index].lister.as_mut().map(|lister| lister.list(&piece.logprobs));
            let choice = Choice { index, text: text.into(), logprobs, finish_reason: end.map(finish_reason) };
            self.event(out, &serde_json::to_string(&choice).expect("strings and numbers are JSON"), "null");
        }
    }
}

impl HttpBody for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let mut out = String::new();
        self.poll_texts(context, &mut out);
        if !self.is_over && self.texts.iter().all(|text| text.reader.is_none()) {
            if self.with_usage {
                let usage = serde_json::to_string(&self.usage).expect("numbers are JSON");
                self.event(&mut out, "", &usage);
            }
            out += "data: [DONE]\n\n";
            self.is_over = true;
        }
        if out.is_empty() { Poll::Pending } else { Poll::Ready(Some(Ok(Frame::data(out.into())))) }
    }
}
