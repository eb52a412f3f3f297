//! Schemas of what requests and answers hold (JSON Schema 2020-12, as OpenAPI 3.1 has it).
//!
//! A reader of a body has its schema beside it, of the same constants and lists. `tests/http/openapi.rs` holds one to the other.

use std::ops::RangeInclusive;

use serde_json::{Map, Value, json};

/// What each field of an object is.
pub(crate) type Properties = Vec<(&'static str, Value)>;

/// An object of fields that all may be absent, and of no others.
pub(crate) fn object(properties: Properties) -> Value {
    with_required(properties, &[])
}

/// An object that has all of these fields, and no others.
pub(crate) fn exactly(properties: Properties) -> Value {
    let names: Vec<&str> = properties.iter().map(|(name, _)| *name).collect();
    with_required(properties, &names)
}

/// An object that has the fields `required`, may have the others, and no more.
pub(crate) fn with_required(properties: Properties, required: &[&str]) -> Value {
    let properties: Map<String, Value> =
        properties.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect();
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

pub(crate) fn text() -> Value {
    json!({"type": "string"})
}

/// One of these texts.
pub(crate) fn one_of(texts: &[&str]) -> Value {
    json!({"type": "string", "enum": texts})
}

pub(crate) fn boolean() -> Value {
    json!({"type": "boolean"})
}

pub(crate) fn integer<N: Into<Value> + Copy>(range: RangeInclusive<N>) -> Value {
    json!({"type": "integer", "minimum": (*range.start()).into(), "maximum": (*range.end()).into()})
}

/// A whole number, as what is counted.
pub(crate) fn count() -> Value {
    json!({"type": "integer", "minimum": 0})
}

pub(crate) fn number(range: RangeInclusive<f64>) -> Value {
    json!({"type": "number", "minimum": range.start(), "maximum": range.end()})
}

/// A finite number.
pub(crate) fn any_number() -> Value {
    json!({"type": "number"})
}

pub(crate) fn list(items: Value) -> Value {
    json!({"type": "array", "items": items})
}

/// A list of at least one.
pub(crate) fn some(items: Value) -> Value {
    json!({"type": "array", "items": items, "minItems": 1})
}

pub(crate) fn any_of(schemas: impl Into<Vec<Value>>) -> Value {
    json!({"anyOf": schemas.into()})
}

/// One of these values alone.
pub(crate) fn only(values: &[Value]) -> Value {
    let mut distinct: Vec<&Value> = vec![];
    for value in values {
        // 0 and 0.0 are two values of this program, and one of JSON Schema
        if !distinct.iter().any(|other| *other == value || (value.is_number() && other.as_f64() == value.as_f64())) {
            distinct.push(value);
        }
    }
    json!({"enum": distinct})
}

/// The same, or null.
pub(crate) fn or_null(mut schema: Value) -> Value {
    if let Some(schemas) = schema.get_mut("anyOf").and_then(Value::as_array_mut) {
        schemas.push(json!({"type": "null"}));
    }
    if let Some(values) = schema.get_mut("enum").and_then(Value::as_array_mut) {
        values.push(Value::Null);
    }
    if let Some(kind) = schema.get_mut("type") {
        *kind = json!([kind, "null"]);
    }
    schema
}

/// The same, or null, which is as if it were `default`.
pub(crate) fn or(schema: Value, default: impl Into<Value>) -> Value {
    let mut schema = or_null(schema);
    schema["default"] = default.into();
    schema
}
