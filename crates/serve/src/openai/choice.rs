//! A text in an answer.

use std::borrow::Cow;

use serde::Serialize;

use crate::openai::logprobs::LogprobList;

/// One of the texts that a request asked for, or a piece of it.
#[derive(Serialize)]
pub(super) struct Choice<'a> {
    pub index: usize,
    pub text: Cow<'a, str>,
    pub logprobs: Option<LogprobList>,
    pub finish_reason: Option<&'static str>,
}
