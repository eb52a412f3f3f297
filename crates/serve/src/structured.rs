//! What a request wants its texts to be, as vLLM has it.

use serde_json::{Map, Value, json};

use crate::{
    grammar::Wanted,
    json::Fields,
    openapi::schema::{boolean, object, or, or_null, text},
    refusal::Refusal,
};

/// Texts that one may choose from.
const CHOICES: usize = 1024;

/// JSON that is an object, whatever is in it.
pub(crate) fn any_object() -> Wanted {
    Wanted::Schema(json!({"type": "object"}))
}

/// Take `structured_outputs`: one of `json`, `json_object`, `regex`, `choice`, `grammar`.
pub(crate) fn take_structured(fields: &mut Fields) -> Result<Option<Wanted>, Refusal> {
    const NAME: &str = "structured_outputs";
    let Some(object) = fields.take::<Map<String, Value>>(NAME)? else { return Ok(None) };
    let read = |mut of: Fields| {
        let choice: Option<Vec<String>> = of.take("choice")?;
        let is_object = of.take("json_object")?.unwrap_or(false);
        let all = [
            of.take("json")?.map(wanted_schema).transpose()?,
            is_object.then(any_object),
            of.take("regex")?.map(Wanted::Regex),
            choice.map(|texts| one_of(&texts)).transpose()?,
            of.take("grammar")?.map(Wanted::Lark),
        ];
        of.done()?;
        let mut wanted = all.into_iter().flatten();
        match (wanted.next(), wanted.next()) {
            (Some(only), None) => Ok(Some(only)),
            _ => Err(Refusal::field("json", "json: expected it, or one of json_object, regex, choice and grammar")),
        }
    };
    read(Fields::of(object)).map_err(|refusal: Refusal| refusal.within(NAME))
}

/// What `structured_outputs` is read from.
pub(crate) fn schema() -> Value {
    or_null(object(vec![
        ("choice", json!({"type": ["array", "null"], "items": text(), "minItems": 1, "maxItems": CHOICES})),
        ("json_object", or(boolean(), false)),
        ("json", json!({"type": ["object", "boolean", "string", "null"]})),
        ("regex", or_null(text())),
        ("grammar", or_null(text())),
    ]))
}

/// A schema, or the text of one.
fn wanted_schema(value: Value) -> Result<Wanted, Refusal> {
    match value {
        Value::String(text) => serde_json::from_str(&text)
            .map(Wanted::Schema)
            .map_err(|problem| Refusal::field("json", format!("json: {problem}"))),
        schema => Ok(Wanted::Schema(schema)),
    }
}

fn one_of(texts: &[String]) -> Result<Wanted, Refusal> {
    if texts.is_empty() || texts.len() > CHOICES {
        return Err(Refusal::field("choice", format!("choice: expected 1 to {CHOICES} texts")));
    }
    let escaped: Vec<String> = texts.iter().map(|text| regex_syntax::escape(text)).collect();
    Ok(Wanted::Regex(format!("(?:{})", escaped.join("|"))))
}
