//! Texts that keep to a schema, an expression or a grammar, by a model that has learnt nothing of either.

use itera_serve::ServeOptions;
use serde_json::{Value, json};

use crate::support::{ask, data, post, start, with_files};

fn with(mut request: Value, more: Value) -> Value {
    request.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    request
}

fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 6, "pattern": "^[a-z]*$"},
            "age": {"type": "integer", "minimum": 1, "maximum": 99},
            "pets": {"type": "array", "items": {"enum": ["dog", "cat", "é"]}, "maxItems": 3},
        },
        "required": ["name", "age", "pets"],
        "additionalProperties": false,
    })
}

#[track_caller]
fn check(text: &str) {
    let value: Value = serde_json::from_str(text).unwrap_or_else(|problem| panic!("{problem}: {text}"));
    let keys: Vec<&String> = value.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["name", "age", "pets"], "{text}");
    let name = value["name"].as_str().expect("a text");
    assert!(name.len() <= 6 && name.bytes().all(|byte| byte.is_ascii_lowercase()), "{text}");
    assert!(value["age"].as_u64().is_some_and(|age| (1..=99).contains(&age)), "{text}");
    let pets = value["pets"].as_array().expect("a list");
    assert!(
        pets.len() <= 3 && pets.iter().all(|pet| ["dog", "cat", "é"].contains(&pet.as_str().expect("a text"))),
        "{text}"
    );
}

#[test]
fn a_text_keeps_to_its_schema_on_every_surface() {
    let server = with_files(&[]);
    let mut texts = vec![];
    for seed in 0..10 {
        let settings = json!({"max_tokens": 200, "temperature": 1.0, "seed": seed});
        let chat = with(
            settings.clone(),
            json!({
                "messages": [{"role": "user", "content": "a"}],
                "response_format": {"type": "json_schema", "json_schema": {"name": "pets", "strict": true, "schema": schema()}},
            }),
        );
        let said = ask(&server, "/v1/chat/completions", &chat);
        let (status, events, _) =
            post(&server, "/v1/chat/completions", &with(chat, json!({"stream": true})).to_string());
        assert_eq!(status, 200);
        let streamed: String = data(events.strip_suffix("data: [DONE]\n\n").expect("its end"))
            .iter()
            .map(|event| event["choices"][0]["delta"]["content"].as_str().expect("a text").to_owned())
            .collect();
        let said = said["choices"][0]["message"]["content"].as_str().expect("a text");
        let structured = json!({"prompt": "a", "structured_outputs": {"json": schema()}});
        let completed = ask(&server, "/v1/completions", &with(settings.clone(), structured.clone()));
        assert_eq!(completed["choices"][0]["finish_reason"], "stop");
        let llama = json!({"prompt": "a", "n_predict": 200, "temperature": 1.0, "seed": seed, "json_schema": schema()});
        let llama = ask(&server, "/completion", &llama);
        let tensors = json!({"text_input": "a", "structured_outputs": {"json": schema().to_string()}});
        let tensors = ask(&server, "/v2/models/noise/generate", &with(settings, tensors));
        check(said);
        for other in [
            &streamed,
            completed["choices"][0]["text"].as_str().expect("a text"),
            llama["content"].as_str().expect("a text"),
            tensors["text_output"].as_str().expect("a text"),
        ] {
            assert_eq!(other, said, "one grammar, one text");
        }
        texts.push(said.to_owned());
    }
    texts.sort();
    texts.dedup();
    assert!(texts.len() > 5, "{texts:?}");

    let many = json!({"prompt": ["a", "b"], "n": 8, "max_tokens": 200, "structured_outputs": {"json": schema()}});
    for choice in ask(&server, "/v1/completions", &many)["choices"].as_array().expect("a list") {
        check(choice["text"].as_str().expect("a text"));
    }
}

#[test]
fn what_a_text_may_be_is_said_in_many_ways() {
    let server = with_files(&[]);
    let text = |more: Value| {
        let request = with(json!({"prompt": "a", "max_tokens": 300, "temperature": 1.0}), more);
        let choice = ask(&server, "/v1/completions", &request)["choices"][0].clone();
        (
            choice["text"].as_str().expect("a text").to_owned(),
            choice["finish_reason"].as_str().expect("a word").to_owned(),
        )
    };
    for seed in 0..5 {
        let of = |outputs: Value| text(json!({"seed": seed, "structured_outputs": outputs}));
        let (found, _) = of(json!({"regex": "[ab]{3,5}c"}));
        assert!(found.ends_with('c') && (4..=6).contains(&found.len()), "{found}");
        let (found, _) = of(json!({"choice": ["a.b", "(", "zwölf"]}));
        assert!(["a.b", "(", "zwölf"].contains(&found.as_str()), "{found}");
        let (found, _) = of(json!({"grammar": "start: (\"a\" start \"b\") | \"-\""}));
        let half = found.find('-').expect("a middle");
        assert_eq!(found, format!("{}-{}", "a".repeat(half), "b".repeat(half)));
        let (found, reason) = of(json!({"json_object": true}));
        let is_object = serde_json::from_str::<Value>(&found).is_ok_and(|value| value.is_object());
        assert!(is_object || reason == "length", "{found}");
        assert!(found.starts_with('{'), "{found}");
        let (same, _) = text(json!({"seed": seed, "response_format": {"type": "json_object"}}));
        assert_eq!(found, same);
        let (cut, reason) = text(json!({"seed": seed, "max_tokens": 2, "structured_outputs": {"regex": "[ab]{3,5}c"}}));
        assert_eq!((cut.len(), reason.as_str()), (2, "length"));
    }
}

#[test]
fn a_grammar_that_cannot_be_kept_to_is_refused() {
    let server = with_files(&[]);
    let refused = |path: &str, more: Value, param: &str| {
        let request = with(json!({"prompt": "a", "max_tokens": 5}), more);
        let (status, body, _) = post(&server, path, &request.to_string());
        let error: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(status, 400, "{request}: {body}");
        let message = error["error"]["message"].as_str().expect("a message");
        assert!(message.starts_with(param) && message.lines().count() == 1 && message.len() < 700, "{body}");
    };
    let structured =
        |outputs: Value| refused("/v1/completions", json!({"structured_outputs": outputs}), "structured_outputs");
    structured(json!({"regex": "("}));
    structured(json!({"regex": "(".repeat(30_000) + &")".repeat(30_000)}));
    structured(json!({"regex": "a".repeat(100_000)}));
    structured(json!({"grammar": "start: nothing"}));
    structured(json!({"grammar": ""}));
    structured(json!({"grammar": "start: a\na[temperature=2.0]: /[ab]/"}));
    structured(json!({"grammar": format!("start: {}\"a\"{}", "(".repeat(30_000), ")".repeat(30_000))}));
    structured(json!({"grammar": format!("start: {}\"a\"", "[".repeat(60_000))}));
    structured(json!({"json": {"type": "nonsense"}}));
    structured(json!({"json": {"unevaluatedItems": false}}));
    structured(json!({"json": {"$ref": "http://example.com/schema"}}));
    structured(json!({"json": {"allOf": [{"type": "string"}, {"type": "number"}]}}));
    structured(json!({"json": "{"}));
    structured(json!({"json": false}));
    structured(json!({"choice": []}));
    structured(json!({"choice": ["a"], "regex": "a"}));
    structured(json!({"json_object": false}));
    structured(json!({}));
    structured(json!({"guided": "a"}));
    let deep = (0..100).fold(json!({"type": "integer"}), |inner, _| json!({"type": "array", "items": inner}));
    let status =
        post(&server, "/v1/completions", &json!({"prompt": "a", "structured_outputs": {"json": deep}}).to_string()).0;
    assert!([200, 400].contains(&status), "{status}");
    for format in [
        json!({"type": "xml"}),
        json!({"type": "json_schema"}),
        json!({"type": "json_object", "json_schema": {"schema": {}}}),
        json!({"type": "json_schema", "json_schema": {"schema": {"type": 3}}}),
        json!({"type": "json_schema", "json_schema": {"scheme": {}}}),
        json!({}),
    ] {
        refused("/v1/completions", json!({"response_format": format}), "response_format");
    }
    refused(
        "/v1/completions",
        json!({"response_format": {"type": "json_object"}, "ignore_eos": true}),
        "response_format",
    );
    refused(
        "/v1/completions",
        json!({"response_format": {"type": "json_object"}, "structured_outputs": {"regex": "a"}}),
        "response_format",
    );
    refused("/completion", json!({"json_schema": {"type": "nonsense"}}), "json_schema");
    // a vocabulary without brackets
    let stories = start(ServeOptions::default());
    let list = json!({"prompt": "a", "structured_outputs": {"json": {"type": "array"}}});
    let (status, body, _) = post(&stories, "/v1/completions", &list.to_string());
    assert!(status == 400 && body.contains("no token of this model can begin such a text"), "{body}");
    // what the grammar wants is excluded: no text, rather than another
    let a = itera_tokenizer::Tokenizer::byte().encode("a")[0];
    let excluded = json!({"structured_outputs": {"regex": "aa"}, "logit_bias": [[a, false]]});
    refused("/completion", excluded.clone(), "the text cannot go on");
    let (_, body, _) =
        post(&server, "/completion", &with(excluded, json!({"prompt": "a", "stream": true})).to_string());
    assert!(body.contains("the text cannot go on") && !body.contains("\"content\""), "{body}");
    // and others are not troubled
    ask(&server, "/v1/completions", &json!({"prompt": "a", "max_tokens": 3, "structured_outputs": {"regex": "aa"}}));
}
