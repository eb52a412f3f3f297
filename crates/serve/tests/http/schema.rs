//! Whether a value is what a schema says, for the keywords that our document has.

use serde_json::Value;

/// The part of the document that `schema` refers to; itself, unless it refers to one.
pub fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).expect("it is there"),
        None => schema,
    }
}

/// Whether `value` is what `schema` says.
///
/// # Panics
/// If the schema has a keyword that is not checked here.
pub fn is_valid(document: &Value, schema: &Value, value: &Value) -> bool {
    let all = |items: Option<&Vec<Value>>, schema: &Value| {
        items.is_none_or(|items| items.iter().all(|item| is_valid(document, schema, item)))
    };
    let keywords = resolved(document, schema).as_object().expect("a schema is an object");
    keywords.iter().all(|(keyword, expected)| match keyword.as_str() {
        "type" => {
            let any = |kind: &Value| is_of(kind.as_str().expect("a name"), value);
            expected.as_array().map_or_else(|| any(expected), |kinds| kinds.iter().any(any))
        }
        "enum" => expected.as_array().expect("a list").iter().any(|other| is_same(other, value)),
        "anyOf" => expected.as_array().expect("a list").iter().any(|schema| is_valid(document, schema, value)),
        "not" => !is_valid(document, expected, value),
        "minimum" => !value.is_number() || compare(value, expected).is_ge(),
        "maximum" => !value.is_number() || compare(value, expected).is_le(),
        "minLength" => {
            value.as_str().is_none_or(|text| text.chars().count() as u64 >= expected.as_u64().expect("a count"))
        }
        "maxLength" => {
            value.as_str().is_none_or(|text| text.chars().count() as u64 <= expected.as_u64().expect("a count"))
        }
        "minItems" => value.as_array().is_none_or(|items| items.len() as u64 >= expected.as_u64().expect("a count")),
        "maxItems" => value.as_array().is_none_or(|items| items.len() as u64 <= expected.as_u64().expect("a count")),
        "items" => all(value.as_array(), expected),
        "prefixItems" => value.as_array().is_none_or(|items| {
            let schemas = expected.as_array().expect("a list");
            items.iter().zip(schemas).all(|(item, schema)| is_valid(document, schema, item))
        }),
        "properties" => value.as_object().is_none_or(|fields| {
            fields.iter().all(|(name, field)| expected.get(name).is_none_or(|schema| is_valid(document, schema, field)))
        }),
        "required" => value.as_object().is_none_or(|fields| {
            expected.as_array().expect("a list").iter().all(|name| fields.contains_key(name.as_str().expect("a name")))
        }),
        "additionalProperties" => value.as_object().is_none_or(|fields| {
            let mut others = fields
                .iter()
                .filter(|(name, _)| keywords.get("properties").is_none_or(|known| known.get(name).is_none()));
            match expected {
                Value::Bool(false) => others.next().is_none(),
                schema => others.all(|(_, field)| is_valid(document, schema, field)),
            }
        }),
        "propertyNames" => value
            .as_object()
            .is_none_or(|fields| fields.keys().all(|name| is_valid(document, expected, &name.as_str().into()))),
        "pattern" => {
            assert_eq!(expected, "^[0-9]{1,10}$");
            value
                .as_str()
                .is_none_or(|text| (1..=10).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()))
        }
        "default" => true,
        other => panic!("{other} is not checked"),
    })
}

fn is_of(kind: &str, value: &Value) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0),
        other => panic!("{other} is no type"),
    }
}

fn is_same(one: &Value, other: &Value) -> bool {
    one == other || (one.is_number() && other.is_number() && compare(one, other).is_eq())
}

fn compare(one: &Value, other: &Value) -> std::cmp::Ordering {
    let whole = |value: &Value| value.as_i64().map(i128::from).or(value.as_u64().map(i128::from));
    match (whole(one), whole(other)) {
        (Some(one), Some(other)) => one.cmp(&other),
        _ => one.as_f64().expect("a number").total_cmp(&other.as_f64().expect("a number")),
    }
}
