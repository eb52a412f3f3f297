//! What is known of one request beside its answer: who asked which model for what, and how much that took.
//!
//! ```text
//! visit ─ within ─▶ guard: key ─▶ handler: model ─▶ engine: tokens
//!    └──────────────── line of the access log ◀─────────┘
//! ```
//!
//! It goes with the task of the request, so that handlers need not hand it on, and with the texts that the request asks for.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use crate::keys::Key;

tokio::task_local! {
    static ACCOUNT: Arc<Account>;
}

/// Filled while a request is answered.
#[derive(Debug, Default)]
pub(crate) struct Account {
    key: OnceLock<Key>,
    model: OnceLock<String>,
    tokens: OnceLock<Tokens>,
}

/// Tokens of the texts that were asked for.
#[derive(Debug)]
pub(crate) struct Tokens {
    /// Of the prompts; one that several texts continue counts once.
    pub of_prompts: u64,
    /// Of those, tokens that were not read, since a state that had seen them was there.
    pub cached: AtomicU64,
    /// Chosen.
    pub of_completions: AtomicU64,
}

impl Account {
    /// The account of the request that this task answers, where there is one.
    pub fn current() -> Option<Arc<Self>> {
        ACCOUNT.try_with(Arc::clone).ok()
    }

    /// `answer`, within which this account is [`Account::current`].
    pub fn within<F: Future>(self: Arc<Self>, answer: F) -> impl Future<Output = F::Output> {
        ACCOUNT.scope(self, answer)
    }

    /// The key that came with the request.
    pub fn set_key(&self, key: Key) {
        let _ = self.key.set(key);
    }

    /// The key that came with the request that this task answers, where one was needed.
    pub fn key_now() -> Option<Key> {
        Self::current()?.key.get().cloned()
    }

    /// The model that was asked, by the name that the server has for it.
    pub fn set_model(&self, name: &str) {
        self.model.get_or_init(|| name.into());
    }

    /// Texts were asked for, for prompts of so many tokens.
    pub fn set_prompt_tokens(&self, of_prompts: usize) {
        let of_prompts = of_prompts as u64;
        let _ = self.tokens.set(Tokens { of_prompts, cached: AtomicU64::new(0), of_completions: AtomicU64::new(0) });
    }

    /// So many tokens of a prompt are not read.
    pub fn add_cached_tokens(&self, count: u64) {
        if let Some(tokens) = self.tokens.get() {
            tokens.cached.fetch_add(count, Relaxed);
        }
    }

    /// A text has one more token.
    pub fn add_completion_token(&self) {
        if let Some(tokens) = self.tokens.get() {
            tokens.of_completions.fetch_add(1, Relaxed);
        }
    }

    pub fn key(&self) -> Option<&str> {
        self.key.get().map(|key| &*key.name)
    }

    pub fn model(&self) -> Option<&str> {
        self.model.get().map(String::as_str)
    }

    /// `None` where no texts were asked for.
    pub fn tokens(&self) -> Option<&Tokens> {
        self.tokens.get()
    }
}
