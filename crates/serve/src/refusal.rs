//! A request that gets no answer, and why.

use axum::{
    http::{
        HeaderValue, StatusCode,
        header::{RETRY_AFTER, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    catalog::Missing,
    openapi::schema::{count, exactly, or_null, text},
    outbox::Lost,
    queue::Refused,
};

/// Seconds after which a client may try again.
const RETRY_SECONDS: u32 = 1;

/// What OpenAI's API calls a key that it does not know.
const UNKNOWN_KEY: &str = "invalid_api_key";

/// Why a request is refused. As a response it is in the words of OpenAI's API, unless [`reword`](crate::reword) finds others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    status: StatusCode,
    kind: &'static str,
    code: Option<&'static str>,
    /// The field that is wrong.
    param: Option<String>,
    message: String,
}

impl Refusal {
    fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind, code: None, param: None, message: message.into() }
    }

    /// The request is wrong.
    pub fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", message)
    }

    /// The value of a field is wrong.
    pub fn field(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self { param: Some(param.into()), ..Self::bad(message) }
    }

    /// The same, of a field that lies at `path`.
    pub fn within(self, path: &str) -> Self {
        let param = Some(self.param.map_or(path.into(), |param| format!("{path}.{param}")));
        Self { param, message: format!("{path}.{}", self.message), ..self }
    }

    /// The prompt in `field`, with what is to follow it, is longer than the model's context.
    pub fn too_long(field: &str, prompt: usize, more: usize, context: usize) -> Self {
        let message = format!(
            "this model's longest context is {context} tokens, and the request asks for {}: {prompt} in the prompt, {more} \
             after it",
            prompt.saturating_add(more)
        );
        Self { code: Some("context_length_exceeded"), ..Self::field(field, message) }
    }

    /// The request has no key, and needs one.
    pub fn no_key() -> Self {
        let message = "this server asks for a key: Authorization: Bearer KEY";
        Self { code: Some("missing_api_key"), ..Self::new(StatusCode::UNAUTHORIZED, "invalid_request_error", message) }
    }

    /// The request has a key that is none of the server's.
    pub fn unknown_key() -> Self {
        let message = "this server does not know the key";
        Self { code: Some(UNKNOWN_KEY), ..Self::new(StatusCode::UNAUTHORIZED, "invalid_request_error", message) }
    }

    /// The request has a key of another role than it needs.
    pub fn not_allowed(name: &str, needed: &str) -> Self {
        let message = format!("the key {name:?} does not have the role {needed:?}");
        Self { code: Some("missing_scope"), ..Self::new(StatusCode::FORBIDDEN, "invalid_request_error", message) }
    }

    /// No engine is behind `name`.
    pub fn missing(name: Option<&str>, missing: Missing) -> Self {
        let name = name.unwrap_or_default();
        let none = |param: &str, message: String| Self {
            code: Some("model_not_found"),
            param: Some(param.into()),
            ..Self::new(StatusCode::NOT_FOUND, "invalid_request_error", message)
        };
        match missing {
            Missing::Unnamed => Self::field("model", "model: expected the name of one of several models"),
            Missing::Name(there) => none("model", format!("there is no model {name:?}; there is {}", there.join(", "))),
            Missing::Version(there) => {
                let there: Vec<String> = there.iter().map(u64::to_string).collect();
                none("version", format!("model {name:?} has no such version; there is {}", there.join(", ")))
            }
            Missing::Away => none("model", format!("model {name:?} is not loaded")),
            Missing::Unloadable(why) => {
                let message = format!("model {name:?} cannot be loaded: {why}");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message)
            }
        }
    }

    /// Models come and go by the server's own choice alone.
    pub fn may_not_load() -> Self {
        let message = "this server loads and unloads no model by request";
        Self::new(StatusCode::NOT_FOUND, "invalid_request_error", message)
    }

    /// No such answer, or none that is remembered.
    pub fn no_answer(id: &str) -> Self {
        let message = format!("there was no answer {id:?}, or it was long ago");
        Self { param: Some("id".into()), ..Self::new(StatusCode::NOT_FOUND, "invalid_request_error", message) }
    }

    /// Something was said of this choice before.
    pub fn said_already() -> Self {
        let message = "choice: something was said of it already";
        Self { param: Some("choice".into()), ..Self::new(StatusCode::CONFLICT, "invalid_request_error", message) }
    }

    /// What was said cannot be kept.
    pub fn not_kept(why: &str) -> Self {
        let message = format!("this cannot be kept: {why}");
        Self::new(StatusCode::INSUFFICIENT_STORAGE, "unavailable", message)
    }

    /// Nothing is at this path.
    pub fn no_route(path: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "invalid_request_error", format!("nothing is served at {path:?}"))
    }

    /// The path is served, but not by this method.
    pub fn no_method(method: &str, path: &str) -> Self {
        let message = format!("{path:?} takes no {method}");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "invalid_request_error", message)
    }

    /// The body is longer than the server reads.
    pub fn too_large(limit: usize) -> Self {
        let message = format!("the body is longer than the {limit} bytes that this server reads");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "invalid_request_error", message)
    }

    /// The body is compressed in a way that is not read.
    pub fn foreign_encoding() -> Self {
        let message = "content-encoding: expected gzip, deflate or identity";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid_request_error", message)
    }

    /// The body did not come in time.
    pub fn too_slow() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "invalid_request_error", "the body did not arrive in time")
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Full => {
                let message = "more requests are waiting than this server lets wait; try again";
                Self {
                    code: Some("rate_limit_exceeded"),
                    ..Self::new(StatusCode::TOO_MANY_REQUESTS, "overloaded", message)
                }
            }
            Refused::TooMany { tokens, most } => Self::bad(format!(
                "all texts of the request together have {tokens} tokens, and this server takes in {most} of one request"
            )),
            Refused::Ending => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "this server is shutting down")
            }
        }
    }
}

impl From<Lost> for Refusal {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::Engine => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "this server ended before the text did")
            }
            Lost::Stalled => Self::new(
                StatusCode::REQUEST_TIMEOUT,
                "invalid_request_error",
                "the text ended before it was whole: nothing of it was read for too long",
            ),
            Lost::Grammar => {
                Self::bad("the text cannot go on: no token keeps to its grammar, or finding one takes too long")
            }
        }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    error: Error<'a>,
}

#[derive(Serialize)]
struct Error<'a> {
    message: &'a str,
    r#type: &'a str,
    param: Option<&'a str>,
    code: Option<&'a str>,
}

impl Refusal {
    /// What is wrong, in words.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// As JSON, in OpenAI's words.
    pub fn to_json(&self) -> String {
        let Self { kind, code, param, message, .. } = self;
        let error = Error { message, r#type: kind, param: param.as_deref(), code: *code };
        serde_json::to_string(&Body { error }).expect("strings are JSON")
    }

    /// As JSON, in llama.cpp's words.
    pub fn to_json_with_status(&self) -> String {
        let kind = match (self.code, self.status) {
            (Some("context_length_exceeded"), _) => "exceed_context_size_error",
            (_, StatusCode::UNAUTHORIZED) => "authentication_error",
            (_, StatusCode::FORBIDDEN) => "permission_error",
            (_, StatusCode::NOT_FOUND) => "not_found_error",
            (_, StatusCode::SERVICE_UNAVAILABLE) => "unavailable_error",
            _ => "invalid_request_error",
        };
        let error = json!({"code": self.status.as_u16(), "message": self.message, "type": kind});
        json!({"error": error}).to_string()
    }

    /// As JSON, the message alone.
    pub fn to_short_json(&self) -> String {
        json!({"error": self.message}).to_string()
    }

    /// What a client is to prove, as RFC 6750 has it.
    fn challenge(&self) -> Option<&'static str> {
        match (self.status, self.code) {
            (StatusCode::UNAUTHORIZED, Some(UNKNOWN_KEY)) => Some("Bearer realm=\"itera\", error=\"invalid_token\""),
            (StatusCode::UNAUTHORIZED, _) => Some("Bearer realm=\"itera\""),
            (StatusCode::FORBIDDEN, _) => Some("Bearer realm=\"itera\", error=\"insufficient_scope\""),
            _ => None,
        }
    }
}

/// In whose words a refusal is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// `{"error": {"message", "type", "param", "code"}}`
    OpenAi,
    /// The Open Inference Protocol's, and Triton's: `{"error": "…"}`
    Inference,
    /// llama.cpp's: `{"error": {"code", "message", "type"}}`, the code being that of the response.
    LlamaCpp,
}

impl Dialect {
    /// Of the surface that `path` belongs to.
    pub fn of(path: &str) -> Self {
        match path.split('/').nth(1) {
            Some("v2") => Self::Inference,
            Some("completion" | "completions" | "props" | "slots") => Self::LlamaCpp,
            _ => Self::OpenAi,
        }
    }
}

/// What a refusal with this status is at `path`, as the document tells it, and a name for that.
pub(crate) fn response(path: &str, status: StatusCode) -> (String, Value) {
    let dialect = Dialect::of(path);
    let error = match dialect {
        Dialect::OpenAi => {
            exactly(vec![("message", text()), ("type", text()), ("param", or_null(text())), ("code", or_null(text()))])
        }
        Dialect::Inference => text(),
        Dialect::LlamaCpp => exactly(vec![("code", count()), ("message", text()), ("type", text())]),
    };
    let mut response = json!({
        "description": status.canonical_reason(),
        "content": {"application/json": {"schema": exactly(vec![("error", error)])}},
    });
    let header = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Some(("WWW-Authenticate", text())),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Some(("Retry-After", count())),
        _ => None,
    };
    if let Some((name, schema)) = header {
        response["headers"][name] = json!({"required": true, "schema": schema});
    }
    (format!("{dialect:?}{}", status.as_u16()), response)
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, [("content-type", "application/json")], self.to_json()).into_response();
        response.extensions_mut().insert(self.clone());
        if matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(RETRY_SECONDS));
        }
        if let Some(challenge) = self.challenge() {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response
    }
}
