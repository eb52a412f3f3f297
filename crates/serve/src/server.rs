//! The server: sockets, routes, engines, and their end.

use std::{fs, net::SocketAddr, path::PathBuf, sync::Arc, thread, time::Duration};

use axum::{Router, extract::Request, middleware};
use itera_files::failed_to;
use itera_runtime::OpenOptions;
use tokio::{runtime::Runtime, sync::watch};

#[cfg(feature = "grpc")]
use crate::grpc;
#[cfg(feature = "otlp")]
use crate::traces::Traces;
use crate::{
    address::Address,
    app::{App, Kept, RequestLimits},
    engine::{Engine, Size},
    error::{Result, ServeError},
    feedback::Feedback,
    guard,
    keys::Keys,
    line_log::{LineLog, LogTarget},
    listen::{Inherited, Listener},
    loaded::Loaded,
    metrics::Metrics,
    models::{Means, Models},
    origin::{self, Origin},
    queue::Limits,
    record,
    refusal::Refusal,
    repository::{ModelSource, ONLY},
    reword::reword,
    routes::routes,
    visit,
};

/// How long requests that are on their way when the server is to end are still taken in.
const ON_THEIR_WAY: Duration = Duration::from_millis(100);

/// How long the web side may take to tell clients that their texts are lost.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Where to listen, and how much to take in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServeOptions {
    /// Where to listen.
    pub addresses: Vec<Address>,
    /// Texts that a model writes at once; more wait.
    pub texts: usize,
    /// Texts that may wait for a model; more are refused (429).
    pub queued_texts: usize,
    /// Tokens of the prompts that may wait for a model.
    pub queued_tokens: usize,
    /// Bytes of states that a model keeps for prompts that begin alike; 0 keeps none.
    pub cache_bytes: usize,
    /// A directory that is made if it is not there, in which a model leaves these states when it ends, for the same model when it
    /// begins again; `None` leaves none. Who can write there decides what answers are.
    pub cache_dir: Option<PathBuf>,
    /// A directory of more models, which are loaded when they are asked for.
    pub repository: Option<PathBuf>,
    /// How models are opened.
    pub open: OpenOptions,
    /// Models of the repository that are loaded at the start, by the names that requests have for them; `*` is all of them.
    pub load: Vec<String>,
    /// Bytes that models may take together, with their states, buffers and caches; `None` for any number.
    pub memory: Option<usize>,
    /// Whether requests may have models loaded and put away.
    pub may_load: bool,
    /// Bytes that are read of a request's body.
    pub body_bytes: usize,
    /// Time in which the head of a request must arrive, and then its body; and in which a reader that is far behind must take
    /// something of its text.
    pub request_time: Duration,
    /// How long a sequence waits for its next request before it is forgotten.
    pub sequence_idle: Duration,
    /// Other sites whose pages may ask and read answers; the server's own page always may.
    pub allow_origins: Vec<Origin>,
    /// Where to keep what is said of answers; `None` takes nothing in.
    pub feedback: Option<FeedbackOptions>,
    /// The file of the keys that requests must have; `None` answers everybody.
    pub keys: Option<PathBuf>,
    /// Where to write a line for each request; `None` writes none.
    pub access_log: Option<LogTarget>,
    /// A directory in which requests and the hashes of their answers are kept; `None` keeps none.
    pub record: Option<PathBuf>,
    /// The URL of a collector of OpenTelemetry, which is told of each request by OTLP over HTTP; `None` tells none.
    /// It needs the feature `otlp`.
    pub traces: Option<String>,
}

/// A journal of what is said of answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedbackOptions {
    /// The file that it is, which is made if it is not there.
    pub path: PathBuf,
    /// Bytes at which it is full.
    pub most_bytes: u64,
    /// Whether texts are taken in too, as corrections are.
    pub with_texts: bool,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            addresses: vec![Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 8000)))],
            texts: 64,
            queued_texts: 1024,
            queued_tokens: 1 << 20,
            cache_bytes: 256 << 20,
            cache_dir: None,
            repository: None,
            load: vec![],
            open: OpenOptions::default(),
            memory: None,
            may_load: false,
            body_bytes: 4 << 20,
            request_time: Duration::from_secs(30),
            sequence_idle: Duration::from_secs(600),
            allow_origins: vec![],
            feedback: None,
            keys: None,
            access_log: None,
            record: None,
            traces: None,
        }
    }
}

/// A server that answers. Dropped, it ends at once.
#[derive(Debug)]
pub struct Server {
    addresses: Vec<Address>,
    app: Arc<App>,
    /// Whether to end.
    ending: watch::Sender<bool>,
    web: Vec<tokio::task::JoinHandle<()>>,
    /// `None` once it was shut down.
    runtime: Option<Runtime>,
}

impl Server {
    /// Serve `models`, each by its name; they never make room for others. The steps of all are spread over the rayon pool that the
    /// caller finds or makes.
    ///
    /// # Errors
    /// If nothing can listen at the address, the keys cannot be read, the journal of feedback, the access log or the record cannot be
    /// opened, the directory of states cannot be made, there is no URL of traces, the repository cannot be read, a model
    /// cannot be, two have one name, there is none, or they take more than they may.
    pub fn start(models: Vec<ModelSource>, options: &ServeOptions) -> Result<Self> {
        Self::start_on(vec![], models, options)
    }

    /// The same, at `sockets` that listen already, and at the addresses of the options behind them. Connections that came
    /// before are answered; those that come when this server ends are left to who has the socket then.
    ///
    /// # Errors
    /// As [`start`](Self::start), or if a socket cannot be used.
    pub fn start_on(sockets: Vec<Inherited>, models: Vec<ModelSource>, options: &ServeOptions) -> Result<Self> {
        #[cfg(not(feature = "otlp"))]
        if let Some(url) = options.traces.clone() {
            let problem = "this program was built without the feature `otlp`".into();
            return Err(ServeError::Traces { url, problem });
        }
        let keys = options.keys.as_deref().map(Keys::read).transpose()?;
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).thread_name("web").enable_all().build().map_err(ServeError::Thread)?;
        let (texts, tokens) = (options.queued_texts, options.queued_tokens);
        let limits = Limits { texts, tokens, patience: options.request_time };
        if let Some(dir) = &options.cache_dir {
            fs::create_dir_all(dir).map_err(failed_to("create", dir))?;
        }
        let (cache_bytes, cache_dir) = (options.cache_bytes, options.cache_dir.clone());
        let size = Size { room: options.texts.max(1), cache_bytes, cache_dir };
        let metrics = Arc::new(Metrics::new());
        let access_log = options.access_log.as_ref();
        let access_log = access_log.map(|target| LineLog::open(target, metrics.lines_lost())).transpose()?;
        let feedback = options.feedback.as_ref();
        let feedback = feedback.map(|kept| Feedback::open(&kept.path, kept.most_bytes, kept.with_texts)).transpose()?;
        #[cfg(feature = "otlp")]
        let traces = options.traces.as_deref().map(Traces::open).transpose()?;
        let means = Means { options: options.open.clone(), size, limits, memory: options.memory };
        let models = Models::start(models, options.repository.as_deref(), means, metrics.clone())?;
        models.load_at_start(&options.load)?;
        // nobody connects before all is there
        let inherited = sockets.into_iter().map(|socket| runtime.block_on(Listener::inherit(socket)));
        let bound = options.addresses.iter().map(|address| runtime.block_on(Listener::bind(address)));
        let listeners: Vec<Listener> = inherited.chain(bound).collect::<Result<_>>()?;
        let addresses = listeners.iter().map(|listener| listener.address().clone()).collect();
        let record = options.record.as_deref();
        let record = record.map(|dir| record::open(dir, metrics.record_lost())).transpose()?;
        let limits = RequestLimits {
            body_bytes: options.body_bytes,
            body_time: options.request_time,
            texts: options.queued_texts,
            sequence_idle: options.sequence_idle,
            may_load: options.may_load,
        };
        let kept = Kept {
            feedback,
            access_log,
            record,
            #[cfg(feature = "otlp")]
            traces,
        };
        let app = Arc::new(App::new(models, metrics, keys, kept, limits));
        let (ending, ended) = watch::channel(false);
        let router = router(app.clone(), &options.allow_origins);
        #[cfg(feature = "grpc")]
        let router = grpc::with_calls(router, app.clone(), ended.clone());
        let serve =
            |listener: Listener| runtime.spawn(listener.serve(router.clone(), options.request_time, ended.clone()));
        let web = listeners.into_iter().map(serve).collect();
        Ok(Self { addresses, app, ending, web, runtime: Some(runtime) })
    }

    /// Where it listens.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Each model that is loaded, by its name, or as `name:2` if it is such a version, and its fingerprint, which stands for
    /// everything that the bytes of an answer depend on, apart from the request. The same fingerprint and request give the same
    /// answer.
    pub fn fingerprints(&self) -> Vec<(String, String)> {
        let of = |engine: Arc<Engine>| {
            let Loaded { name, version, fingerprint, .. } = engine.loaded();
            let called = if *version == ONLY { name.clone() } else { format!("{name}:{version}") };
            (called, fingerprint.clone())
        };
        self.app.models().engines().into_iter().map(of).collect()
    }

    /// What its handlers see.
    pub(crate) fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// Whether every engine runs, and ends its steps in time.
    pub fn is_ready(&self) -> bool {
        self.app.is_ready()
    }

    /// Read the file of keys again, for the requests that come from now on.
    ///
    /// # Errors
    /// If it cannot be read, is not one of keys, or has none. The keys stay what they were then.
    pub fn reload_keys(&self) -> Result<()> {
        self.app.keys().map_or(Ok(()), Keys::reload)
    }

    /// Open the file of the access log again, as after the one that is open got another name.
    ///
    /// # Errors
    /// If it cannot be opened. The log goes on in the one that is open then.
    pub fn reopen_access_log(&self) -> Result<()> {
        self.app.kept().access_log.as_ref().map_or(Ok(()), LineLog::reopen)
    }

    /// Take in nothing more but what is on its way, answer what was taken in, and end; soon after `limit` at the latest.
    /// Returns whether all was answered.
    pub fn drain(mut self, limit: Duration) -> bool {
        thread::sleep(ON_THEIR_WAY.min(limit));
        self.app.models().drain();
        let _ = self.ending.send(true);
        let Some(runtime) = &self.runtime else { return false };
        let mut ends_in = |limit| {
            let web = async {
                for listener in &mut self.web {
                    // a panic was printed where it happened
                    let _ = listener.await;
                }
            };
            runtime.block_on(async { tokio::time::timeout(limit, web).await.is_ok() })
        };
        let all_is_answered = ends_in(limit);
        if !all_is_answered {
            self.app.models().abort();
            ends_in(LAST_WORDS);
        }
        self.end();
        all_is_answered
    }

    fn end(&mut self) {
        self.app.models().abort();
        self.app.models().join();
        if let Some(runtime) = self.runtime.take() {
            // requests that are left end here, and so do their lines in the log
            runtime.shutdown_timeout(LAST_WORDS);
        }
        let kept = self.app.kept();
        kept.access_log.iter().chain(&kept.record).for_each(LineLog::close);
        #[cfg(feature = "otlp")]
        kept.traces.iter().for_each(Traces::close);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// All routes, and what is done with every request; pages of `origins` may ask.
pub(crate) fn router(app: Arc<App>, origins: &[Origin]) -> Router {
    let router = routes()
        .into_router()
        .fallback(|request: Request| async move { Refusal::no_route(request.uri().path()) })
        .method_not_allowed_fallback(|request: Request| async move {
            Refusal::no_method(request.method().as_str(), request.uri().path())
        });
    // a layer costs every request some of its time
    let router = match app.kept().record {
        Some(_) => router.layer(middleware::from_fn_with_state(app.clone(), record::keep)),
        None => router,
    };
    let router = match app.keys() {
        Some(_) => router.layer(middleware::from_fn_with_state(app.clone(), guard::admit)),
        None => router,
    };
    // a browser asks without a key whether it may ask, and is to read what is refused
    let router = if origins.is_empty() { router } else { router.layer(origin::layer(origins)) };
    router
        .layer(middleware::from_fn(reword))
        .layer(middleware::from_fn_with_state(app.clone(), visit::record))
        .with_state(app)
}
