//! What requests of completions and of chats have in common.

use serde_json::{Map, Value, json};

use crate::{
    grammar::Wanted,
    json::Fields,
    loaded::Loaded,
    openapi::schema::{Properties, boolean, object, one_of, only, or_null, text, with_required},
    refusal::Refusal,
    settings::{Settings, Words},
    structured::any_object,
};

/// What OpenAI's API and vLLM call what all surfaces have.
pub(super) const WORDS: Words = Words { prompt: "prompt", repetition_penalty: "repetition_penalty", temperature: 1.0 };

/// What is not built, and the values that ask for nothing.
const PENALTIES: [&str; 2] = ["presence_penalty", "frequency_penalty"];

/// What [`take_format`] and [`take_idle`] read.
pub(super) fn properties() -> Properties {
    let text = || or_null(text());
    let schema = json!({"type": ["object", "boolean", "null"]});
    let strict = or_null(boolean());
    let named = object(vec![("name", text()), ("description", text()), ("strict", strict), ("schema", schema)]);
    let kinds = one_of(&["text", "json_object", "json_schema"]);
    let format = with_required(vec![("type", kinds), ("json_schema", or_null(named))], &["type"]);
    let penalties = PENALTIES.map(|penalty| (penalty, or_null(only(&nothing()))));
    [("response_format", or_null(format)), ("user", text())].into_iter().chain(penalties).collect()
}

fn nothing() -> [Value; 2] {
    [json!(0), json!(0.0)]
}

/// Take the fields that change no answer: who asks, and what is not built, of which only the values that ask for nothing.
pub(super) fn take_idle(fields: &mut Fields) -> Result<(), Refusal> {
    fields.take::<String>("user")?;
    for penalty in PENALTIES {
        fields.only(penalty, &nothing())?;
    }
    Ok(())
}

/// Take `response_format`: `text`, `json_object`, or `json_schema`.
pub(super) fn take_format(fields: &mut Fields, settings: &mut Settings, loaded: &Loaded) -> Result<(), Refusal> {
    const NAME: &str = "response_format";
    let Some(format) = fields.take::<Map<String, Value>>(NAME)? else { return Ok(()) };
    let read = |mut format: Fields| {
        let kind: String = format.take("type")?.unwrap_or_default();
        let schema = format.take("json_schema")?.map(json_schema).transpose()?;
        format.done()?;
        match (kind.as_str(), schema) {
            ("text", None) => Ok(None),
            ("json_object", None) => Ok(Some(any_object())),
            ("json_schema", Some(schema)) => Ok(Some(Wanted::Schema(schema))),
            ("json_schema", None) => Err(Refusal::field("json_schema", "json_schema: missing")),
            ("text" | "json_object", Some(_)) => Err(Refusal::field("json_schema", "json_schema: not of this type")),
            _ => Err(Refusal::field("type", format!("type: expected text, json_object or json_schema, not {kind:?}"))),
        }
    };
    match read(Fields::of(format)).map_err(|refusal: Refusal| refusal.within(NAME))? {
        Some(wanted) => settings.keep_to(NAME, wanted, loaded),
        None => Ok(()),
    }
}

/// The schema in a `json_schema`; its name and description are for others, and it is always kept to.
fn json_schema(object: Map<String, Value>) -> Result<Value, Refusal> {
    let read = |mut fields: Fields| {
        fields.take::<String>("name")?;
        fields.take::<String>("description")?;
        fields.take::<bool>("strict")?;
        let schema = fields.take::<Value>("schema")?.unwrap_or_else(|| json!({}));
        fields.done()?;
        Ok(schema)
    };
    read(Fields::of(object)).map_err(|refusal: Refusal| refusal.within("json_schema"))
}
