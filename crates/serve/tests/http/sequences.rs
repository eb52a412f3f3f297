//! Texts that are asked for piece by piece: each is the one that a single request with all tokens gets.

use std::{fs, io::Read, thread, time::Duration};

use itera_serve::{NewKey, Role, ServeOptions, Server};
use serde_json::{Map, Value, json};

use crate::support::{ask, data, get, post, send_bytes, send_to, start};

const GENERATE: &str = "/v2/models/stories/generate";

/// Beginnings of all lengths: of none, of a piece of a prompt, and of several.
const TEXTS: [&str; 4] = ["The dog", "", " and then", " said the cat."];

/// A sequence as one who keeps its tokens asks for it, each time with all of them.
struct Whole(Vec<Value>);

impl Whole {
    fn new() -> Self {
        Self(vec![])
    }

    /// The text after `more`, by sampling that both surfaces call alike.
    fn go_on(&mut self, server: &Server, more: &str, max_tokens: usize, sampling: &Map<String, Value>) -> Value {
        let tokenize = if self.0.is_empty() { json!({"prompt": more}) } else { json!({"content": more}) };
        let tokens = ask(server, "/tokenize", &tokenize)["tokens"].take();
        self.0.extend(tokens.as_array().expect("tokens").clone());
        let mut request = json!({"prompt": self.0, "n_predict": max_tokens, "return_tokens": true});
        request.as_object_mut().expect("an object").extend(sampling.clone());
        let told = ask(server, "/completion", &request);
        let mut chosen = told["tokens"].as_array().expect("tokens").clone();
        let before = self.0.len();
        if told["stop_type"] == "eos" {
            chosen.pop();
        }
        self.0.extend(chosen);
        let reason = if told["stop_type"] == "limit" { "length" } else { "stop" };
        json!({
            "text_output": told["content"], "finish_reason": reason, "num_input_tokens": before,
            "num_output_tokens": told["tokens_predicted"],
        })
    }
}

fn request(text: &str, max_tokens: usize, sampling: &Map<String, Value>, sequence: Value) -> Value {
    let mut request = json!({"text_input": text, "max_tokens": max_tokens, "parameters": sequence});
    request.as_object_mut().expect("an object").extend(sampling.clone());
    request
}

/// What is told of a text, however it was asked for.
#[track_caller]
fn told(server: &Server, is_streamed: bool, request: &Value) -> Value {
    let path = if is_streamed { "/v2/models/stories/generate_stream" } else { GENERATE };
    let (status, body, _) = post(server, path, &request.to_string());
    assert_eq!(status, 200, "{request}: {body}");
    let mut last = json!({});
    if is_streamed {
        let mut text = String::new();
        for event in data(&body) {
            text += event["text_output"].as_str().expect("a text");
            last = event;
        }
        last["text_output"] = text.into();
    } else {
        last = serde_json::from_str(&body).expect("JSON");
    }
    for key in ["model_name", "model_version", "id"] {
        last.as_object_mut().expect("an object").remove(key);
    }
    last
}

/// The message of the 400 that a request gets.
#[track_caller]
fn refusal(server: &Server, request: &Value) -> String {
    let (status, body, _) = post(server, GENERATE, &request.to_string());
    assert_eq!(status, 400, "{request}: {body}");
    serde_json::from_str::<Value>(&body).expect("JSON")["error"].as_str().expect("a message").to_owned()
}

/// Sampling that both surfaces call alike.
fn sampling(seed: usize) -> Map<String, Value> {
    let mut all = Map::from_iter([("seed".to_owned(), json!(seed)), ("temperature".to_owned(), json!(0.8))]);
    if seed.is_multiple_of(3) {
        all.insert("top_p".into(), json!(0.9));
    }
    if seed.is_multiple_of(2) {
        all.insert("stop".into(), json!(["."]));
    }
    all
}

#[test]
fn a_sequence_of_requests_is_one_text_whatever_else_goes_on() {
    let long = "Once upon a time there was a little dog who liked to run in the park. ".repeat(12);
    for cache_bytes in [0, 1 << 20, 256 << 20] {
        let server = start(ServeOptions { cache_bytes, ..ServeOptions::default() });
        let (server, long) = (&server, &long);
        thread::scope(|scope| {
            for number in 1..=4_usize {
                scope.spawn(move || {
                    let mut whole = Whole::new();
                    for step in 0..7 {
                        let text = if step == 2 { long } else { TEXTS[(number + step) % TEXTS.len()] };
                        let (max_tokens, sampling) = (1 + (number * 7 + step * 31) % 60, sampling(number * 100 + step));
                        let expected = whole.go_on(server, text, max_tokens, &sampling);
                        let name = if number == 4 { json!("a sequence") } else { json!(number) };
                        let mut sequence = json!({"sequence_id": name});
                        if step == 0 {
                            sequence["sequence_start"] = true.into();
                        }
                        let request = request(text, max_tokens, &sampling, sequence);
                        assert_eq!(told(server, step % 2 == 1, &request), expected, "{cache_bytes}, {number}, {step}");
                    }
                });
            }
        });
    }
}

#[test]
fn what_was_read_of_a_sequence_is_not_read_again() {
    let server = start(ServeOptions::default());
    let long = "Once upon a time there was a little dog. ".repeat(40);
    let cached = || {
        let metrics = get(&server, "/metrics").1;
        let line = metrics.lines().find_map(|line| line.strip_prefix("itera_cached_tokens_total")).expect("a metric");
        line.split_once("} ").and_then(|(_, count)| count.parse::<usize>().ok()).expect("a count")
    };
    let first = json!({"text_input": long, "max_tokens": 5, "parameters": {"sequence_id": 1, "sequence_start": true}});
    let first = ask(&server, GENERATE, &first)["num_input_tokens"].as_u64().expect("a count") as usize;
    assert_eq!(cached(), 0);
    let next =
        ask(&server, GENERATE, &json!({"text_input": " The", "max_tokens": 5, "parameters": {"sequence_id": 1}}));
    assert!(next["num_input_tokens"].as_u64() > Some(first as u64));
    assert!(cached() + 150 > first, "{} of {first}", cached());
}

#[test]
fn requests_of_one_sequence_take_turns_in_their_order() {
    let server = start(ServeOptions::default());
    let mut whole = Whole::new();
    let mut endless = sampling(1);
    endless.insert("ignore_eos".into(), true.into());
    let first = whole.go_on(&server, "The dog", 2000, &endless);
    let second = whole.go_on(&server, " ran", 20, &sampling(2));
    let third = whole.go_on(&server, " and", 20, &sampling(3));
    let asked = request("The dog", 2000, &endless, json!({"sequence_id": 7, "sequence_start": true}));
    let mut under_way = send_to(&server, "/v2/models/stories/generate_stream", &asked);
    under_way.read_exact(&mut [0; 400]).expect("it begins");
    let server = &server;
    thread::scope(|scope| {
        let waiting =
            scope.spawn(|| told(server, false, &request(" ran", 20, &sampling(2), json!({"sequence_id": 7}))));
        // the server has it before the next
        thread::sleep(Duration::from_millis(300));
        let last = request(" and", 20, &sampling(3), json!({"sequence_id": 7, "sequence_end": true}));
        let last = scope.spawn(move || told(server, true, &last));
        // others do not wait
        let other =
            json!({"text_input": "a", "max_tokens": 1, "parameters": {"sequence_id": 8, "sequence_start": true}});
        ask(server, GENERATE, &other);
        let mut rest = String::new();
        under_way.set_read_timeout(Some(Duration::from_secs(60))).expect("set");
        while !rest.contains("num_output_tokens") {
            let mut more = [0; 4096];
            let count = under_way.read(&mut more).expect("it goes on");
            rest += &String::from_utf8_lossy(&more[..count]);
        }
        assert!(rest.contains(&format!("\"num_output_tokens\":{}", first["num_output_tokens"])), "{rest}");
        assert_eq!(waiting.join().expect("answered"), second);
        assert_eq!(last.join().expect("answered"), third);
    });
    let ended = refusal(server, &request(" more", 1, &sampling(4), json!({"sequence_id": 7})));
    assert!(ended.contains("must specify the START flag on the first request"), "{ended}");
}

#[test]
fn a_request_that_has_no_answer_leaves_its_sequence_as_it_was() {
    let server = start(ServeOptions::default());
    let mut whole = Whole::new();
    let first = whole.go_on(&server, "The dog", 10, &sampling(1));
    let second = whole.go_on(&server, " ran", 10, &sampling(2));
    let asked = request("The dog", 10, &sampling(1), json!({"sequence_id": 3, "sequence_start": true}));
    assert_eq!(told(&server, false, &asked), first);
    for sequence in [
        json!({"sequence_id": 3}),
        json!({"sequence_id": 3, "sequence_start": true}),
        json!({"sequence_id": 3, "sequence_end": true}),
    ] {
        // longer than the context
        let said = refusal(&server, &request("a", 5000, &sampling(2), sequence.clone()));
        assert!(said.contains("longest context is 4096"), "{said}");
        // its client leaves
        let mut endless = sampling(1);
        endless.insert("ignore_eos".into(), true.into());
        let mut left = send_to(&server, "/v2/models/stories/generate_stream", &request("a", 3000, &endless, sequence));
        left.read_exact(&mut [0; 400]).expect("it begins");
    }
    // the clients of some may be there still, whose turns come first
    assert_eq!(told(&server, true, &request(" ran", 10, &sampling(2), json!({"sequence_id": 3}))), second);
    // from the start again
    assert_eq!(told(&server, true, &asked), first);
    assert_eq!(told(&server, false, &request(" ran", 10, &sampling(2), json!({"sequence_id": 3}))), second);
}

#[test]
fn what_is_no_part_of_a_sequence_is_refused() {
    let server = start(ServeOptions::default());
    let one = |sequence: Value| request("a", 1, &Map::new(), sequence);
    let start_flag = "must specify the START flag on the first request of the sequence";
    for (sequence, said) in [
        (json!({"sequence_id": 5}), format!("inference request for sequence 5 to model 'stories' {start_flag}")),
        (json!({"sequence_id": "x", "sequence_end": true}), format!("sequence x to model 'stories' {start_flag}")),
        (json!({"sequence_start": true}), "sequence_id: missing".into()),
        (json!({"sequence_id": 0, "sequence_start": true}), "sequence_id: missing".into()),
        (json!({"sequence_id": "", "sequence_end": true}), "sequence_id: missing".into()),
        (json!({"sequence_id": -1, "sequence_start": true}), "sequence_id: expected a whole number".into()),
        (json!({"sequence_id": 1.5, "sequence_start": true}), "sequence_id: expected".into()),
        (json!({"sequence_id": [1], "sequence_start": true}), "sequence_id: expected".into()),
        (json!({"sequence_id": "x".repeat(257), "sequence_start": true}), "a text of 256 characters at most".into()),
        (json!({"sequence_id": 5, "sequence_start": "yes"}), "sequence_start: invalid type".into()),
        (json!({"sequence_id": 5, "sequence_cancel": true}), "unknown field `sequence_cancel`".into()),
        (json!({"sequence_id": 5, "sequence_start": true, "n": 2}), "a request of a sequence has one text".into()),
    ] {
        let told = refusal(&server, &one(sequence.clone()));
        assert!(told.contains(&said), "{sequence}: {told}");
    }
    let two = json!({"text_input": ["a", "b"], "parameters": {"sequence_id": 5, "sequence_start": true}});
    assert!(refusal(&server, &two).contains("has one text"));
    // none of these is one
    for nothing in
        [json!({"sequence_id": 0}), json!({"sequence_id": ""}), json!({"sequence_start": false, "sequence_end": false})]
    {
        ask(&server, GENERATE, &one(nothing));
    }
    // one that starts and ends is one, and leaves nothing; a number is no text
    ask(&server, GENERATE, &one(json!({"sequence_id": u64::MAX, "sequence_start": true, "sequence_end": true})));
    assert!(refusal(&server, &one(json!({"sequence_id": u64::MAX}))).contains(start_flag));
    ask(&server, GENERATE, &one(json!({"sequence_id": 9, "sequence_start": true})));
    assert!(refusal(&server, &one(json!({"sequence_id": "9"}))).contains(start_flag));
    // by tensors
    let input = json!({"name": "text_input", "shape": [1], "datatype": "BYTES", "data": ["b"]});
    let infer = json!({"inputs": [input], "parameters": {"sequence_id": 9, "max_tokens": 1}});
    let outputs = ask(&server, "/v2/models/stories/infer", &infer)["outputs"].take();
    let count = outputs.as_array().expect("tensors").iter().find(|output| output["name"] == "num_input_tokens");
    assert!(count.expect("there")["data"][0].as_u64() > Some(3), "{outputs}");
    let extensions = ask_get(&server, "/v2")["extensions"].take();
    for name in ["sequence", "sequence(string_id)"] {
        assert!(extensions.as_array().expect("a list").contains(&json!(name)), "{extensions}");
    }
}

fn ask_get(server: &Server, path: &str) -> Value {
    serde_json::from_str(&get(server, path).1).expect("JSON")
}

#[test]
fn a_sequence_is_of_one_key_and_not_for_ever() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("keys");
    let keys = ["alice", "bob"].map(|name| NewKey::make(name, Role::Admin).expect("a key"));
    fs::write(&path, format!("{}\n{}", keys[0].line, keys[1].line)).expect("written");
    let server = start(ServeOptions { keys: Some(path), ..ServeOptions::default() });
    let ask_with = |key: &NewKey, sequence: Value| {
        let authorization = format!("Bearer {}", key.key);
        let body = request("a", 1, &Map::new(), sequence).to_string();
        send_bytes(&server, GENERATE, &[("authorization", &authorization)], body.as_bytes()).0
    };
    assert_eq!(ask_with(&keys[0], json!({"sequence_id": 1, "sequence_start": true})), 200);
    assert_eq!(
        [ask_with(&keys[1], json!({"sequence_id": 1})), ask_with(&keys[0], json!({"sequence_id": 1}))],
        [400, 200]
    );

    let idle = Duration::from_millis(500);
    let server = start(ServeOptions { sequence_idle: idle, ..ServeOptions::default() });
    ask(&server, GENERATE, &request("a", 1, &Map::new(), json!({"sequence_id": 1, "sequence_start": true})));
    thread::sleep(idle * 2);
    assert!(refusal(&server, &request("a", 1, &Map::new(), json!({"sequence_id": 1}))).contains("START"));
}
