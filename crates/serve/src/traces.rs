//! Requests as spans, told to a collector of OpenTelemetry by OTLP over HTTP.
//!
//! ```text
//! request ─ traceparent ─▶ span ─ status, tokens, times ─▶ room for 2048 ─▶ thread ─ batches, each 5 s ─▶ POST /v1/traces
//! ```
//!
//! Names of attributes are those of OpenTelemetry's semantic conventions for HTTP servers and generative models. A span is the child
//! of the one that the request's `traceparent` tells of (W3C Trace Context), and is left out where that says so. Nobody waits
//! for the collector: where it is slow or gone, spans are lost. `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`,
//! `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_TRACES_SAMPLER` and `OTEL_BSP_…` mean what they mean elsewhere.

use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use axum::http::{HeaderMap, uri::Uri};
use opentelemetry::{
    Context, KeyValue, Value,
    propagation::TextMapPropagator,
    trace::{Span as _, SpanKind, Status, Tracer, TracerProvider},
};
use opentelemetry_http::{Bytes, HeaderExtractor, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{SdkTracer, SdkTracerProvider},
};

use crate::{
    error::{Result, ServeError},
    told::Line,
};

/// How long a batch may take.
const BATCH: Duration = Duration::from_secs(10);

/// How long the last spans may take.
const LAST_SPANS: Duration = Duration::from_secs(1);

/// Where spans go.
pub(crate) struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

/// A request that is under way.
pub(crate) struct Span(opentelemetry_sdk::trace::Span);

impl Traces {
    /// Spans for the collector at `url`, as `http://127.0.0.1:4318/v1/traces`.
    pub fn open(url: &str) -> Result<Self> {
        let failed = |problem: String| ServeError::Traces { url: url.into(), problem };
        let parsed: Uri = url.parse().map_err(|error| failed(format!("{error}")))?;
        if !matches!(parsed.scheme_str(), Some("http" | "https")) {
            return Err(failed("expected http:// or https://, and no file".into()));
        }
        let agent = ureq::Agent::config_builder().timeout_global(Some(BATCH)).http_status_as_error(false).build();
        let client = Client { agent: agent.into(), is_lost: AtomicBool::new(false) };
        let exporter = SpanExporter::builder().with_http().with_http_client(client).with_endpoint(url).build();
        let exporter = exporter.map_err(|error| failed(error.to_string()))?;
        // what the environment says counts more
        let named = std::env::var_os("OTEL_SERVICE_NAME").is_some();
        let resource = Resource::builder();
        let resource = if named { resource } else { resource.with_service_name("itera") };
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource.with_attribute(version).build())
            .build();
        Ok(Self { tracer: provider.tracer("itera"), provider })
    }

    /// A span that begins now.
    pub fn begin(&self, method: &'static str, route: Option<&str>, headers: &HeaderMap) -> Span {
        let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &HeaderExtractor(headers));
        let name = route.map_or_else(|| method.to_owned(), |route| format!("{method} {route}"));
        let route = route.map(|route| KeyValue::new("http.route", route.to_owned()));
        let method = KeyValue::new("http.request.method", method);
        let builder = self.tracer.span_builder(name).with_kind(SpanKind::Server);
        let builder = builder.with_attributes([method].into_iter().chain(route));
        Span(self.tracer.build_with_context(builder, &parent))
    }

    /// Tell what was not told yet, and nothing more.
    pub fn close(&self) {
        let _ = self.provider.shutdown_with_timeout(LAST_SPANS);
    }
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traces").finish_non_exhaustive()
    }
}

impl Span {
    /// Of the trace that it is a part of, as `traceparent` has it.
    pub fn trace_id(&self) -> String {
        self.0.span_context().trace_id().to_string()
    }

    /// It ends now, with what `line` tells.
    pub fn end(mut self, line: &Line<'_>) {
        let count = |count: u64| Value::from(i64::try_from(count).unwrap_or(i64::MAX));
        let attributes = [
            ("http.response.status_code", line.status.map(|status| count(status.into()))),
            ("http.response.body.size", Some(count(line.bytes))),
            ("gen_ai.response.model", line.model.map(|model| model.to_owned().into())),
            ("gen_ai.usage.input_tokens", line.prompt_tokens.map(count)),
            ("gen_ai.usage.output_tokens", line.completion_tokens.map(count)),
            ("gen_ai.usage.cache_read.input_tokens", line.cached_tokens.map(count)),
            ("itera.request_id", Some(line.request_id.to_owned().into())),
            ("itera.time_to_first_byte", line.first_byte_ms.map(|ms| (ms / 1e3).into())),
            ("itera.client_left", Some(line.client_left.into())),
        ];
        for (name, value) in attributes {
            if let Some(value) = value {
                self.0.set_attribute(KeyValue::new(name, value));
            }
        }
        if let Some(status @ 500..) = line.status {
            self.0.set_attribute(KeyValue::new("error.type", status.to_string()));
            self.0.set_status(Status::error(""));
        }
        self.0.end();
    }
}

/// What brings batches, from the thread that makes them.
#[derive(Debug)]
struct Client {
    agent: ureq::Agent,
    /// Whether the last one was.
    is_lost: AtomicBool,
}

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let url = request.uri().clone();
        let sent = self.send(request);
        let problem = match &sent {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(response.status().to_string()),
            Err(error) => Some(error.to_string()),
        };
        // once, and not for each batch of an outage
        let was_lost = self.is_lost.swap(problem.is_some(), Relaxed);
        if let Some(problem) = problem.filter(|_| !was_lost) {
            tracing::warn!("traces are lost, which cannot be sent to {url}: {problem}");
        }
        sent
    }
}

impl Client {
    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let (head, mut body) = self.agent.run(Request::from_parts(head, &body[..]))?.into_parts();
        Ok(Response::from_parts(head, body.read_to_vec()?.into()))
    }
}
