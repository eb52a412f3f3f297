//! What every handler sees: the models, and the limits of a request.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::Request,
    http::header::CONTENT_ENCODING,
};
use tokio::task::block_in_place;

#[cfg(feature = "otlp")]
use crate::traces::Traces;
use crate::{
    account::Account,
    compression::decompressed,
    engine::Engine,
    feedback::Feedback,
    json::{self, Fields},
    keys::Keys,
    line_log::LineLog,
    metrics::Metrics,
    models::Models,
    refusal::Refusal,
    sequences::Sequences,
};

/// Bytes of a body that take longer to read and to turn into tokens than a step of an engine.
const LONG: usize = 16 << 10;

/// The models that are served, and what a request may ask for.
#[derive(Debug)]
pub(crate) struct App {
    models: Models,
    metrics: Arc<Metrics>,
    keys: Option<Keys>,
    kept: Kept,
    limits: RequestLimits,
    sequences: Arc<Sequences>,
}

/// What is kept of requests and their answers, each where that is asked for.
#[derive(Debug)]
pub(crate) struct Kept {
    /// What is said of answers.
    pub feedback: Option<Feedback>,
    /// What tells of each request.
    pub access_log: Option<LineLog>,
    /// Requests and their answers.
    pub record: Option<LineLog>,
    /// What a collector is told of each request.
    #[cfg(feature = "otlp")]
    pub traces: Option<Traces>,
}

/// How much a request may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestLimits {
    /// Bytes that are read of a body.
    pub body_bytes: usize,
    /// Time in which it must arrive.
    pub body_time: Duration,
    /// Texts that it may ask for.
    pub texts: usize,
    /// How long a sequence may wait for its next request.
    pub sequence_idle: Duration,
    /// Whether requests may have models loaded and put away.
    pub may_load: bool,
}

impl Kept {
    /// Whether anything tells of each request.
    pub fn tells(&self) -> bool {
        #[cfg(feature = "otlp")]
        let is_traced = self.traces.is_some();
        #[cfg(not(feature = "otlp"))]
        let is_traced = false;
        is_traced || self.access_log.is_some()
    }
}

impl App {
    pub fn new(models: Models, metrics: Arc<Metrics>, keys: Option<Keys>, kept: Kept, limits: RequestLimits) -> Self {
        let sequences = Arc::new(Sequences::new(limits.sequence_idle, limits.texts));
        Self { models, metrics, keys, kept, limits, sequences }
    }

    /// The keys, one of which a request must have where there are any.
    pub fn keys(&self) -> Option<&Keys> {
        self.keys.as_ref()
    }

    /// What is kept of requests and their answers.
    pub fn kept(&self) -> &Kept {
        &self.kept
    }

    /// What is said of answers, where that is kept.
    pub fn feedback(&self) -> Option<&Feedback> {
        self.kept.feedback.as_ref()
    }

    /// Texts that are asked for piece by piece.
    pub fn sequences(&self) -> &Arc<Sequences> {
        &self.sequences
    }

    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// All models.
    pub fn models(&self) -> &Models {
        &self.models
    }

    /// Whether requests may have models loaded and put away.
    pub fn may_load(&self) -> bool {
        self.limits.may_load
    }

    /// Bytes that are read of a body.
    #[cfg(feature = "grpc")]
    pub fn body_bytes(&self) -> usize {
        self.limits.body_bytes
    }

    /// Texts that one request may ask for.
    pub fn texts(&self) -> usize {
        self.limits.texts
    }

    /// The model that a request names; the only one where it names none.
    pub fn engine(&self, name: Option<&str>) -> Result<Arc<Engine>, Refusal> {
        self.engine_of(name, None)
    }

    /// The same, of a version where one is named.
    pub fn engine_of(&self, name: Option<&str>, version: Option<u64>) -> Result<Arc<Engine>, Refusal> {
        let engine = self.models.engine(name, version).map_err(|missing| Refusal::missing(name, missing))?;
        if let Some(account) = Account::current() {
            account.set_model(&engine.loaded().name);
        }
        Ok(engine)
    }

    /// Whether every engine runs, and ends its steps in time.
    pub fn is_ready(&self) -> bool {
        self.models.engines().iter().all(|engine| engine.is_ready())
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

    /// All of a body as it comes, if it is not too long and does not take too long.
    pub async fn whole(&self, body: Body) -> Result<Bytes, Refusal> {
        let RequestLimits { body_bytes, body_time, .. } = self.limits;
        match tokio::time::timeout(body_time, to_bytes(body, body_bytes)).await {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(_)) => Err(Refusal::too_large(body_bytes)),
            Err(_) => Err(Refusal::too_slow()),
        }
    }

    /// All of a request's body, decompressed, if it is not too long and does not take too long.
    pub async fn body(&self, request: Request) -> Result<Bytes, Refusal> {
        let (head, body) = request.into_parts();
        let body_bytes = self.limits.body_bytes;
        let body = self.whole(body).await?;
        match head.headers.get(CONTENT_ENCODING) {
            None => Ok(body),
            Some(encoding) => at_leisure(usize::MAX, || decompressed(encoding.as_bytes(), &body, body_bytes)),
        }
    }
}

/// What is long to do must not keep others from being heard.
pub(crate) fn at_leisure<T>(len: usize, work: impl FnOnce() -> T) -> T {
    if len > LONG { block_in_place(work) } else { work() }
}
