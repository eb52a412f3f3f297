//! What a request may ask for, where keys are asked for.
//!
//! ```text
//! request ─ its route ─▶ role that it needs ─┐
//!    └──── Authorization ─▶ key ─▶ its role ─┴▶ answered, or 401 (no key of ours), or 403 (another role)
//! ```

use std::sync::Arc;

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, header::AUTHORIZATION},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::{
    account::Account,
    app::App,
    keys::{Keys, Role},
    refusal::Refusal,
};

/// Let a request through that may ask for what it asks for. Nothing of its body was read.
pub(crate) async fn admit(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let route = request.extensions().get().map(MatchedPath::as_str);
    let needed = route.map_or(Some(Role::Inference), needed);
    if let (Some(keys), Some(needed)) = (app.keys(), needed)
        && let Err(refusal) = check(keys, request.headers(), needed)
    {
        return refusal.into_response();
    }
    next.run(request).await
}

/// The role without which a route has no answer; `None` answers everybody. A path that is not served needs a role too.
pub(crate) fn needed(route: &str) -> Option<Role> {
    match route {
        // the page and the document have nothing of this server; the page asks for a key itself
        "/" | "/openapi.json" | "/health" | "/v2/health/live" | "/v2/health/ready" => None,
        "/v2/models/{model}/ready" | "/v2/models/{model}/versions/{version}/ready" => None,
        "/metrics" | "/v2/repository/models/{model}/load" | "/v2/repository/models/{model}/unload" => Some(Role::Admin),
        _ => Some(Role::Inference),
    }
}

/// Hold the key of a request to the role that it needs.
fn check(keys: &Keys, headers: &HeaderMap, needed: Role) -> Result<(), Refusal> {
    let sent = bearer(headers).ok_or_else(Refusal::no_key)?;
    let key = keys.find(sent).ok_or_else(Refusal::unknown_key)?;
    if let Some(account) = Account::current() {
        account.set_key(key.clone());
    }
    if key.role >= needed { Ok(()) } else { Err(Refusal::not_allowed(&key.name, needed.name())) }
}

/// `Authorization: Bearer KEY`, if it is there once.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let (Some(only), None) = (all.next(), all.next()) else { return None };
    let (scheme, key) = only.as_bytes().split_at_checked("Bearer ".len())?;
    let key = key.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"Bearer ") && !key.is_empty()).then_some(key)
}
