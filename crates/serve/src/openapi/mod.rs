//! `GET /openapi.json`: what is served, as OpenAPI 3.1 tells it.
//!
//! ```text
//! path, method, handler, operation ─ Routes ─┬▶ router
//!                                            └▶ document
//! ```
//!
//! It is made by hand: bodies are read field by field, so derived types (utoipa) would be a second copy of every field list.
//! A route cannot be served without its operation, and `tests/http/openapi.rs` holds each schema to the reader beside it.

mod operation;
pub(crate) mod schema;

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    Router,
    handler::Handler,
    http::StatusCode,
    routing::{MethodRouter, get, post},
};
use serde_json::{Map, Value, json};

use crate::{app::App, guard, keys::Role, openapi::schema::text, refusal};

pub(crate) use operation::{BYTES, Operation};

/// Routes, and what is to be said of them.
pub(crate) struct Routes {
    router: Router<Arc<App>>,
    paths: Map<String, Value>,
    schemas: Map<String, Value>,
    responses: Map<String, Value>,
}

impl Routes {
    pub fn new() -> Self {
        Self { router: Router::new(), paths: Map::new(), schemas: Map::new(), responses: Map::new() }
    }

    /// Serve `GET path`.
    pub fn get<H: Handler<T, Arc<App>>, T: 'static>(self, path: &str, handler: H, operation: Operation) -> Self {
        self.route("get", path, get(handler), operation)
    }

    /// Serve `POST path`.
    pub fn post<H: Handler<T, Arc<App>>, T: 'static>(self, path: &str, handler: H, operation: Operation) -> Self {
        self.route("post", path, post(handler), operation)
    }

    fn route(mut self, method: &str, path: &str, handler: MethodRouter<Arc<App>>, operation: Operation) -> Self {
        let entry = self.operation(path, operation);
        // a parameter of several segments is one of axum's alone
        let told = path.replace("{*", "{");
        self.paths.entry(told).or_insert_with(|| json!({}))[method] = entry;
        self.router = self.router.route(path, handler);
        self
    }

    /// The routes alone.
    pub fn into_router(self) -> Router<Arc<App>> {
        self.router
    }

    /// What is said of them.
    pub fn document(self) -> Value {
        json!({
            "openapi": "3.1.0",
            "info": {
                "title": "Itera",
                "version": env!("CARGO_PKG_VERSION"),
                "description": "Models as a service. The bytes of an answer depend on the model and the request alone. A \
                    field that is unknown, given twice, of another type or out of range is a 400 that names it; null is as if \
                    the field were absent. Bodies may come compressed, by gzip or deflate.",
            },
            "paths": self.paths,
            "components": {
                "schemas": self.schemas,
                "responses": self.responses,
                "securitySchemes": {"key": {
                    "type": "http", "scheme": "bearer",
                    "description": "A key of the server, where it has any. Without keys everybody is answered.",
                }},
            },
        })
    }

    fn operation(&mut self, path: &str, operation: Operation) -> Value {
        let Operation { summary, parameters, body, answers, refusals } = operation;
        let mut entry = json!({"summary": summary, "parameters": [], "responses": {}});
        let mut refusals: BTreeSet<StatusCode> = refusals.into_iter().collect();
        let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        let in_path = names.map(
            |name| json!({"name": name.trim_start_matches('*'), "in": "path", "required": true, "schema": text()}),
        );
        let in_path: Vec<Value> = in_path.collect();
        if !in_path.is_empty() {
            refusals.extend([StatusCode::BAD_REQUEST, StatusCode::NOT_FOUND]);
        }
        entry["parameters"] = in_path.into_iter().chain(parameters).collect();
        if let Some(body) = body {
            refusals.extend([
                StatusCode::BAD_REQUEST,
                StatusCode::NOT_FOUND,
                StatusCode::REQUEST_TIMEOUT,
                StatusCode::PAYLOAD_TOO_LARGE,
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ]);
            let schema = reference(&mut self.schemas, "schemas", body.name, body.schema);
            let mut content = json!({"application/json": {"schema": schema}});
            if body.is_binary_too {
                content[BYTES] = json!({});
            }
            entry["requestBody"] = json!({"required": body.is_required, "content": content});
        }
        if let Some(role) = guard::needed(path) {
            refusals.insert(StatusCode::UNAUTHORIZED);
            refusals.extend((role > Role::Inference).then_some(StatusCode::FORBIDDEN));
            // where the server has keys
            entry["security"] = json!([{"key": []}, {}]);
        }
        let responses = &mut entry["responses"];
        for answer in answers {
            let told = &mut responses[answer.status.as_str()];
            told["description"] = answer.status.canonical_reason().into();
            if let Some((media_type, schema)) = answer.content {
                told["content"][media_type] = json!({"schema": schema});
            }
        }
        for status in refusals {
            let (name, response) = refusal::response(path, status);
            responses[status.as_str()] = reference(&mut self.responses, "responses", &name, response);
        }
        entry
    }
}

/// A reference to a component of this sort, which is added if it is not there.
fn reference(components: &mut Map<String, Value>, sort: &str, name: &str, component: Value) -> Value {
    let there = components.entry(name).or_insert_with(|| component.clone());
    debug_assert_eq!(*there, component, "{name} is one thing");
    json!({"$ref": format!("#/components/{sort}/{name}")})
}
