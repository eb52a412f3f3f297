//! The body of a response, and somebody who sees what goes out of it.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};

/// Who sees a body go out. Dropped with it, whether or not it came to its end.
pub(crate) trait Watcher: Send + Unpin + 'static {
    /// A part went out.
    fn data(&mut self, data: &Bytes);

    /// All of it went out. Told once at least, if so.
    fn end(&mut self);
}

/// A body that is watched.
struct Watched<W> {
    body: Body,
    watcher: W,
}

/// The same body, seen by `watcher`.
pub(crate) fn watched(body: Body, mut watcher: impl Watcher) -> Body {
    // nobody asks an empty one for its parts
    if body.is_end_stream() {
        watcher.end();
    }
    Body::new(Watched { body, watcher })
}

impl<W: Watcher> HttpBody for Watched<W> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(data) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()) {
            self.watcher.data(data);
        }
        if frame.is_none() || self.body.is_end_stream() {
            self.watcher.end();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
