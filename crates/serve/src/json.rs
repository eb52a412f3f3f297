//! bytes → a request, or what is wrong with them
//!
//! A field that is unknown, absent, given twice or of another type is refused by its name: the types of requests say what
//! fields there are, and serde's derived readers take no field twice.

use std::{collections::BTreeMap, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error, MapAccess, Visitor},
};

use crate::refusal::Refusal;

/// The request that `bytes` are, as JSON (at most 128 levels deep).
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let problem = error.into_inner();
        match path.as_str() {
            _ if !problem.is_data() => Refusal::bad(format!("the body is not JSON: {problem}")),
            "." | "?" => Refusal::bad(problem.to_string()),
            _ => Refusal::field(&path, format!("{path}: {problem}")),
        }
    })?;
    json.end().map_err(|problem| Refusal::bad(format!("the body is more than one JSON value: {problem}")))?;
    Ok(value)
}

/// An object of any keys, none of them twice, which a map of serde's own would take.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Object<V>(pub BTreeMap<String, V>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Object<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for Entries<V> {
            type Value = BTreeMap<String, V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<String, V>()? {
                    if entries.insert(key.clone(), value).is_some() {
                        return Err(A::Error::custom(format!("duplicate field `{key}`")));
                    }
                }
                Ok(entries)
            }
        }
        deserializer.deserialize_map(Entries(PhantomData)).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Request {
        n: Option<u32>,
        bias: Option<Object<f32>>,
    }

    fn problem(json: &str) -> String {
        parse::<Request>(json.as_bytes()).expect_err(json).to_json()
    }

    #[test]
    fn what_is_meant_is_read() {
        let bias = Some(Object([("5".to_owned(), -1.0)].into()));
        assert_eq!(parse(br#" {"n": 3, "bias": {"5": -1}} "#), Ok(Request { n: Some(3), bias }));
        assert_eq!(parse(br#"{"n": null}"#), Ok(Request { n: None, bias: None }));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(problem(r#"{"m": 3}"#).contains("unknown field `m`"));
        assert!(problem(r#"{"n": 3, "n": 3}"#).contains("duplicate field `n`"));
        assert!(problem(r#"{"bias": {"5": 1, "5": 1}}"#).contains("duplicate field `5`"));
        assert!(problem(r#"{"n": -1}"#).contains(r#""param":"n""#));
        assert!(problem(r#"{"bias": {"5": "x"}}"#).contains(r#""param":"bias.5""#));
        assert!(problem(r#"{"n": 3} {}"#).contains("more than one JSON value"));
        assert!(problem(r#"{"n": NaN}"#).contains("not JSON"));
        assert!(problem("").contains("not JSON"));
        assert!(
            problem(&"[".repeat(250_000)).contains("not JSON")
                || problem(&"[".repeat(250_000)).contains("invalid type")
        );
        assert!(problem(&format!("{{\"bias\": {}", "{\"a\":".repeat(250_000))).contains("param"));
    }
}
