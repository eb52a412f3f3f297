//! `GET /`: a page to play with, one file, which asks the server as any other client does.

use std::sync::{Arc, LazyLock};

use axum::{
    extract::State,
    http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS},
    response::{Html, IntoResponse},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use itera_files::Sha256Digest;

use crate::{
    app::App,
    openapi::{Operation, Routes},
};

const PAGE: &str = include_str!("page.html");

/// The page of a server that keeps what is said of answers, as its script then knows.
static WITH_FEEDBACK: LazyLock<String> = LazyLock::new(|| PAGE.replacen("<html", "<html data-feedback", 1));

/// Nothing but this file and this server: a text that a model writes is never more than text.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let [script, style] = ["script", "style"].map(source_of);
    format!(
        "default-src 'none'; connect-src 'self'; script-src {script}; style-src {style}; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'"
    )
});

/// The element of this name that the page has, and no other, by the hash of what is in it (Content Security Policy Level 3,
/// hash-source).
fn source_of(element: &str) -> String {
    let (_, from) = PAGE.split_once(&format!("<{element}>")).expect("the page has one");
    let (text, _) = from.split_once(&format!("</{element}>")).expect("and it ends");
    format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256Digest::of(text.as_bytes()).as_bytes()))
}

/// The route of the page.
pub(crate) fn routes(routes: Routes) -> Routes {
    routes.get("/", page, Operation::new("A page to play with").answers_text("text/html"))
}

async fn page(State(app): State<Arc<App>>) -> impl IntoResponse {
    let headers = [
        (CONTENT_SECURITY_POLICY, POLICY.as_str()),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, Html(if app.feedback().is_some() { WITH_FEEDBACK.as_str() } else { PAGE }))
}
