//! What is said in a chat: messages of text, each by somebody, and how the model's template words them.

use itera_tokenizer::TokenId;
use serde_json::{Map, Value, json};

use crate::{
    json::Fields,
    loaded::Loaded,
    openapi::schema::{
        Properties, any_of, boolean, exactly, list, one_of, only, or, or_null, some, text as any_text, with_required,
    },
    refusal::Refusal,
    template::Chat,
};

/// Those who say something.
const ROLES: [&str; 4] = ["system", "developer", "user", "assistant"];

/// Variables that every template has, which a request does not set.
const OWN: [&str; 5] = ["messages", "add_generation_prompt", "bos_token", "eos_token", "pad_token"];

/// What [`take_chat`] reads, apart from the messages.
pub(crate) fn properties() -> Properties {
    let variables = json!({
        "type": ["object", "null"],
        "propertyNames": {"not": {"enum": OWN}},
        "additionalProperties": {"type": ["string", "number", "boolean"]},
    });
    vec![("add_generation_prompt", or(boolean(), true)), ("chat_template_kwargs", variables)]
}

/// What is said, if anything is, and how it is to be worded.
pub(crate) fn take_chat(fields: &mut Fields) -> Result<Option<Chat>, Refusal> {
    let messages: Option<Vec<Map<String, Value>>> = fields.take("messages")?;
    let more: Map<String, Value> = fields.take("chat_template_kwargs")?.unwrap_or_default();
    let is_foreign = |(name, value): (&String, &Value)| {
        OWN.contains(&name.as_str()) || !(value.is_boolean() || value.is_number() || value.is_string())
    };
    if let Some((name, _)) = more.iter().find(|entry| is_foreign(*entry)) {
        let field = format!("chat_template_kwargs.{name}");
        let problem = "expected a text, a number or a boolean, by a name that is not among the template's own";
        return Err(Refusal::field(&field, format!("{field}: {problem}")));
    }
    let add_generation_prompt = fields.take("add_generation_prompt")?.unwrap_or(true);
    let Some(messages) = messages else {
        let idle = [("add_generation_prompt", add_generation_prompt), ("chat_template_kwargs", more.is_empty())];
        return match idle.into_iter().find(|(_, is_idle)| !is_idle) {
            Some((field, _)) => Err(Refusal::field(field, format!("{field}: only with messages"))),
            None => Ok(None),
        };
    };
    if messages.is_empty() {
        return Err(nothing_said());
    }
    let messages = messages.into_iter().enumerate();
    let messages = messages.map(|(index, fields)| message(&format!("messages[{index}]"), Fields::of(fields)));
    Ok(Some(Chat { messages: messages.collect::<Result<_, _>>()?, add_generation_prompt, more }))
}

/// Of a chat without messages.
pub(crate) fn nothing_said() -> Refusal {
    Refusal::field("messages", "messages: expected one at least")
}

/// The tokens of a chat, up to where the assistant goes on.
pub(crate) fn tokens_of(chat: Chat, loaded: &Loaded) -> Result<Vec<TokenId>, Refusal> {
    let tokens = loaded.template.tokens(&loaded.tokenizer, chat);
    tokens.map_err(|problem| Refusal::field("messages", format!("messages: {problem}")))
}

/// The message that `fields` are, at `path` of the request, as templates read it: `role` and `content`, which is a text.
fn message(path: &str, mut fields: Fields) -> Result<Map<String, Value>, Refusal> {
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

/// A list of what [`message`] reads.
pub(crate) fn schema() -> Value {
    let part = exactly(vec![("type", one_of(&["text"])), ("text", any_text())]);
    let own = [("role", one_of(&ROLES)), ("content", any_of([any_text(), list(part)]))];
    let not_built = not_built().map(|(name, nothing)| (name, or_null(only(&[nothing]))));
    some(with_required([own.to_vec(), not_built.to_vec()].concat(), &["role", "content"]))
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
