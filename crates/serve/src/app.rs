//! What every handler sees: the models, and the limits of a request.

use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};

use crate::{engine::Engine, metrics::Metrics, refusal::Refusal};

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

    /// All of a request's body, if it is not too long and does not take too long.
    pub async fn body(&self, body: Body) -> Result<Bytes, Refusal> {
        match tokio::time::timeout(self.body_time, to_bytes(body, self.body_bytes)).await {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(_)) => Err(Refusal::too_large(self.body_bytes)),
            Err(_) => Err(Refusal::too_slow()),
        }
    }
}
