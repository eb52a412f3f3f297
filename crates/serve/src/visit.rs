//! A request from its first byte to the last byte of its answer, as the access log tells it.
//!
//! ```text
//! {"time":"2026-11-28T20:31:07.412Z","request_id":"req-6744d3cb-5a1-0","trace_id":null,"key":"alice","method":"POST",
//!  "route":"/v1/completions","status":200,"bytes":412,"model":"tiny","prompt_tokens":7,"completion_tokens":40,
//!  "cached_tokens":0,"first_byte_ms":21.482,"total_ms":21.507,"client_left":false}
//! ```

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant, SystemTime},
};

use axum::{
    body::Bytes,
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode},
    middleware::Next,
    response::Response,
};

#[cfg(feature = "otlp")]
use crate::traces::{Span, Traces};
use crate::{
    account::Account,
    answer::unique,
    app::App,
    told::Line,
    watched::{Watcher, watched},
};

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(crate) const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");

/// Most characters of an id that a client gives its request.
const ID_LEN: usize = 128;

/// One that is under way. It is told of when it is dropped.
struct Visit {
    app: Arc<App>,
    account: Arc<Account>,
    time: SystemTime,
    began: Instant,
    id: String,
    trace: Option<String>,
    method: &'static str,
    route: Option<MatchedPath>,
    status: Option<StatusCode>,
    bytes: u64,
    first_byte: Option<Duration>,
    /// Whether all of the response went out.
    is_whole: bool,
    #[cfg(feature = "otlp")]
    span: Option<Span>,
}

/// Count the response, give it the id of its request, and the access log its line.
pub(crate) async fn record(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let header = HeaderValue::from_str(&id).ok();
    let account: Arc<Account> = Arc::default();
    let visit = app.kept().tells().then(|| Visit::begin(app.clone(), account.clone(), id, &request));
    let response = account.within(next.run(request)).await;
    app.metrics().responded(response.status());
    let mut response = match visit {
        None => response,
        Some(mut visit) => {
            visit.status = Some(response.status());
            visit.is_whole = visit.method == Method::HEAD.as_str();
            response.map(|body| watched(body, visit))
        }
    };
    response.headers_mut().extend(header.map(|id| (REQUEST_ID, id)));
    response
}

/// The id that the client gave, if it is short and plain; or else one of our own.
fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).map(HeaderValue::as_bytes);
    let plain = given.filter(|id| (1..=ID_LEN).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic));
    plain.map_or_else(|| unique("req"), |id| id.iter().copied().map(char::from).collect())
}

/// The trace that the request is a part of (W3C Trace Context): `00-TRACE-PARENT-FLAGS`, which later versions may go on from.
fn trace_id(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(TRACE_PARENT).iter();
    let (Some(only), None) = (all.next(), all.next()) else { return None };
    let parts: Vec<&str> = only.to_str().ok()?.split('-').collect();
    let is_hex = |text: &str| text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    let is_some = |text: &str| text.bytes().any(|digit| digit != b'0');
    let [version, trace, parent, flags, ref more @ ..] = parts[..] else { return None };
    let known = [version, trace, parent, flags];
    let is_version = if version == "00" { more.is_empty() } else { version != "ff" };
    let is_valid = is_version && known.map(str::len) == [2, 32, 16, 2] && known.into_iter().all(is_hex);
    (is_valid && is_some(trace) && is_some(parent)).then_some(trace)
}

/// The name of a method, if it is one that HTTP defines.
fn name(method: &Method) -> &'static str {
    let known = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
    known.into_iter().find(|name| *name == method.as_str()).unwrap_or("other")
}

fn ms(time: Duration) -> f64 {
    time.as_micros() as f64 / 1e3
}

impl Visit {
    fn begin(app: Arc<App>, account: Arc<Account>, id: String, request: &Request) -> Self {
        let (method, route) = (name(request.method()), request.extensions().get::<MatchedPath>().cloned());
        let trace = trace_id(request.headers()).map(str::to_owned);
        #[cfg(feature = "otlp")]
        let (span, trace) = {
            let begin =
                |traces: &Traces| traces.begin(method, route.as_ref().map(MatchedPath::as_str), request.headers());
            let span = app.kept().traces.as_ref().map(begin);
            let trace = span.as_ref().map(Span::trace_id).or(trace);
            (span, trace)
        };
        Self {
            app,
            account,
            time: SystemTime::now(),
            began: Instant::now(),
            id,
            trace,
            method,
            route,
            status: None,
            bytes: 0,
            first_byte: None,
            is_whole: false,
            #[cfg(feature = "otlp")]
            span,
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let tokens = self.account.tokens();
        let line = Line {
            time: humantime::format_rfc3339_millis(self.time).to_string(),
            request_id: &self.id,
            trace_id: self.trace.as_deref(),
            key: self.account.key(),
            method: self.method,
            route: self.route.as_ref().map(MatchedPath::as_str),
            status: self.status.map(|status| status.as_u16()),
            bytes: self.bytes,
            model: self.account.model(),
            prompt_tokens: tokens.map(|tokens| tokens.of_prompts),
            completion_tokens: tokens.map(|tokens| tokens.of_completions.load(Relaxed)),
            cached_tokens: tokens.map(|tokens| tokens.cached.load(Relaxed)),
            first_byte_ms: self.first_byte.map(ms),
            total_ms: ms(self.began.elapsed()),
            client_left: !self.is_whole,
        };
        #[cfg(feature = "otlp")]
        if let Some(span) = self.span.take() {
            span.end(&line);
        }
        if let Some(log) = &self.app.kept().access_log {
            let mut line = serde_json::to_string(&line).expect("strings and numbers are JSON");
            line.push('\n');
            log.write(line);
        }
    }
}

impl Watcher for Visit {
    fn data(&mut self, data: &Bytes) {
        self.bytes += data.len() as u64;
        let since = self.began.elapsed();
        self.first_byte.get_or_insert(since);
    }

    fn end(&mut self) {
        self.is_whole = true;
    }
}
