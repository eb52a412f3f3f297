//! What is told of a request that has ended: a line of the access log, and the attributes of a span.
//!
//! It has names that the server gave, numbers, and ids whose every character was checked: nothing else that a client wrote.

use serde::Serialize;

/// A request that has ended.
#[derive(Serialize)]
pub(crate) struct Line<'a> {
    /// When the head of the request was there.
    pub time: String,
    pub request_id: &'a str,
    pub trace_id: Option<&'a str>,
    pub key: Option<&'a str>,
    pub method: &'a str,
    /// `None` where nothing is served.
    pub route: Option<&'a str>,
    /// `None` where the client left before there was a response.
    pub status: Option<u16>,
    /// Of the body.
    pub bytes: u64,
    pub model: Option<&'a str>,
    pub prompt_tokens: Option<u64>,
    pub completion_tokens: Option<u64>,
    pub cached_tokens: Option<u64>,
    pub first_byte_ms: Option<f64>,
    pub total_ms: f64,
    pub client_left: bool,
}
