//! What every handler sees: the models, and the limits of a request.

use std::time::Duration;

use axum::{
    body::{Bytes, to_bytes},
    extract::Request,
    http::header::CONTENT_ENCODING,
};

use tokio::task::block_in_place;

use crate::{
    compression::decompressed,
    engine::Engine,
    json::{self, Fields},
    metrics::Metrics,
    refusal::Refusal,
};

/// Bytes of a body that take longer to read and to turn into tokens than a step of an engine.
const LONG: usize = 16 << 10;

/// The models that are served, and what a request may ask for.
#[derive(Debug)]
pub(crate) struct App {
    engines: Vec<Engine>,
    metrics: Metrics,
    /// Bytes that are read of a body.
    body_bytes: usize,
    /// Time in which it must arrive.
    body_time: Duration,
    /// Texts that one request may ask for.
    texts: usize,
}

impl App {
    pub fn new(engines: Vec<Engine>, metrics: Metrics, body_bytes: usize, body_time: Duration, texts: usize) -> Self {
        Self { engines, metrics, body_bytes, body_time, texts }
    }

    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub fn engines(&self) -> &[Engine] {
        &self.engines
    }

    /// Texts that one request may ask for.
    pub fn texts(&self) -> usize {
        self.texts
    }

    /// The model that a request names; the only one where it names none.
    pub fn engine(&self, name: Option<&str>) -> Result<&Engine, Refusal> {
        let name = match (name, &self.engines[..]) {
            (Some(name), _) => name,
            (None, [only]) => return Ok(only),
            (None, _) => return Err(Refusal::field("model", "model: expected the name of one of several models")),
        };
        let found = self.engines.iter().find(|engine| engine.loaded().name == name);
        found.ok_or_else(|| {
            let names: Vec<&str> = self.engines.iter().map(|engine| engine.loaded().name.as_str()).collect();
            Refusal::no_model(name, &names)
        })
    }

    /// Whether every engine runs, and ends its steps in time.
    pub fn is_ready(&self) -> bool {
        self.engines.iter().all(Engine::is_ready)
    }

    /// What `read` makes of the fields of a request.
    pub async fn read<T>(
        &self,
        request: Request,
        read: impl FnOnce(Fields) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let body = self.body(request).await?;
        at_leisure(body.len(), || read(json::parse(&body)?))
    }

    /// All of a request's body, decompressed, if it is not too long and does not take too long.
    pub async fn body(&self, request: Request) -> Result<Bytes, Refusal> {
        let (head, body) = request.into_parts();
        let body = match tokio::time::timeout(self.body_time, to_bytes(body, self.body_bytes)).await {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(_)) => return Err(Refusal::too_large(self.body_bytes)),
            Err(_) => return Err(Refusal::too_slow()),
        };
        match head.headers.get(CONTENT_ENCODING) {
            None => Ok(body),
            Some(encoding) => at_leisure(usize::MAX, || decompressed(encoding.as_bytes(), &body, self.body_bytes)),
        }
    }
}

/// What is long to do must not keep others from being heard.
pub(crate) fn at_leisure<T>(len: usize, work: impl FnOnce() -> T) -> T {
    if len > LONG { block_in_place(work) } else { work() }
}
