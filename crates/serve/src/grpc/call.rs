//! A call of gRPC: its message in, requests of HTTP in its name, its answer out.

use std::{pin::pin, sync::Arc};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header::AUTHORIZATION},
    response::IntoResponse,
    routing::{MethodRouter, post},
};
use futures_util::{
    future::{Either, select},
    stream,
};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use prost::Message;
use serde::{Deserialize, de::DeserializeOwned};
use tokio::sync::watch;
use tonic::{Code, Response, Status, Streaming, server::Grpc};
use tonic_prost::ProstCodec;
use tower::service_fn;

use crate::{
    app::App,
    grpc::infer,
    refusal::Refusal,
    v2::JSON_LENGTH,
    visit::{REQUEST_ID, TRACE_PARENT},
};

/// What a call has in common with the requests that are made in its name.
const HEADERS: [HeaderName; 3] = [AUTHORIZATION, REQUEST_ID, TRACE_PARENT];

/// What all calls are answered by.
#[derive(Clone)]
pub(super) struct Shared {
    http: TowerToHyperService<Router>,
    app: Arc<App>,
    ending: watch::Receiver<bool>,
}

/// Who makes requests in the name of a call.
#[derive(Clone)]
pub(super) struct Caller {
    http: TowerToHyperService<Router>,
    headers: HeaderMap,
}

/// A response of HTTP.
pub(super) struct Reply {
    pub status: StatusCode,
    pub body: infer::Body,
}

#[derive(Deserialize)]
struct Told {
    error: String,
}

impl Shared {
    /// Calls that `http` answers; streams end when `ending` is true.
    pub fn new(http: Router, app: Arc<App>, ending: watch::Receiver<bool>) -> Self {
        Self { http: TowerToHyperService::new(http), app, ending }
    }

    fn caller(&self, headers: &HeaderMap) -> Caller {
        let mut kept = HeaderMap::new();
        for name in &HEADERS {
            for value in headers.get_all(name) {
                kept.append(name, value.clone());
            }
        }
        Caller { http: self.http.clone(), headers: kept }
    }

    fn grpc<Q, A>(&self) -> Grpc<ProstCodec<A, Q>>
    where
        Q: Message + Default + 'static,
        A: Message + 'static,
    {
        Grpc::new(ProstCodec::default()).max_decoding_message_size(self.app.body_bytes())
    }
}

impl Caller {
    /// The response to a request.
    pub async fn ask(&self, method: Method, path: &str, body: infer::Body) -> Result<Reply, Status> {
        let request = Request::builder().method(method).uri(path).body(Body::from(body.bytes));
        let mut request = request.map_err(|_| Status::invalid_argument(format!("no path: {path:?}")))?;
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().insert(JSON_LENGTH, HeaderValue::from(body.json_len));
        let response = self.http.call(request).await;
        let (head, body) = response.unwrap_or_else(|never| match never {}).into_parts();
        let bytes = to_bytes(body, usize::MAX).await.map_err(|_| Status::unavailable("the answer broke off"))?.to_vec();
        let json_len = head.headers.get(JSON_LENGTH).and_then(|len| len.to_str().ok()?.parse().ok());
        Ok(Reply { status: head.status, body: infer::Body { json_len: json_len.unwrap_or(bytes.len()), bytes } })
    }

    /// What is told at `path`.
    pub async fn get<A: DeserializeOwned>(&self, path: &str) -> Result<A, Status> {
        self.ask(Method::GET, path, infer::Body::default()).await?.answered()?.read()
    }

    /// The response to `json` at `path`, which is not refused.
    pub async fn post(&self, path: &str, json: &serde_json::Value) -> Result<Reply, Status> {
        let bytes = json.to_string().into_bytes();
        self.ask(Method::POST, path, infer::Body { json_len: bytes.len(), bytes }).await?.answered()
    }
}

impl Reply {
    /// The same, unless the request is refused.
    pub fn answered(self) -> Result<Self, Status> {
        if self.status.is_success() {
            return Ok(self);
        }
        let told: Option<Told> = serde_json::from_slice(&self.body.bytes).ok();
        Err(Status::new(code(self.status), told.map_or_else(String::new, |told| told.error)))
    }

    /// What it tells.
    pub fn read<A: DeserializeOwned>(&self) -> Result<A, Status> {
        serde_json::from_slice(&self.body.bytes).map_err(|error| Status::internal(format!("no such answer: {error}")))
    }
}

/// What a status of HTTP is called by gRPC.
fn code(status: StatusCode) -> Code {
    match status {
        StatusCode::BAD_REQUEST | StatusCode::UNSUPPORTED_MEDIA_TYPE => Code::InvalidArgument,
        StatusCode::UNAUTHORIZED => Code::Unauthenticated,
        StatusCode::FORBIDDEN => Code::PermissionDenied,
        StatusCode::NOT_FOUND => Code::NotFound,
        StatusCode::REQUEST_TIMEOUT => Code::DeadlineExceeded,
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::TOO_MANY_REQUESTS => Code::ResourceExhausted,
        StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
        _ => Code::Internal,
    }
}

fn refused(refusal: Refusal) -> Status {
    let message = refusal.message().to_owned();
    Status::new(code(refusal.into_response().status()), message)
}

/// A call of one message, which `answer` answers by one.
pub(super) fn unary<Q, A, F>(answer: fn(Caller, Q) -> F) -> MethodRouter<Shared>
where
    Q: Message + Default + 'static,
    A: Message + 'static,
    F: Future<Output = Result<A, Status>> + Send + 'static,
{
    post(move |State(shared): State<Shared>, request: Request| async move {
        let (head, body) = request.into_parts();
        let caller = shared.caller(&head.headers);
        // what is long, or takes long to come, is refused as by HTTP
        let body = match shared.app.whole(body).await {
            Ok(body) => Body::from(body),
            Err(refusal) => return refused(refusal).into_http(),
        };
        let service = service_fn(|request: tonic::Request<Q>| {
            let answer = answer(caller.clone(), request.into_inner());
            async { answer.await.map(Response::new) }
        });
        shared.grpc::<Q, A>().unary(service, Request::from_parts(head, body)).await
    })
}

/// A call of any number of messages, each of which `answer` answers by one before it takes up the next.
pub(super) fn streaming<Q, A, F>(answer: fn(Caller, Q) -> F) -> MethodRouter<Shared>
where
    Q: Message + Default + 'static,
    A: Message + 'static,
    F: Future<Output = A> + Send + 'static,
{
    post(move |State(shared): State<Shared>, request: Request| async move {
        let caller = shared.caller(request.headers());
        let mut grpc = shared.grpc::<Q, A>();
        let service = service_fn(|request: tonic::Request<Streaming<Q>>| {
            let all = (request.into_inner(), shared.ending.clone(), caller.clone());
            let answers = stream::unfold(all, move |(mut requests, mut ending, caller)| async move {
                let answered = match next(&mut requests, &mut ending).await {
                    Ok(None) => return None,
                    Ok(Some(request)) => Ok(answer(caller.clone(), request).await),
                    // behind which nothing is sent
                    Err(status) => Err(status),
                };
                Some((answered, (requests, ending, caller)))
            });
            std::future::ready(Ok::<_, Status>(Response::new(answers)))
        });
        grpc.streaming(service, request).await
    })
}

/// The next message of a stream; `None` where it ends.
async fn next<Q>(requests: &mut Streaming<Q>, ending: &mut watch::Receiver<bool>) -> Result<Option<Q>, Status> {
    // an error is a sender that is gone, which ends the server too
    let ended = pin!(ending.wait_for(|is_ending| *is_ending));
    match select(pin!(requests.message()), ended).await {
        Either::Left((message, _)) => message,
        Either::Right(_) => Err(Status::unavailable("this server is shutting down")),
    }
}
