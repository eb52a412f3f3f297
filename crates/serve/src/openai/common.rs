//! What requests of completions and of chats have in common.

use serde_json::json;

use crate::{json::Fields, refusal::Refusal, settings::Words};

/// What OpenAI's API and vLLM call what all surfaces have.
pub(super) const WORDS: Words = Words { prompt: "prompt", repetition_penalty: "repetition_penalty", temperature: 1.0 };

/// Take the fields that change no answer: who asks, and what is not built, of which only the values that ask for nothing.
pub(super) fn take_idle(fields: &mut Fields) -> Result<(), Refusal> {
    fields.take::<String>("user")?;
    for penalty in ["presence_penalty", "frequency_penalty"] {
        fields.only(penalty, &[json!(0), json!(0.0)])?;
    }
    Ok(())
}
