//! A server without sockets, for what was recorded and for `fuzz/`; and the reader of keys without files.

use std::{path::Path, sync::Arc};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, header::CONTENT_TYPE},
};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use tokio::runtime::Runtime;

use crate::{
    app::App,
    error::{Result, ServeError},
    keys,
    repository::ModelSource,
    server::{ServeOptions, Server, router},
};

/// All routes of a server that listens nowhere.
#[derive(Debug)]
pub struct InProcess {
    router: TowerToHyperService<Router>,
    runtime: Runtime,
    server: Server,
}

/// A response, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Of HTTP.
    pub status: u16,
    /// Empty where it has none.
    pub content_type: String,
    /// All of it.
    pub body: Vec<u8>,
}

impl InProcess {
    /// Serve `models` nowhere.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn start(models: Vec<ModelSource>, options: &ServeOptions) -> Result<Self> {
        let server = Server::start(models, &ServeOptions { addresses: vec![], ..options.clone() })?;
        let app: &Arc<App> = server.app();
        let router = TowerToHyperService::new(router(app.clone(), &options.allow_origins));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Ok(Self { router, runtime: runtime.map_err(ServeError::Thread)?, server })
    }

    /// As [`Server::fingerprints`].
    pub fn fingerprints(&self) -> Vec<(String, String)> {
        self.server.fingerprints()
    }

    /// Take in no text from now on: what an engine would answer is refused (503).
    #[must_use]
    pub fn without_engines(self) -> Self {
        self.server.app().models().drain();
        self
    }

    /// The response to a `POST`; `None` where path or headers are none of HTTP.
    pub fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Option<Answer> {
        let request = headers.iter().fold(Request::post(path), |request, (name, value)| request.header(*name, *value));
        let request = request.body(Body::from(body.to_vec())).ok()?;
        self.runtime.block_on(async {
            let response = self.router.call(request).await.ok()?;
            let content_type = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
            let (status, content_type) = (response.status().as_u16(), content_type.unwrap_or_default().to_owned());
            let body = to_bytes(response.into_body(), usize::MAX).await.ok()?.to_vec();
            Some(Answer { status, content_type, body })
        })
    }
}

/// How many keys a file of keys has that reads `text`.
///
/// # Errors
/// As [`Server::start`] has them of such a file.
pub fn count_keys(text: &str) -> Result<usize> {
    keys::parse(Path::new("keys"), text).map(|known| known.len())
}
