//! Texts under way as server-sent events, in the words of the surface that was asked.
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

use axum::{
    body::{Body, Bytes, HttpBody},
    http::header::{CACHE_CONTROL, CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use http_body::Frame;
use itera_runtime::TokenLogprob;

use crate::{
    outbox::{Ended, Reader},
    refusal::Refusal,
};

/// The media type of events.
pub(crate) const EVENTS: &str = "text/event-stream";

/// What a surface says of texts under way: the data of events.
pub(crate) trait Teller: Send + Unpin + 'static {
    /// Text number `index` has a piece more: `text` of its `tokens`, which are listed where they were asked for, and with the
    /// last piece its `end`.
    fn piece(&mut self, index: usize, text: String, tokens: &[TokenLogprob], end: Option<&Ended>) -> String;

    /// Events after the last text has ended.
    fn last(&mut self) -> Vec<String>;

    /// The texts are lost.
    fn lost(&self, refusal: &Refusal) -> String;
}

/// The body of a response. Dropped, as when the client leaves, it ends its texts.
struct Events<T> {
    /// Of each text; `None` once it has ended.
    readers: Vec<Option<Reader>>,
    teller: T,
    is_over: bool,
}

/// The response that tells of all texts, as they are written.
pub(crate) fn events(readers: Vec<Reader>, teller: impl Teller) -> Response {
    let body = Events { readers: readers.into_iter().map(Some).collect(), teller, is_over: false };
    ([(CONTENT_TYPE, EVENTS), (CACHE_CONTROL, "no-cache")], Body::new(body)).into_response()
}

fn event(out: &mut String, data: &str) {
    for part in ["data: ", data, "\n\n"] {
        out.push_str(part);
    }
}

impl<T: Teller> Events<T> {
    /// Append an event for each text that has news.
    fn poll_texts(&mut self, context: &mut Context<'_>, out: &mut String) {
        for (index, slot) in self.readers.iter_mut().enumerate() {
            let Some(reader) = slot else { continue };
            let Poll::Ready(piece) = reader.poll_take(context) else { continue };
            let end = match piece.end {
                Some(Err(lost)) => {
                    event(out, &self.teller.lost(&lost.into()));
                    self.is_over = true;
                    return;
                }
                Some(Ok(ended)) => Some(ended),
                None => None,
            };
            if end.is_some() {
                *slot = None;
            }
            event(out, &self.teller.piece(index, piece.text, &piece.logprobs, end.as_ref()));
        }
    }
}

impl<T: Teller> HttpBody for Events<T> {
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
        if !self.is_over && self.readers.iter().all(Option::is_none) {
            self.teller.last().iter().for_each(|data| event(&mut out, data));
            self.is_over = true;
        }
        if out.is_empty() { Poll::Pending } else { Poll::Ready(Some(Ok(Frame::data(out.into())))) }
    }
}
