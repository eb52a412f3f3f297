//! What is said in a chat: messages of text, each by somebody.

use serde_json::{Map, Value, json};

use crate::{
    json::Fields,
    openapi::schema::{any_of, exactly, list, one_of, only, or_null, text as any_text, with_required},
    refusal::Refusal,
};

/// Those who say something.
const ROLES: [&str; 4] = ["system", "developer", "user", "assistant"];

/// The message that `fields` are, at `path` of the request, as templates read it: `role` and `content`, which is a text.
pub(super) fn message(path: &str, mut fields: Fields) -> Result<Map<String, Value>, Refusal> {
    let read = || {
        let role: String = fields.take("role")?.ok_or_else(|| Refusal::field("role", "role: missing"))?;
        if !ROLES.contains(&role.as_str()) {
            return Err(Refusal::field("role", format!("role: expected one of {}, not {role:?}", ROLES.join(", "))));
        }
        let content = text(fields.take("content")?)?;
        for (name, nothing) in not_built() {
            fields.only(name, &[nothing])?;
        }
        fields.done()?;
        Ok([("role".into(), role.into()), ("content".into(), content.into())].into_iter().collect())
    };
    read_at(path, read)
}

/// What is not built, and the value that asks for nothing.
fn not_built() -> [(&'static str, Value); 4] {
    [("name", json!("")), ("tool_calls", json!([])), ("refusal", json!("")), ("audio", json!({}))]
}

/// What [`message`] reads.
pub(super) fn schema() -> Value {
    let part = exactly(vec![("type", one_of(&["text"])), ("text", any_text())]);
    let own = [("role", one_of(&ROLES)), ("content", any_of([any_text(), list(part)]))];
    let not_built = not_built().map(|(name, nothing)| (name, or_null(only(&[nothing]))));
    with_required([own.to_vec(), not_built.to_vec()].concat(), &["role", "content"])
}

/// What `read` reads, whose fields are those of `path`.
fn read_at<T>(path: &str, read: impl FnOnce() -> Result<T, Refusal>) -> Result<T, Refusal> {
    read().map_err(|refusal| refusal.within(path))
}

/// A content: a text, or parts of one.
fn text(content: Option<Value>) -> Result<String, Refusal> {
    match content {
        Some(Value::String(text)) => Ok(text),
        Some(Value::Array(parts)) => {
            let texts = parts
                .into_iter()
                .enumerate()
                .map(|(index, part)| read_at(&format!("content[{index}]"), || part_text(part)));
            texts.collect()
        }
        _ => Err(Refusal::field("content", "content: expected a text, or a list of parts of one")),
    }
}

fn part_text(part: Value) -> Result<String, Refusal> {
    let Value::Object(part) = part else { return Err(Refusal::field("type", "type: expected an object that has it")) };
    let mut fields = Fields::of(part);
    let kind: String = fields.take("type")?.unwrap_or_default();
    if kind != "text" {
        return Err(Refusal::field("type", format!("type: this server reads \"text\" alone, not {kind:?}")));
    }
    let text = fields.take("text")?.ok_or_else(|| Refusal::field("text", "text: missing"))?;
    fields.done()?;
    Ok(text)
}
