//! What one method of one path takes and answers.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::openapi::schema::text;

/// The media type of bytes.
pub(crate) const BYTES: &str = "application/octet-stream";

/// Said of a route where it is served.
#[derive(Debug)]
pub(crate) struct Operation {
    pub summary: &'static str,
    pub parameters: Vec<Value>,
    pub body: Option<Body>,
    pub answers: Vec<Answer>,
    /// Statuses of refusals, beside those that every route of its sort has.
    pub refusals: Vec<StatusCode>,
}

/// What a request holds.
#[derive(Debug)]
pub(crate) struct Body {
    pub name: &'static str,
    pub schema: Value,
    pub is_required: bool,
    /// Whether it may come as bytes too.
    pub is_binary_too: bool,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub status: StatusCode,
    /// Media type and schema; `None` where the status says all.
    pub content: Option<(&'static str, Value)>,
}

impl Operation {
    /// An operation of which `summary` says what it does.
    pub fn new(summary: &'static str) -> Self {
        Self { summary, parameters: vec![], body: None, answers: vec![], refusals: vec![] }
    }

    /// It takes JSON, which the document calls `name`.
    pub fn takes(mut self, name: &'static str, schema: Value) -> Self {
        self.body = Some(Body { name, schema, is_required: true, is_binary_too: false });
        self
    }

    /// It does without a body too.
    pub fn or_nothing(mut self) -> Self {
        self.body.iter_mut().for_each(|body| body.is_required = false);
        self
    }

    /// Its body may be bytes too, of which the header `name` says how many are JSON.
    pub fn or_bytes(mut self, name: &str, description: &str) -> Self {
        self.body.iter_mut().for_each(|body| body.is_binary_too = true);
        self.parameters.push(json!({
            "name": name, "in": "header", "description": description,
            "schema": {"type": "string", "pattern": "^[0-9]+$"},
        }));
        self
    }

    /// A field of the query that may be absent.
    pub fn asks(mut self, name: &str, description: &str) -> Self {
        self.parameters.push(json!({"name": name, "in": "query", "description": description, "schema": text()}));
        self.refuses(&[StatusCode::BAD_REQUEST, StatusCode::NOT_FOUND])
    }

    /// It answers JSON.
    pub fn answers(self, schema: Value) -> Self {
        self.answers_with(StatusCode::OK, schema)
    }

    /// It answers JSON, also with this status.
    pub fn answers_with(self, status: StatusCode, schema: Value) -> Self {
        self.answer(status, Some(("application/json", schema)))
    }

    /// It answers that it is done.
    pub fn answers_nothing(self) -> Self {
        self.answer(StatusCode::OK, None)
    }

    /// It answers a text, also of this type.
    pub fn answers_text(self, media_type: &'static str) -> Self {
        self.answer(StatusCode::OK, Some((media_type, text())))
    }

    /// It answers what is no JSON, where that was asked for.
    pub fn answers_other(self, media_type: &'static str) -> Self {
        self.answer(StatusCode::OK, Some((media_type, json!({}))))
    }

    fn answer(mut self, status: StatusCode, content: Option<(&'static str, Value)>) -> Self {
        self.answers.push(Answer { status, content });
        self
    }

    /// It refuses with these statuses too.
    pub fn refuses(mut self, statuses: &[StatusCode]) -> Self {
        self.refusals.extend(statuses);
        self
    }

    /// It asks an engine for texts or vectors.
    pub fn computed(self) -> Self {
        self.refuses(&[StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE])
    }
}
