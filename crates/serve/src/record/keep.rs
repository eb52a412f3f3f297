//! The requests of a server that are answered → lines of a record.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    path::Path,
    process,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{
    body::{Body, Bytes},
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::prelude::{BASE64_STANDARD, Engine};
use itera_files::failed_to;
use prometheus_client::metrics::counter::Counter;

use crate::{
    app::App,
    error::Result,
    line_log::{LineLog, LogTarget},
    record::{Line, canonical},
    watched::{Watcher, watched},
};

/// Routes whose answers depend on the model and the request alone.
const ROUTES: [&str; 13] = [
    "/v1/completions",
    "/v1/chat/completions",
    "/v1/embeddings",
    "/completion",
    "/completions",
    "/tokenize",
    "/detokenize",
    "/v2/models/{model}/infer",
    "/v2/models/{model}/generate",
    "/v2/models/{model}/generate_stream",
    "/v2/models/{model}/versions/{version}/infer",
    "/v2/models/{model}/versions/{version}/generate",
    "/v2/models/{model}/versions/{version}/generate_stream",
];

/// Headers that say what a body is.
const HEADERS: [&str; 3] = ["content-type", "content-encoding", "inference-header-content-length"];

/// Statuses that depend on the request, and not on what else is going on.
const STATUSES: [StatusCode; 3] = [StatusCode::OK, StatusCode::BAD_REQUEST, StatusCode::NOT_FOUND];

/// A new file in the directory `dir`, which is made if it is not there; nobody else may read it. `lost` counts lines that do
/// not get there.
pub(crate) fn open(dir: &Path, lost: Counter) -> Result<LineLog> {
    fs::create_dir_all(dir).map_err(failed_to("create", dir))?;
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let path = dir.join(format!("{}-{}.jsonl", since.as_millis(), process::id()));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(&path).map_err(failed_to("create", &path))?;
    LineLog::open(&LogTarget::File(path), lost)
}

/// Keep a request and its answer, if they are to be kept.
pub(crate) async fn keep(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let is_meant = |route: &MatchedPath| ROUTES.contains(&route.as_str());
    if !request.extensions().get().is_some_and(is_meant) {
        return next.run(request).await;
    }
    let path = request.uri().path_and_query().map_or_else(String::new, ToString::to_string);
    let (head, body) = request.into_parts();
    let headers = headers_of_body(&head.headers);
    let body = match app.whole(body).await {
        Ok(body) => body,
        Err(refusal) => return refusal.into_response(),
    };
    let response = next.run(Request::from_parts(head, Body::from(body.clone()))).await;
    if !STATUSES.contains(&response.status()) {
        return response;
    }
    let (time, answer) = (String::new(), String::new());
    let body = BASE64_STANDARD.encode(body);
    let line = Line { time, path, headers, body, status: response.status().as_u16(), answer };
    let content_type =
        response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("").to_owned();
    response.map(|body| watched(body, Kept { content_type, answer: vec![], line: Some(line), app }))
}

fn headers_of_body(headers: &HeaderMap) -> BTreeMap<String, String> {
    let header = |name: &&str| Some(((*name).to_owned(), headers.get(*name)?.to_str().ok()?.to_owned()));
    HEADERS.iter().filter_map(header).collect()
}

/// An answer that is kept; one whose client leaves is not.
struct Kept {
    content_type: String,
    answer: Vec<u8>,
    /// `None` once it is written.
    line: Option<Line>,
    app: Arc<App>,
}

impl Watcher for Kept {
    fn data(&mut self, data: &Bytes) {
        self.answer.extend_from_slice(data);
    }

    fn end(&mut self) {
        let (Some(line), Some(record)) = (self.line.take(), &self.app.kept().record) else { return };
        let time = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
        let answer = canonical::hash(&self.content_type, &self.answer).to_string();
        let mut line = serde_json::to_string(&Line { time, answer, ..line }).expect("strings and numbers are JSON");
        line.push('\n');
        record.write(line);
    }
}
