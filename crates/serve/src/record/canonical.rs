//! an answer → what of it depends on the model and the request alone

use itera_files::Sha256Digest;
use serde_json::{Map, Value};

use crate::events::EVENTS;

/// Fields that say when an answer was made, which it was, and what of its prompt was cached.
const OF_THE_MOMENT: [&str; 4] = ["created", "timings", "cached_tokens", "tokens_cached"];

/// Fields whose texts come piece by piece in events.
const IN_PIECES: [&str; 3] = ["text", "content", "text_output"];

/// The hash of an answer, of events as if they had come in one piece.
pub(super) fn hash(content_type: &str, body: &[u8]) -> Sha256Digest {
    let whole = match content_type {
        EVENTS => Some(of_events(body)),
        "application/json" => serde_json::from_slice(body).ok(),
        _ => None,
    };
    let Some(mut whole) = whole else { return Sha256Digest::of(body) };
    if let Value::Object(answer) = &mut whole {
        // the server's own; that of a request of /v2 is in the request
        answer.remove("id");
    }
    forget(&mut whole);
    whole.sort_all_objects();
    Sha256Digest::of(whole.to_string().as_bytes())
}

/// All events in one.
fn of_events(body: &[u8]) -> Value {
    let text = String::from_utf8_lossy(body);
    let events = text.split("\n\n").filter_map(|event| serde_json::from_str(event.strip_prefix("data: ")?).ok());
    let mut whole = Value::Object(Map::new());
    events.for_each(|event| join(&mut whole, event, ""));
    whole
}

/// Let `piece`, the value of `key`, go on behind `whole`.
fn join(whole: &mut Value, piece: Value, key: &str) {
    match (whole, piece) {
        (Value::Object(whole), Value::Object(piece)) => {
            for (key, value) in piece {
                match whole.get_mut(&key) {
                    Some(before) => join(before, value, &key),
                    None => drop(whole.insert(key, value)),
                }
            }
        }
        (Value::Array(whole), Value::Array(piece)) => {
            for value in piece {
                let number = value.get("index").cloned();
                let same = whole.iter_mut().find(|other| number.is_some() && other.get("index") == number.as_ref());
                match same {
                    Some(before) => join(before, value, ""),
                    None => whole.push(value),
                }
            }
        }
        (Value::String(whole), Value::String(piece)) if IN_PIECES.contains(&key) => whole.push_str(&piece),
        (_, Value::Null) => {}
        (whole, piece) => *whole = piece,
    }
}

fn forget(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            OF_THE_MOMENT.iter().for_each(|name| drop(fields.remove(*name)));
            fields.values_mut().for_each(forget);
        }
        Value::Array(items) => items.iter_mut().for_each(forget),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_the_same_however_they_are_cut() {
        let choice = |index: u64, text: &str, end: &str| {
            format!(
                r#"data: {{"id":"x{text}","created":{index},"choices":[{{"index":{index},"text":"{text}","finish_reason":{end}}}]}}"#
            )
        };
        let stream = |pieces: &[String]| hash(EVENTS, (pieces.join("\n\n") + "\n\ndata: [DONE]\n\n").as_bytes());
        let one = stream(&[choice(0, "abc", "\"stop\""), choice(1, "d", "\"length\"")]);
        assert_eq!(one, stream(&[choice(0, "a", "null"), choice(1, "d", "\"length\""), choice(0, "bc", "\"stop\"")]));
        assert_ne!(one, stream(&[choice(0, "ab", "null"), choice(1, "d", "\"length\""), choice(0, "bc", "\"stop\"")]));
        assert_ne!(one, stream(&[choice(0, "abc", "\"length\""), choice(1, "d", "\"length\"")]));
    }

    #[test]
    fn when_it_was_made_is_no_part_of_an_answer() {
        let answer = |id: &str, text: &str, cached: u64| {
            let usage = format!(r#"{{"total":3,"details":{{"cached_tokens":{cached}}}}}"#);
            hash("application/json", format!(r#"{{"id":"{id}","text":"{text}","usage":{usage}}}"#).as_bytes())
        };
        assert_eq!(answer("a", "x", 0), answer("b", "x", 7));
        assert_ne!(answer("a", "x", 0), answer("a", "y", 0));
        assert_ne!(hash("application/octet-stream", b"a"), hash("application/octet-stream", b"b"));
    }
}
