//! bytes → the fields of a request, or what is wrong with them
//!
//! A field that is unknown, absent, given twice or of another type is refused by its name. A surface takes the fields that it
//! knows, one after the other, from those that came; what is left at the end is unknown.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error, IntoDeserializer, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

use crate::refusal::Refusal;

/// The request that `bytes` are, as JSON (at most 128 levels deep).
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        match error.into_inner() {
            problem if !problem.is_data() => Refusal::bad(format!("the body is not JSON: {problem}")),
            problem => wrong(&path, &problem),
        }
    })?;
    json.end().map_err(|problem| Refusal::bad(format!("the body is more than one JSON value: {problem}")))?;
    Ok(value)
}

/// What is at `path` is wrong.
fn wrong(path: &str, problem: &dyn fmt::Display) -> Refusal {
    match path {
        "." | "?" => Refusal::bad(problem.to_string()),
        _ => Refusal::field(path, format!("{path}: {problem}")),
    }
}

/// Fields of a request, as long as nobody has taken them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Fields {
    left: Map<String, Value>,
    /// Names that were asked for.
    known: Vec<&'static str>,
}

impl Fields {
    /// The fields of an object.
    pub fn of(left: Map<String, Value>) -> Self {
        Self { left, known: vec![] }
    }

    /// Add a field that came in another way.
    pub fn add(&mut self, name: &str, value: Value) -> Result<(), Refusal> {
        match self.left.insert(name.into(), value) {
            None => Ok(()),
            Some(_) => Err(Refusal::field(name, format!("{name}: duplicate field `{name}`"))),
        }
    }

    /// Add fields that came in another way.
    pub fn add_all(&mut self, fields: Map<String, Value>) -> Result<(), Refusal> {
        fields.into_iter().try_for_each(|(name, value)| self.add(&name, value))
    }

    /// The value of a field; absent and null are the same.
    pub fn take<T: DeserializeOwned>(&mut self, name: &'static str) -> Result<Option<T>, Refusal> {
        self.known.push(name);
        let value = self.left.shift_remove(name).filter(|value| !value.is_null());
        let typed = value.map(|value| serde_path_to_error::deserialize(value.into_deserializer()));
        typed.transpose().map_err(|error: serde_path_to_error::Error<serde_json::Error>| {
            let path = match error.path().to_string().as_str() {
                "." | "?" => name.to_owned(),
                within if within.starts_with('[') => format!("{name}{within}"),
                within => format!("{name}.{within}"),
            };
            wrong(&path, error.inner())
        })
    }

    /// A field that is not built: refused unless its value is one of `nothing`, which ask for nothing.
    pub fn only(&mut self, name: &'static str, nothing: &[Value]) -> Result<(), Refusal> {
        match self.take::<Value>(name)? {
            Some(value) if !nothing.contains(&value) => {
                Err(Refusal::field(name, format!("{name}: this server does not do that")))
            }
            _ => Ok(()),
        }
    }

    /// Those that nobody took.
    pub fn into_left(self) -> Map<String, Value> {
        self.left
    }

    /// Nothing is left.
    pub fn done(self) -> Result<(), Refusal> {
        let Some(name) = self.left.keys().next() else { return Ok(()) };
        let known: Vec<String> = self.known.iter().map(|name| format!("`{name}`")).collect();
        Err(Refusal::field(name, format!("{name}: unknown field `{name}`, expected one of {}", known.join(", "))))
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Strict::deserialize(deserializer)?.0 {
            Value::Object(left) => Ok(Self::of(left)),
            _ => Err(D::Error::custom("expected an object")),
        }
    }
}

/// One text, or a list of them.
#[derive(Debug, Default)]
pub(crate) struct Texts(pub Vec<String>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let texts = match Value::deserialize(deserializer)? {
            Value::String(text) => Some(vec![text]),
            Value::Array(items) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
            _ => None,
        };
        texts.map(Self).ok_or_else(|| D::Error::custom("expected a text, or a list of texts"))
    }
}

/// A value in which no object has a key twice, which serde's own would take.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Strict;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Strict, E> {
        Ok(Strict(Value::Null))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Strict, A::Error> {
        let mut all = vec![];
        while let Some(Strict(item)) = items.next_element()? {
            all.push(item);
        }
        Ok(Strict(all.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Strict, A::Error> {
        let mut all = Map::new();
        while let Some((key, Strict(value))) = map.next_entry::<String, Strict>()? {
            if all.contains_key(&key) {
                return Err(A::Error::custom(format!("duplicate field `{key}`")));
            }
            all.insert(key, value);
        }
        Ok(Strict(all.into()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problem(json: &str) -> String {
        let read = || {
            let mut fields: Fields = parse(json.as_bytes())?;
            fields.take::<u32>("n")?;
            fields.take::<std::collections::BTreeMap<String, f32>>("bias")?;
            fields.take::<Vec<u32>>("ids")?;
            fields.only("tools", &[json!([])])?;
            fields.done()
        };
        read().map_or_else(|refusal: Refusal| refusal.to_json(), |()| "none".into())
    }

    #[test]
    fn what_is_meant_is_read() {
        let mut fields: Fields =
            parse(br#" {"n": 3, "m": null, "k": [{"a": 1, "b": {"a": -0.5}}]} "#).expect("an object");
        assert_eq!(fields.take("n"), Ok(Some(3_u32)));
        assert_eq!(fields.take::<u32>("m"), Ok(None));
        assert_eq!(fields.take("k"), Ok(Some(json!([{"a": 1, "b": {"a": -0.5}}]))));
        assert_eq!(fields.take::<u32>("n"), Ok(None), "it was taken");
        assert_eq!(fields.add("x", json!(1)), Ok(()));
        assert!(fields.add("x", json!(1)).is_err_and(|refusal| refusal.to_json().contains("duplicate")));
        assert_eq!(problem(r#"{"n": 3, "tools": []}"#), "none");
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(problem(r#"{"m": 3}"#).contains("unknown field `m`, expected one of `n`"));
        assert!(problem(r#"{"n": 3, "n": 3}"#).contains("duplicate field `n`"));
        assert!(problem(r#"{"bias": {"5": 1, "5": 1}}"#).contains("duplicate field `5`"));
        assert!(problem(r#"{"n": -1}"#).contains(r#""param":"n""#));
        assert!(problem(r#"{"bias": {"5": "x"}}"#).contains(r#""param":"bias.5""#));
        assert!(problem(r#"{"ids": [1, -2]}"#).contains(r#""param":"ids[1]""#));
        assert!(problem(r#"{"tools": [1]}"#).contains("tools: this server does not do that"));
        assert!(problem(r#"{"n": 3} {}"#).contains("more than one JSON value"));
        assert!(problem(r#"{"n": NaN}"#).contains("not JSON"));
        assert!(problem("").contains("not JSON"));
        assert!(problem("[]").contains("expected an object"));
        assert!(problem(&"[".repeat(250_000)).contains("not JSON"));
        assert!(problem(&format!("{{\"bias\": {}", "{\"a\":".repeat(250_000))).contains("not JSON"));
    }
}
