//! The document that tells of all routes, held to what is served.

use std::collections::BTreeSet;

use itera_serve::{FeedbackOptions, ServeOptions, Server};
use serde_json::{Map, Value, json};

use crate::{
    hostile::requests,
    schema::{is_valid, resolved},
    support::{ask, get, post, send_bytes, start},
};

fn document(server: &Server) -> Value {
    let (status, body) = get(server, "/openapi.json");
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).expect("JSON")
}

/// A path as it is asked.
fn at(path: &str) -> String {
    path.replace("{model}", "stories").replace("{version}", "1")
}

/// All methods of all paths, and what is told of them.
fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = document["paths"].as_object().expect("paths");
    paths
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().expect("methods").iter();
            methods.map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
        })
        .collect()
}

/// Hold a response to what the document says of it.
#[track_caller]
fn check_response(document: &Value, path: &str, operation: &Value, status: u16, body: &[u8]) {
    let told = &operation["responses"][status.to_string()];
    assert!(told.is_object(), "{path} does not tell of {status}: {}", String::from_utf8_lossy(body));
    let schema = &resolved(document, told)["content"]["application/json"]["schema"];
    if let (true, Ok(answer)) = (schema.is_object(), serde_json::from_slice::<Value>(body)) {
        assert!(is_valid(document, schema, &answer), "{path}: {status} {answer} is not {schema}");
    }
}

#[test]
fn a_query_that_nobody_reads_is_refused_but_by_what_answers_everybody() {
    let server = start(ServeOptions { may_load: true, ..ServeOptions::default() });
    let document = document(&server);
    let mut lenient = BTreeSet::new();
    for (path, method, _) in operations(&document) {
        let asked = format!("{}?unread=1", at(path));
        let (status, body) = match method {
            "get" => get(&server, &asked),
            _ => {
                let (status, body, _) = post(&server, &asked, "{}");
                (status, body)
            }
        };
        if status == 400 {
            assert!(body.contains("unread"), "{path}: {body}");
        } else {
            lenient.insert(path);
        }
    }
    let open = ["/", "/health", "/openapi.json", "/v2/health/live", "/v2/health/ready"];
    let ready = ["/v2/models/{model}/ready", "/v2/models/{model}/versions/{version}/ready"];
    assert_eq!(lenient, open.into_iter().chain(ready).collect());
}

#[test]
fn all_that_is_told_of_is_served_and_answers_as_told() {
    let server = start(ServeOptions { may_load: true, ..ServeOptions::default() });
    let document = document(&server);
    let operations = operations(&document);
    assert!(operations.len() > 30, "{}", operations.len());
    for (path, method, operation) in &operations {
        let (status, body) = match *method {
            "get" => get(&server, &at(path)),
            _ => {
                let (status, body, _) = post(&server, &at(path), "[]");
                (status, body)
            }
        };
        let expected = match (*method, *path) {
            ("get", _) => 200,
            // unless it is kept
            (_, "/v1/feedback" | "/v2/feedback") => 404,
            _ => 400,
        };
        assert_eq!(status, expected, "{method} {path}: {body}");
        check_response(&document, path, operation, status, body.as_bytes());
        let other = if *method == "get" { post(&server, &at(path), "").0 } else { get(&server, &at(path)).0 };
        assert_eq!(other, 405, "{path} has {method} alone");
        for name in path.split(['{', '}']).skip(1).step_by(2) {
            let parameters = operation["parameters"].as_array().expect("a list");
            assert!(parameters.iter().any(|told| told["in"] == "path" && told["name"] == name), "{path}: {name}");
        }
    }
}

#[test]
fn a_name_that_is_no_text_is_refused_as_told() {
    let server = start(ServeOptions::default());
    let document = document(&server);
    for path in ["/v1/models/{model}", "/v2/models/{model}/ready", "/v2/models/{model}/versions/{version}/stats"] {
        let (status, body) = get(&server, &path.replace("{model}", "%ff").replace("{version}", "%00"));
        assert_eq!(status, 400, "{path}: {body}");
        assert!(message(&body).contains("UTF-8"), "{body}");
        check_response(&document, path, &document["paths"][path]["get"], status, body.as_bytes());
    }
}

#[test]
fn what_answers_nothing_is_told_to() {
    let server = start(ServeOptions { may_load: true, ..ServeOptions::default() });
    let document = document(&server);
    for what in ["load", "unload"] {
        let path = format!("/v2/repository/models/{{model}}/{what}");
        let (status, head, body) = send_bytes(&server, &path.replace("{model}", "stories"), &[], b"");
        assert_eq!((status, head.get("content-type"), body.as_slice()), (200, None, &b""[..]), "{what}");
        let told = document["paths"][&path]["post"]["responses"]["200"].as_object().expect("an answer");
        assert_eq!(told.keys().collect::<Vec<_>>(), ["description"], "{what}");
    }
}

#[test]
fn answers_are_as_told() {
    let server = start(ServeOptions::default());
    let document = document(&server);
    for (path, request, bytes) in requests() {
        let told = path.replace("/stories/", "/{model}/");
        let operation = &document["paths"][&told]["post"];
        let json = request.to_string();
        let len = json.len().to_string();
        let headers = [("inference-header-content-length", len.as_str())];
        let headers = if bytes.is_empty() { &[][..] } else { &headers };
        let (status, head, body) = send_bytes(&server, path, headers, &[json.as_bytes(), bytes].concat());
        assert_eq!(status, 200, "{path}");
        check_response(&document, path, operation, status, &body);
        let media_type = head["content-type"].to_str().expect("ASCII");
        assert!(operation["responses"]["200"]["content"][media_type].is_object(), "{path}: {media_type}");
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        assert!(is_valid(&document, schema, &request), "{path}: {request}");
    }
    for (path, request) in
        [("/completion", json!({"prompt": ["a", "b"], "n_predict": 2})), ("/v1/embeddings", json!({"input": "a"}))]
    {
        let answer = ask(&server, path, &request).to_string();
        check_response(&document, path, &document["paths"][path]["post"], 200, answer.as_bytes());
    }
}

/// What each kind of body is at least. Texts are short.
fn least(name: &str) -> Value {
    match name {
        "CompletionRequest" => json!({"max_tokens": 1}),
        "ChatRequest" => json!({"messages": [{"role": "user", "content": "a"}], "logprobs": true, "max_tokens": 1}),
        "EmbeddingsRequest" => json!({"input": "a"}),
        "FeedbackRequest" => json!({"id": "cmpl-0", "rating": 1}),
        "LlamaCppCompletionRequest" => json!({"n_predict": 1}),
        "GenerateRequest" | "GenerateStreamRequest" => json!({"text_input": "a", "max_tokens": 1}),
        "InferRequest" => json!({"parameters": {"text_input": "a", "max_tokens": 1}}),
        "TokenizeRequest" => json!({"prompt": "a"}),
        "DetokenizeRequest" => json!({"tokens": [5]}),
        "RepositoryIndexRequest" | "RepositoryLoadRequest" | "RepositoryUnloadRequest" => json!({}),
        other => panic!("{other} is new"),
    }
}

/// Each kind of body: a path that takes it, and its schema.
fn bodies(document: &Value) -> Vec<(&str, &str, &Value)> {
    let mut bodies: Vec<(&str, &str, &Value)> = vec![];
    for (path, _, operation) in operations(document) {
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        if let Some((_, name)) = schema["$ref"].as_str().and_then(|reference| reference.rsplit_once('/'))
            && bodies.iter().all(|(other, ..)| *other != name)
        {
            bodies.push((name, path, resolved(document, schema)));
        }
    }
    assert_eq!(bodies.len(), 13);
    bodies
}

/// An object of a body: the names that it may have, and the body in which it has another.
type Probe = (BTreeSet<String>, Value);

/// A field that no reader knows.
const UNKNOWN: &str = "zzz";

/// Of each object in what `schema` tells of, beginning with `value`.
fn probes(schema: &Value, value: &Value) -> Vec<Probe> {
    if let Some(schemas) = schema["anyOf"].as_array() {
        return schemas.iter().flat_map(|schema| probes(schema, &Value::Null)).collect();
    }
    if schema["items"].is_object() {
        let items = probes(&schema["items"], &value[0]);
        return items.into_iter().map(|(names, item)| (names, json!([item]))).collect();
    }
    let Some(properties) = schema["properties"].as_object() else { return vec![] };
    let least: Map<String, Value> = value.as_object().cloned().unwrap_or_else(|| {
        let required = schema["required"].as_array().expect("a list").iter();
        let required = required.map(|name| name.as_str().expect("a name").to_owned());
        required.map(|name| (name.clone(), some_value(&properties[&name]))).collect()
    });
    let with = |name: &str, value: Value| {
        let mut object = least.clone();
        object.insert(name.into(), value);
        Value::from(object)
    };
    let mut all = vec![(properties.keys().cloned().collect(), with(UNKNOWN, json!(1)))];
    for (name, schema) in properties {
        let field = least.get(name).unwrap_or(&Value::Null);
        all.extend(probes(schema, field).into_iter().map(|(names, value)| (names, with(name, value))));
    }
    all
}

/// A value that `schema` tells of.
fn some_value(schema: &Value) -> Value {
    match (&schema["enum"][0], schema["type"].as_str()) {
        (Value::Null, Some("array")) => json!([1]),
        (Value::Null, _) => json!("a"),
        (value, _) => value.clone(),
    }
}

/// A server that keeps feedback too, and where.
fn with_feedback() -> (Server, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a directory");
    let feedback = FeedbackOptions { path: dir.path().join("journal"), most_bytes: 1 << 20, with_texts: true };
    let feedback = Some(feedback);
    (start(ServeOptions { feedback, may_load: true, queued_texts: 4, ..ServeOptions::default() }), dir)
}

/// The message of a refusal, of whatever surface.
fn message(body: &str) -> String {
    let error = serde_json::from_str::<Value>(body).expect("JSON")["error"].take();
    error["message"].as_str().or(error.as_str()).expect("a message").to_owned()
}

#[test]
fn readers_take_the_fields_that_are_told_of_and_no_others() {
    let (server, _dir) = with_feedback();
    let document = document(&server);
    let mut count = 0;
    for (name, path, schema) in bodies(&document) {
        for (names, body) in probes(schema, &least(name)) {
            let (status, answer, _) = post(&server, &at(path), &body.to_string());
            assert_eq!(status, 400, "{path} {body}: {answer}");
            let message = message(&answer);
            let (_, known) = message
                .split_once(&format!("unknown field `{UNKNOWN}`, expected "))
                .unwrap_or_else(|| panic!("{path} {body}: {message}"));
            let mut known: BTreeSet<String> = known.split('`').skip(1).step_by(2).map(str::to_owned).collect();
            if name.starts_with("Generate") && body["parameters"][UNKNOWN].is_number() {
                // they are read with the fields beside them, two of which they do not have
                assert!(known.remove("id") && known.remove("parameters"));
            }
            assert_eq!(known, names, "{path} {body}");
            count += 1;
        }
    }
    assert!(count >= 30, "{count}");
}

/// Fields whose largest value no model of the test has room for, or that go with others.
const BOUNDED_BY_THE_MODEL: [&str; 7] =
    ["n", "best_of", "max_tokens", "max_completion_tokens", "n_predict", "dimensions", "choice"];

#[test]
fn what_is_told_to_be_wrong_is_refused_and_what_is_the_default_is_answered() {
    let (server, _dir) = with_feedback();
    let document = document(&server);
    let (mut refused, mut answered) = (0, 0);
    for (name, path, schema) in bodies(&document) {
        for (field, of_field) in schema["properties"].as_object().expect("properties") {
            let neighbours = |bound: &str, by: f64| {
                let bound = of_field[bound].as_f64();
                bound.map(|bound| if bound > 1e15 { json!(1e30) } else { json!(bound + by) })
            };
            let values = [
                json!(-2),
                json!(-1),
                json!(0),
                json!(1),
                json!(0.5),
                json!(101),
                json!(u64::MAX),
                json!(true),
                json!(false),
                json!(""),
                json!("a"),
                json!([]),
                json!([[]]),
                json!([1, "a"]),
                json!([[1, 2, 3]]),
                json!(["", "a"]),
                json!({}),
                json!({"a": 1}),
                json!({"a": []}),
                json!([{}]),
                json!([null]),
            ];
            let values = values
                .into_iter()
                .chain(neighbours("minimum", -0.001))
                .chain(neighbours("maximum", 0.001))
                .chain(neighbours("maximum", 1.0));
            let sent = |value: &Value| {
                let mut body = least(name);
                body[field] = value.clone();
                let (status, answer, _) = post(&server, &at(path), &body.to_string());
                (status, format!("{path} {body}: {status} {answer}"))
            };
            for value in values {
                if !is_valid(&document, of_field, &value) {
                    let (status, what) = sent(&value);
                    assert_eq!(status, 400, "{what}");
                    refused += 1;
                }
            }
            let is_bounded = BOUNDED_BY_THE_MODEL.contains(&field.as_str());
            let least_and_most = ["minimum", "maximum"].map(|bound| &of_field[bound]);
            for value in least_and_most.into_iter().filter(|_| !is_bounded).chain([&of_field["default"]]) {
                if !value.is_null() && name != "FeedbackRequest" {
                    let (status, what) = sent(value);
                    assert_eq!(status, 200, "{what}");
                    answered += 1;
                }
            }
        }
    }
    assert!(refused > 1000 && answered > 100, "{refused} refused, {answered} answered");
}

#[test]
fn the_types_of_tensors_are_those_that_are_read() {
    let server = start(ServeOptions::default());
    let document = document(&server);
    let input = &document["components"]["schemas"]["InferRequest"]["properties"]["inputs"]["items"]["properties"];
    let told: Vec<&str> =
        input["datatype"]["enum"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    let body = json!({"inputs": [{"name": "text_input", "shape": [1], "datatype": "X", "data": [1]}]});
    let (_, answer, _) = post(&server, "/v2/models/stories/infer", &body.to_string());
    let message = message(&answer);
    let read: Vec<&str> = message.split('`').skip(3).step_by(2).collect();
    assert_eq!(told, read, "{message}");
}
