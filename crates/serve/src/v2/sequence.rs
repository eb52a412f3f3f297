//! The parameters by which a request is a part of a sequence, as Triton has them, and what its answer leaves in it.

use itera_runtime::FinishReason;
use itera_tokenizer::TokenId;
use serde_json::{Value, json};

use crate::{
    json::Fields,
    openapi::schema::{Properties, any_of, boolean, integer, or, or_null},
    outbox::Ended,
    refusal::Refusal,
    sequences::{Name, NoTurn, Part, Turn},
};

const ID: &str = "sequence_id";

/// Characters of a name that is a text.
const NAME_LEN: usize = 256;

/// What [`take`] reads.
pub(super) fn properties() -> Properties {
    let name = json!({"type": "string", "maxLength": NAME_LEN});
    vec![
        (ID, or_null(any_of([integer(0..=u64::MAX), name]))),
        ("sequence_start", or(boolean(), false)),
        ("sequence_end", or(boolean(), false)),
    ]
}

/// Take `sequence_id`, `sequence_start` and `sequence_end`; 0 and "" are no sequence.
pub(super) fn take(fields: &mut Fields) -> Result<Option<Part>, Refusal> {
    let problem = |what: &str| Refusal::field(ID, format!("{ID}: {what}"));
    let id = fields.take::<Value>(ID)?.filter(|id| *id != json!(0) && *id != json!(""));
    let is_start = fields.take("sequence_start")?.unwrap_or(false);
    let is_end = fields.take("sequence_end")?.unwrap_or(false);
    let name = match id {
        None if is_start || is_end => return Err(problem("missing, and a sequence that starts or ends has one")),
        None => return Ok(None),
        Some(Value::String(text)) if text.chars().count() <= NAME_LEN => Name::Text(text),
        Some(id) => {
            let number = id.as_u64().ok_or_else(|| {
                problem(&format!("expected a whole number of 64 bits, or a text of {NAME_LEN} characters at most"))
            })?;
            Name::Number(number)
        }
    };
    Ok(Some(Part { name, is_start, is_end }))
}

/// Why there is no turn, in Triton's words.
pub(super) fn refused(why: NoTurn, part: &Part, model: &str) -> Refusal {
    match why {
        NoTurn::Refused(why) => why.into(),
        NoTurn::Unknown => {
            let name = match &part.name {
                Name::Number(number) => number.to_string(),
                Name::Text(text) => text.clone(),
            };
            let what = "must specify the START flag on the first request of the sequence";
            let message = format!("inference request for sequence {name} to model '{model}' {what}");
            Refusal::field(ID, message)
        }
    }
}

/// A request of a sequence under way.
#[derive(Debug)]
pub(super) struct UnderWay {
    pub turn: Turn,
    /// All tokens before the text.
    pub prompt: Vec<TokenId>,
}

impl UnderWay {
    /// The text has ended. The sequence goes on after all tokens that were chosen, but for one that says that nothing follows.
    pub fn end(self, ended: &Ended) {
        let completion = &ended.completion;
        let is_at_end = completion.finish_reason == Some(FinishReason::Eos);
        let chosen = &completion.ids[..completion.ids.len() - usize::from(is_at_end)];
        self.turn.end([&self.prompt, chosen].concat());
    }
}
