//! What all answers to one request share, and how a text's end is called.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use itera_runtime::{FinishReason, Usage};
use serde::Serialize;

/// The head of an answer in OpenAI's words.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Head {
    pub id: String,
    pub object: &'static str,
    /// Seconds since 1970.
    pub created: u64,
    pub model: String,
    pub system_fingerprint: String,
}

impl Head {
    /// A head with an id of its own, which begins with `prefix`.
    pub fn new(prefix: &str, object: &'static str, model: &str, fingerprint: &str) -> Self {
        static ANSWERS: AtomicU64 = AtomicU64::new(0);
        let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let number = ANSWERS.fetch_add(1, Ordering::Relaxed);
        let id = format!("{prefix}-{created:x}-{:x}-{number:x}", std::process::id());
        Self { id, object, created, model: model.into(), system_fingerprint: fingerprint.into() }
    }
}

/// Why a text ended, in OpenAI's words.
pub(crate) fn finish_reason(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Eos | FinishReason::Stop => "stop",
        FinishReason::Length | FinishReason::Context => "length",
    }
}

/// The tokens of several texts; a prompt that several of them continue counts once.
pub(crate) fn add_usage(total: &mut Usage, text: Usage, is_first_of_prompt: bool) {
    let prompt_tokens = if is_first_of_prompt { text.prompt_tokens } else { 0 };
    total.prompt_tokens += prompt_tokens;
    total.completion_tokens += text.completion_tokens;
    total.total_tokens += prompt_tokens + text.completion_tokens;
}

/// No tokens yet.
pub(crate) const NO_TOKENS: Usage = Usage { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 };
