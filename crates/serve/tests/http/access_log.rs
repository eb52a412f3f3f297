//! What the access log tells of requests.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    process::Command,
    time::Duration,
};

use itera_serve::{LogTarget, NewKey, Role, ServeOptions, Server};
use itera_testkit::skip;
use serde_json::{Value, json};

use crate::support::{get, post, send, send_bytes, start, stories, tcp};

fn with_log(path: &Path) -> ServeOptions {
    ServeOptions { access_log: Some(LogTarget::File(path.into())), ..ServeOptions::default() }
}

/// All lines, once there are so many of them.
#[track_caller]
fn lines(path: &Path, count: usize) -> Vec<Value> {
    lines_with(path, "", count)
}

/// All lines that have `part` in them, once there are so many.
#[track_caller]
fn lines_with(path: &Path, part: &str, count: usize) -> Vec<Value> {
    let read = || {
        let text = fs::read_to_string(path).unwrap_or_default();
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n') && line.contains(part));
        whole.collect::<String>()
    };
    let found = (0..500).map(|_| read()).find(|text| {
        let is_there = text.matches('\n').count() >= count;
        if !is_there {
            std::thread::sleep(Duration::from_millis(10));
        }
        is_there
    });
    let text = found.unwrap_or_else(read);
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), count, "{text}");
    lines
}

/// The response to raw bytes on a connection of their own.
fn raw(server: &Server, head: &str) -> String {
    let mut socket = TcpStream::connect(tcp(server)).expect("it listens");
    write!(socket, "{head}\r\nHost: x\r\nConnection: close\r\n\r\n").expect("sent");
    let mut response = String::new();
    socket.read_to_string(&mut response).expect("UTF-8");
    response
}

#[test]
fn a_line_has_what_its_answer_said() {
    let dir = tempfile::tempdir().expect("a directory");
    let (log, keys) = (dir.path().join("log"), dir.path().join("keys"));
    fs::write(&log, "{}\n").expect("written");
    let alice = NewKey::make("alice", Role::Inference).expect("a key");
    fs::write(&keys, alice.line).expect("written");
    let server = start(ServeOptions { keys: Some(keys), ..with_log(&log) });
    let bearer = format!("Bearer {}", alice.key);
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let headers = [
        ("authorization", bearer.as_str()),
        ("traceparent", trace),
        ("x-request-id", "\"mine\"/1"),
        ("x-other", "secret"),
    ];
    let mut expected = vec![];
    // the same prompts again are cached
    for (path, request) in [
        ("/v1/completions", json!({"prompt": ["The dog", "The little cat"], "max_tokens": 5, "n": 2})),
        ("/v1/completions", json!({"prompt": ["The dog", "The little cat"], "max_tokens": 5, "n": 2})),
        ("/v1/chat/completions", json!({"messages": [{"role": "user", "content": "The dog"}], "max_tokens": 3})),
    ] {
        let (status, headers, body) = send_bytes(&server, path, &headers, request.to_string().as_bytes());
        assert_eq!((status, headers["x-request-id"].as_bytes()), (200, &b"\"mine\"/1"[..]));
        let usage = serde_json::from_slice::<Value>(&body).expect("JSON")["usage"].clone();
        let cached = usage["prompt_tokens_details"]["cached_tokens"].clone();
        let counts = json!([usage["prompt_tokens"], usage["completion_tokens"], cached]);
        expected.push((path, body.len(), counts));
    }
    let request =
        json!({"prompt": "The dog", "max_tokens": 5, "stream": true, "stream_options": {"include_usage": true}});
    let (_, _, body) = send_bytes(&server, "/v1/completions", &headers, request.to_string().as_bytes());
    let events = String::from_utf8(body).expect("UTF-8");
    let last = events.split("\n\n").filter(|event| event.contains("prompt_tokens\"")).last().expect("a count");
    let usage = serde_json::from_str::<Value>(&last["data: ".len()..]).expect("JSON")["usage"].clone();
    let cached = usage["prompt_tokens_details"]["cached_tokens"].clone();
    let counts = json!([usage["prompt_tokens"], usage["completion_tokens"], cached]);
    expected.push(("/v1/completions", events.len(), counts));

    let (_, _, body) = send_bytes(&server, "/v1/embeddings", &headers, br#"{"input": ["The dog", "The cat"]}"#);
    let tokens = serde_json::from_slice::<Value>(&body).expect("JSON")["usage"]["prompt_tokens"].clone();
    expected.push(("/v1/embeddings", body.len(), json!([tokens, 0, 0])));
    let found = lines(&log, 1 + expected.len());
    for (line, (route, bytes, counts)) in found[1..].iter().zip(&expected) {
        assert_eq!(json!([line["prompt_tokens"], line["completion_tokens"], line["cached_tokens"]]), *counts, "{line}");
        for (name, value) in [
            ("request_id", json!("\"mine\"/1")),
            ("trace_id", json!("4bf92f3577b34da6a3ce929d0e0e4736")),
            ("key", json!("alice")),
            ("method", json!("POST")),
            ("route", json!(route)),
            ("status", json!(200)),
            ("bytes", json!(bytes)),
            ("model", json!("stories")),
            ("client_left", json!(false)),
        ] {
            assert_eq!(line[name], value, "{name}: {line}");
        }
        let ms = |name: &str| line[name].as_f64().expect("a number");
        assert!(0.0 < ms("first_byte_ms") && ms("first_byte_ms") <= ms("total_ms"), "{line}");
        let time = line["time"].as_str().expect("a text");
        assert!(time.len() == "2026-11-28T20:31:07.412Z".len() && time.ends_with('Z'), "{line}");
        assert_eq!(line.as_object().expect("an object").len(), 15, "{line}");
    }
    assert!(found[2]["cached_tokens"].as_u64() > Some(0), "the same prompts were cached");
    let streamed = &found[expected.len() - 1];
    assert!(streamed["first_byte_ms"].as_f64() < streamed["total_ms"].as_f64(), "{streamed}");
}

#[test]
fn no_text_of_a_client_is_in_a_line() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("log");
    let server = start(with_log(&log));
    let told = [
        ("GET /no/such%0apath?q=secret HTTP/1.1", Value::Null, "GET", 404),
        ("GET /v1/models/secret HTTP/1.1", json!("/v1/models/{*model}"), "GET", 404),
        ("GET /v2/models/secret/versions/7 HTTP/1.1", json!("/v2/models/{model}/versions/{version}"), "GET", 404),
        ("SECRET /v1/models HTTP/1.1", json!("/v1/models"), "other", 405),
        ("HEAD /v1/models HTTP/1.1", json!("/v1/models"), "HEAD", 200),
        ("GET /health HTTP/1.1", json!("/health"), "GET", 200),
    ];
    for (head, ..) in &told {
        raw(&server, head);
    }
    for (line, (head, route, method, status)) in lines(&log, told.len()).iter().zip(&told) {
        let found = (&line["route"], line["method"].as_str(), line["status"].as_u64());
        assert_eq!(found, (route, Some(*method), Some(*status)), "{head}: {line}");
        assert_eq!(
            (&line["client_left"], &line["key"], &line["prompt_tokens"]),
            (&json!(false), &Value::Null, &Value::Null)
        );
        assert_eq!(line["model"], Value::Null, "{line}");
        assert_eq!(line["bytes"] == 0, *method == "HEAD", "{line}");
    }
    assert!(!fs::read_to_string(&log).expect("there").to_lowercase().contains("secret"));

    // ids that are not as they should be are not taken; the last two are
    let long = "x".repeat(129);
    let ids = ["", "a b", "a\tb", "caf\u{e9}", &long, &long[1..], "Ab-1_2.3/é".trim_end_matches("é")];
    for id in ids {
        raw(&server, &format!("GET /health HTTP/1.1\r\nX-Request-Id: {id}"));
    }
    let found = lines(&log, told.len() + ids.len());
    let found: Vec<&str> = found[told.len()..].iter().map(|line| line["request_id"].as_str().expect("an id")).collect();
    assert!(found[..5].iter().all(|id| id.starts_with("req-")), "{found:?}");
    assert!((1..5).all(|index| found[index] != found[index - 1]), "each has its own: {found:?}");
    assert_eq!(found[5..], ids[5..]);

    let (trace, parent) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let (no_trace, no_parent) = ("0".repeat(32), "0".repeat(16));
    let parents = [
        (format!("00-{trace}-{parent}-00"), true),
        (format!("cc-{trace}-{parent}-01-what-comes"), true),
        (format!("00-{trace}-{parent}-01-what-comes"), false),
        (format!("ff-{trace}-{parent}-01"), false),
        (format!("00-{no_trace}-{parent}-01"), false),
        (format!("00-{trace}-{no_parent}-01"), false),
        (format!("00-{}-{parent}-01", trace.to_uppercase()), false),
        (format!("00-{}-{parent}-01", &trace[1..]), false),
        (format!("00-{trace}-{parent}-01\r\nTraceparent: 00-{trace}-{parent}-01"), false),
        ("secret".into(), false),
    ];
    for (parent, _) in &parents {
        raw(&server, &format!("GET /health HTTP/1.1\r\nTraceparent: {parent}"));
    }
    let before = told.len() + ids.len();
    for (line, (parent, is_valid)) in lines(&log, before + parents.len())[before..].iter().zip(&parents) {
        assert_eq!(line["trace_id"].as_str(), is_valid.then_some(trace), "{parent}");
    }
}

#[test]
fn a_client_that_left_is_told_of_as_such() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("log");
    let server = start(ServeOptions { texts: 1, ..with_log(&log) });
    let long = json!({"prompt": "The dog", "max_tokens": 4000, "ignore_eos": true, "stream": true, "n": 50});
    let mut under_way = send(&server, &long);
    under_way.read_exact(&mut [0; 600]).expect("it begins");
    // one that has no response yet, since it waits
    let queued = send(&server, &json!({"prompt": "The dog", "max_tokens": 1}));
    let taken_in = || -> u32 {
        let metrics = get(&server, "/metrics").1;
        let texts = metrics.lines().filter(|line| line.starts_with("itera_texts_"));
        texts.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u32>().ok()).sum()
    };
    assert!((0..1000).any(|_| taken_in() == 51), "the last of 51 texts is taken in");
    drop(queued);
    let completions = |count| lines_with(&log, "/v1/completions", count);
    let waiting = &completions(1)[0];
    assert_eq!((&waiting["status"], &waiting["client_left"]), (&Value::Null, &json!(true)), "{waiting}");
    assert_eq!((&waiting["bytes"], &waiting["first_byte_ms"]), (&json!(0), &Value::Null), "{waiting}");
    assert_eq!((&waiting["completion_tokens"], &waiting["model"]), (&json!(0), &json!("stories")), "{waiting}");
    drop(under_way);
    let left = &completions(2)[1];
    assert_eq!((&left["status"], &left["client_left"]), (&json!(200), &json!(true)), "{left}");
    assert!(left["completion_tokens"].as_u64() > Some(0) && left["bytes"].as_u64() > Some(0), "{left}");
}

#[test]
fn a_log_that_was_moved_away_begins_anew() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name);
    let server = start(with_log(&path("log")));
    let ask = || assert_eq!(get(&server, "/health").0, 200);
    ask();
    lines(&path("log"), 1);
    fs::rename(path("log"), path("log.1")).expect("moved");
    ask();
    lines(&path("log.1"), 2);
    server.reopen_access_log().expect("opened");
    ask();
    lines(&path("log"), 1);
    lines(&path("log.1"), 2);
    // what cannot be opened is said, and the log goes on where it was
    fs::rename(path("log"), path("log.2")).expect("moved");
    fs::create_dir(path("log")).expect("made");
    server.reopen_access_log().expect_err("a directory");
    ask();
    lines(&path("log.2"), 2);
    // all that was taken in is written when the server has ended
    (0..100).for_each(|_| ask());
    assert!(server.drain(Duration::from_secs(5)));
    assert_eq!(fs::read_to_string(path("log.2")).expect("there").lines().count(), 102);
    assert!(
        Server::start(stories(), &with_log(&path("log"))).is_err(),
        "a log that cannot be opened is told before anything is served"
    );
}

#[test]
fn no_answer_waits_for_the_log() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("pipe");
    if !Command::new("mkfifo").arg(&path).status().is_ok_and(|status| status.success()) {
        return skip("no mkfifo");
    }
    // a reader that does not read, until it is told to
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let reading = path.clone();
    let reader = std::thread::spawn(move || {
        let mut pipe = fs::File::open(reading).expect("opened");
        wait.recv().expect("told");
        let mut text = String::new();
        pipe.read_to_string(&mut text).expect("UTF-8");
        text.lines().filter(|line| serde_json::from_str::<Value>(line).is_ok()).count()
    });
    let server = start(with_log(&path));
    const ASKED: usize = 6000;
    let agent = ureq::Agent::new_with_defaults();
    let url = format!("{}/health", server.addresses()[0]);
    for _ in 0..ASKED {
        agent.get(&url).call().expect("a response").body_mut().read_to_string().expect("a body");
    }
    let metrics = get(&server, "/metrics").1;
    let lost = metrics.lines().find_map(|line| line.strip_prefix("itera_access_log_lost_total "));
    let lost: usize = lost.and_then(|lost| lost.parse().ok()).expect("a count");
    assert!(lost > 0 && lost < ASKED, "{lost} of {ASKED}");
    go.send(()).expect("told");
    assert!(server.drain(Duration::from_secs(5)));
    // that of /metrics is behind all others
    let written = reader.join().expect("read");
    assert!((ASKED..=ASKED + 1).contains(&(written + lost)), "{written} written, {lost} lost");
    assert_eq!(post(&start(ServeOptions::default()), "/v1/completions", "{").0, 400, "without a log");
}
