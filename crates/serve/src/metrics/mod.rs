//! What a server counts and times, for Prometheus: `GET /metrics`.
//!
//! Each metric has a name of ours, and where vLLM or Triton has the same one, its name too, so that dashboards made for them show
//! these numbers. Labels are `model` and `model_name`, which are the same; Triton's are `model` and `version`.

mod triton;

use std::{
    fmt,
    sync::{Arc, atomic::AtomicU64},
    time::{Duration, Instant},
};

use axum::http::StatusCode;
use itera_runtime::FinishReason;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Metric, Registry, Unit},
};

use self::triton::Triton;
use crate::statistics::{Statistics, Times};

/// Of a model.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfModel {
    model: String,
    model_name: String,
}

/// Of texts of a model that ended alike.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfEnd {
    model: String,
    model_name: String,
    finished_reason: &'static str,
}

/// Of responses with one status.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfStatus {
    status: u16,
}

/// All metrics of a server.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    responses: Family<OfStatus, Counter>,
    lines_lost: Counter,
    record_lost: Counter,
    memory: Gauge,
    triton: Triton,
    families: Families,
}

#[derive(Clone, Debug)]
struct Families {
    running: Family<OfModel, Gauge>,
    waiting: Family<OfModel, Gauge>,
    prompt_tokens: Family<OfModel, Counter>,
    cached_tokens: Family<OfModel, Counter>,
    cache_bytes: Family<OfModel, Gauge>,
    cache_usage: Family<OfModel, Share>,
    completion_tokens: Family<OfModel, Counter>,
    ended: Family<OfEnd, Counter>,
    first_token: Histograms,
    next_token: Histograms,
    whole_text: Histograms,
    waiting_time: Histograms,
    reading_time: Histograms,
    writing_time: Histograms,
    prompt_lengths: Histograms,
    completion_lengths: Histograms,
}

type Histograms = Family<OfModel, Histogram, fn() -> Histogram>;

/// A number from 0 to 1.
type Share = Gauge<f64, AtomicU64>;

/// Those of one model, which cost its engine no search.
#[derive(Debug)]
pub(crate) struct ModelMetrics {
    /// Texts under way.
    pub running: Gauge,
    /// Texts that wait.
    pub waiting: Gauge,
    /// Tokens of prompts of texts that were begun.
    pub prompt_tokens: Counter,
    /// Of these, tokens that were not read, since a state that had seen them was there.
    pub cached_tokens: Counter,
    /// Bytes of the states that are kept.
    pub cache_bytes: Gauge,
    /// Their share of those that may be kept.
    pub cache_usage: Share,
    /// Tokens chosen.
    pub completion_tokens: Counter,
    pub statistics: Arc<Statistics>,
    ended: [Counter; 3],
    first_token: Histogram,
    next_token: Histogram,
    whole_text: Histogram,
    waiting_time: Histogram,
    reading_time: Histogram,
    writing_time: Histogram,
    prompt_lengths: Histogram,
    completion_lengths: Histogram,
}

impl Metrics {
    pub fn new() -> Self {
        let times =
            || Family::new_with_constructor((|| Histogram::new(exponential_buckets(1e-5, 2.0, 24))) as fn() -> _);
        let lengths =
            || Family::new_with_constructor((|| Histogram::new(exponential_buckets(1.0, 2.0, 18))) as fn() -> _);
        let families = Families {
            running: Family::default(),
            waiting: Family::default(),
            prompt_tokens: Family::default(),
            cached_tokens: Family::default(),
            cache_bytes: Family::default(),
            cache_usage: Family::default(),
            completion_tokens: Family::default(),
            ended: Family::default(),
            first_token: times(),
            next_token: times(),
            whole_text: times(),
            waiting_time: times(),
            reading_time: times(),
            writing_time: times(),
            prompt_lengths: lengths(),
            completion_lengths: lengths(),
        };
        let responses = Family::default();
        let mut registry = Registry::default();
        registry.register("itera_http_responses", "Responses, by status", responses.clone());
        let lines_lost = Counter::default();
        registry.register("itera_access_log_lost", "Lines that the access log does not have", lines_lost.clone());
        let record_lost = Counter::default();
        registry.register("itera_record_lost", "Requests that the record does not have", record_lost.clone());
        let memory = Gauge::default();
        let help = "What models hold of the memory that they may take";
        registry.register_with_unit("itera_memory_held", help, Unit::Bytes, memory.clone());
        let all = &families;
        let to = &mut registry;
        register(to, &["itera_texts_running", "vllm:num_requests_running"], "Texts under way", &all.running);
        register(to, &["itera_texts_waiting", "vllm:num_requests_waiting"], "Texts that wait", &all.waiting);
        let names = ["itera_prompt_tokens", "vllm:prompt_tokens", "vllm:prefix_cache_queries"];
        register(to, &names, "Tokens of prompts", &all.prompt_tokens);
        let names = ["itera_cached_tokens", "vllm:prefix_cache_hits"];
        register(to, &names, "Of them not read, but cached", &all.cached_tokens);
        let names = ["itera_cache_usage", "vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"];
        register(to, &names, "States that are kept, as a share of those that may be", &all.cache_usage);
        register(to, &["itera_completion_tokens", "vllm:generation_tokens"], "Tokens chosen", &all.completion_tokens);
        register(to, &["itera_texts_ended", "vllm:request_success"], "Texts that ended, by their ends", &all.ended);
        let names = ["itera_text_prompt_tokens", "vllm:request_prompt_tokens"];
        register(to, &names, "Tokens of the prompt of a text that ended", &all.prompt_lengths);
        let names = [
            "itera_text_completion_tokens",
            "vllm:request_generation_tokens",
            "vllm:request_max_num_generation_tokens",
        ];
        register(to, &names, "Tokens chosen for a text that ended", &all.completion_lengths);
        for (names, help, times) in [
            (
                &["itera_time_to_first_token", "vllm:time_to_first_token"][..],
                "From the arrival of a text to its first token",
                &all.first_token,
            ),
            (
                &["itera_time_per_output_token", "vllm:inter_token_latency", "vllm:time_per_output_token"],
                "From a token of a text to its next",
                &all.next_token,
            ),
            (
                &["itera_text_time", "vllm:e2e_request_latency"],
                "From the arrival of a text to its end",
                &all.whole_text,
            ),
            (
                &["itera_text_waiting_time", "vllm:request_queue_time"],
                "From the arrival of a text to its beginning",
                &all.waiting_time,
            ),
            (
                &["itera_text_reading_time", "vllm:request_prefill_time"],
                "From the beginning of a text to its first token",
                &all.reading_time,
            ),
            (
                &["itera_text_writing_time", "vllm:request_decode_time"],
                "From the first token of a text to its end",
                &all.writing_time,
            ),
        ] {
            for &name in names {
                to.register_with_unit(name, help, Unit::Seconds, times.clone());
            }
        }
        registry.register_with_unit("itera_cache", "States that are kept", Unit::Bytes, families.cache_bytes.clone());
        let triton = Triton::default();
        registry.register_collector(Box::new(triton.clone()));
        Self { registry, responses, lines_lost, record_lost, memory, triton, families }
    }

    /// Those of a version of the model that requests call `name`.
    pub fn of_model(&self, name: &str, version: u64) -> ModelMetrics {
        let label = OfModel { model: name.into(), model_name: name.into() };
        let ended = |finished_reason| {
            self.families.ended.get_or_create_owned(&OfEnd {
                model: name.into(),
                model_name: name.into(),
                finished_reason,
            })
        };
        let all = &self.families;
        let (waiting, statistics) = (all.waiting.get_or_create_owned(&label), Arc::default());
        self.triton.tell_of(name, version, &statistics, &waiting);
        ModelMetrics {
            running: all.running.get_or_create_owned(&label),
            waiting,
            prompt_tokens: all.prompt_tokens.get_or_create_owned(&label),
            cached_tokens: all.cached_tokens.get_or_create_owned(&label),
            cache_bytes: all.cache_bytes.get_or_create_owned(&label),
            cache_usage: all.cache_usage.get_or_create_owned(&label),
            completion_tokens: all.completion_tokens.get_or_create_owned(&label),
            statistics,
            ended: ["stop", "length", "abort"].map(ended),
            first_token: all.first_token.get_or_create_owned(&label),
            next_token: all.next_token.get_or_create_owned(&label),
            whole_text: all.whole_text.get_or_create_owned(&label),
            waiting_time: all.waiting_time.get_or_create_owned(&label),
            reading_time: all.reading_time.get_or_create_owned(&label),
            writing_time: all.writing_time.get_or_create_owned(&label),
            prompt_lengths: all.prompt_lengths.get_or_create_owned(&label),
            completion_lengths: all.completion_lengths.get_or_create_owned(&label),
        }
    }

    /// All of them, as OpenMetrics writes them.
    pub fn to_text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// Counts what is missing in the record.
    pub fn record_lost(&self) -> Counter {
        self.record_lost.clone()
    }

    /// Tells what models hold of the memory that they may take.
    pub fn memory(&self) -> Gauge {
        self.memory.clone()
    }

    /// Counts what is missing in the access log.
    pub fn lines_lost(&self) -> Counter {
        self.lines_lost.clone()
    }

    /// A request has its response.
    pub fn responded(&self, status: StatusCode) {
        self.responses.get_or_create(&OfStatus { status: status.as_u16() }).inc();
    }
}

/// Register a metric by our name and by those that vLLM's versions have for it.
fn register<M: Metric + Clone>(registry: &mut Registry, names: &[&str], help: &str, metric: &M) {
    for &name in names {
        registry.register(name, help, metric.clone());
    }
}

impl ModelMetrics {
    /// A text has its first token.
    pub fn begun(&self, since_arrival: Duration) {
        self.first_token.observe(since_arrival.as_secs_f64());
    }

    /// A text has another token.
    pub fn continued(&self, since_last: Duration) {
        self.next_token.observe(since_last.as_secs_f64());
    }

    /// A text that was written has ended, with so many tokens.
    pub fn written(&self, prompt_tokens: usize, completion_tokens: usize) {
        self.prompt_lengths.observe(prompt_tokens as f64);
        self.completion_lengths.observe(completion_tokens as f64);
    }

    /// A text that waited has no reader any more.
    pub fn left_waiting(&self, arrived: Instant) {
        let now = Instant::now();
        self.count(None, Times { arrived, begun: now, first_token: None, ended: Some(now) });
    }

    /// A text that was begun has ended; for no reason of its own where its reader left.
    pub fn ended(&self, reason: Option<FinishReason>, times: Times) {
        self.running.dec();
        self.count(reason, times);
    }

    fn count(&self, reason: Option<FinishReason>, times: Times) {
        let index = match reason {
            Some(FinishReason::Eos | FinishReason::Stop) => 0,
            Some(FinishReason::Length | FinishReason::Context) => 1,
            None => 2,
        };
        self.ended[index].inc();
        self.whole_text.observe(times.whole().as_secs_f64());
        self.waiting_time.observe(times.waiting().as_secs_f64());
        self.reading_time.observe(times.reading().as_secs_f64());
        self.writing_time.observe(times.writing().as_secs_f64());
        self.statistics.ended(reason.is_some(), times);
    }
}
