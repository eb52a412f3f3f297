//! The readers of requests and of keys without sockets and files, for `fuzz/`.

use std::{path::Path, sync::Arc};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::Request,
};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use tokio::runtime::Runtime;

use crate::{
    app::App,
    error::{Result, ServeError},
    keys,
    loaded::Loaded,
    server::{ServeOptions, Server, router},
};

/// All routes of a server that reads and checks whatever it is asked, and takes in no text: what could be answered by an engine
/// is refused (503).
#[derive(Debug)]
pub struct InProcess {
    router: TowerToHyperService<Router>,
    runtime: Runtime,
    _server: Server,
}

impl InProcess {
    /// Serve `models` nowhere.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn start(models: Vec<Loaded>, options: &ServeOptions) -> Result<Self> {
        let server = Server::start(models, &ServeOptions { addresses: vec![], ..options.clone() })?;
        let app: &Arc<App> = server.app();
        app.models().drain();
        let router = TowerToHyperService::new(router(app.clone()));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Ok(Self { router, runtime: runtime.map_err(ServeError::Thread)?, _server: server })
    }

    /// Status and body of the response to a `POST`; `None` where path or headers are none of HTTP.
    pub fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Option<(u16, Vec<u8>)> {
        let request = headers.iter().fold(Request::post(path), |request, (name, value)| request.header(*name, *value));
        let request = request.body(Body::from(body.to_vec())).ok()?;
        self.runtime.block_on(async {
            let response = self.router.call(request).await.ok()?;
            let status = response.status().as_u16();
            Some((status, to_bytes(response.into_body(), usize::MAX).await.ok()?.to_vec()))
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
