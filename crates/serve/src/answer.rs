//! What an answer says beside its texts.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::Serialize;
use serde_json::Value;

use crate::{
    openapi::schema::{Properties, count, exactly, one_of, text},
    outbox::Ended,
};

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
        let id = unique(prefix);
        Self { id, object, created: seconds(), model: model.into(), system_fingerprint: fingerprint.into() }
    }

    /// Its fields.
    pub fn properties(object: &str) -> Properties {
        vec![
            ("id", text()),
            ("object", one_of(&[object])),
            ("created", count()),
            ("model", text()),
            ("system_fingerprint", text()),
        ]
    }
}

/// An id that begins with `prefix`, and that no other has.
pub(crate) fn unique(prefix: &str) -> String {
    static IDS: AtomicU64 = AtomicU64::new(0);
    let number = IDS.fetch_add(1, Ordering::Relaxed);
    format!("{prefix}-{:x}-{:x}-{number:x}", seconds(), std::process::id())
}

/// Since 1970.
fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The tokens of all texts of an answer.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Usage {
    prompt_tokens: usize,
    completion_tokens: usize,
    total_tokens: usize,
    prompt_tokens_details: PromptTokens,
}

#[derive(Clone, Debug, Default, Serialize)]
struct PromptTokens {
    /// Those that were not read, since a state that had seen them was there.
    cached_tokens: usize,
}

impl Usage {
    pub fn schema() -> Value {
        exactly(vec![
            ("prompt_tokens", count()),
            ("completion_tokens", count()),
            ("total_tokens", count()),
            ("prompt_tokens_details", exactly(vec![("cached_tokens", count())])),
        ])
    }

    /// Count a text; a prompt that several texts continue counts once.
    pub fn add(&mut self, text: &Ended, is_first_of_prompt: bool) {
        if is_first_of_prompt {
            self.prompt_tokens += text.completion.usage.prompt_tokens;
            self.prompt_tokens_details.cached_tokens += text.cached_tokens;
        }
        self.completion_tokens += text.completion.usage.completion_tokens;
        self.total_tokens = self.prompt_tokens + self.completion_tokens;
    }
}
