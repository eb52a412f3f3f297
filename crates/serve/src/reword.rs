//! What every request and its answer go through: queries that nobody reads are refused, and a refusal is told in the words of the
//! surface that was asked.

use axum::{
    extract::{MatchedPath, Request},
    http::header::CONTENT_LENGTH,
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::{
    guard,
    refusal::{Dialect, Refusal},
};

/// Answer a request, in the words of its surface.
pub(crate) async fn reword(request: Request, next: Next) -> Response {
    let dialect = Dialect::of(request.uri().path());
    let mut response = match unread(&request) {
        Some(refusal) => refusal.into_response(),
        None => next.run(request).await,
    };
    let refusal = response.extensions_mut().remove::<Refusal>();
    let reworded = refusal.and_then(|refusal| match dialect {
        Dialect::OpenAi => None,
        Dialect::Inference => Some(refusal.to_short_json()),
        Dialect::LlamaCpp => Some(refusal.to_json_with_status()),
    });
    if let Some(body) = reworded {
        response.headers_mut().remove(CONTENT_LENGTH);
        *response.body_mut() = body.into();
    }
    response
}

/// Why the query of a request is refused, if it has one that its route does not read. Routes that read one look at it
/// themselves; those that answer everybody, as probes are, may be asked with anything.
fn unread(request: &Request) -> Option<Refusal> {
    let query = request.uri().query().filter(|query| !query.is_empty())?;
    let route = request.extensions().get().map(MatchedPath::as_str)?;
    if matches!(route, "/props" | "/slots" | "/tokenizer_info") || guard::needed(route).is_none() {
        return None;
    }
    let name = query.split(['&', '=']).next().unwrap_or_default();
    Some(Refusal::field(name, format!("unknown parameter {name:?} in the query: this path takes none")))
}
