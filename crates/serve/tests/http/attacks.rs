//! Attacks that servers of this kind have met, beside those that stand with what they are against: bodies that lie (`v2`),
//! grammars (`structured`), values out of range (`protocol`), names in logs (`access_log`).

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::Duration,
};

use itera_serve::{FeedbackOptions, NewKey, Role, ServeOptions, Server};
use serde_json::{Value, json};

use crate::support::{answer, counted, post, send_bytes, send_to, start, tcp, wait_until};

/// The response to these bytes, as far as it comes. The server may close the connection before it has read all of them.
fn raw(server: &Server, parts: &[&[u8]]) -> String {
    let mut socket = TcpStream::connect(tcp(server)).expect("it listens");
    let _ = parts.iter().try_for_each(|part| socket.write_all(part));
    let mut response = vec![];
    let _ = socket.read_to_end(&mut response);
    String::from_utf8_lossy(&response).into_owned()
}

/// The server answers as ever.
#[track_caller]
fn check_alive(server: &Server) {
    answer(server, &json!({"prompt": "The dog", "max_tokens": 3}));
    assert!(server.is_ready());
}

#[test]
fn chunks_that_never_end_are_cut_off() {
    let options =
        ServeOptions { body_bytes: 10_000, request_time: Duration::from_millis(300), ..ServeOptions::default() };
    let server = start(options);
    let head = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    // more and more
    let chunk = format!("400\r\n{}\r\n", "x".repeat(0x400));
    let response = raw(&server, &[&head[..], chunk.repeat(20).as_bytes()]);
    assert!(response.starts_with("HTTP/1.1 413"), "{response}");
    // a byte now and then
    let mut socket = TcpStream::connect(tcp(&server)).expect("it listens");
    socket.write_all(head).expect("sent");
    let mut slow = socket.try_clone().expect("the same");
    let sender = thread::spawn(move || {
        let is_open = |_: &i32| {
            thread::sleep(Duration::from_millis(20));
            slow.write_all(b"1\r\n \r\n").is_ok()
        };
        (0..1000).take_while(is_open).count()
    });
    let mut response = String::new();
    socket.read_to_string(&mut response).expect("a response");
    assert!(response.starts_with("HTTP/1.1 408"), "{response}");
    assert!(sender.join().expect("no panic") < 100, "the connection has ended");
    // no size of a chunk
    let response = raw(&server, &[head, b"zz\r\n{}\r\n0\r\n\r\n"]);
    assert!(response.starts_with("HTTP/1.1 4"), "{response}");
    let long = raw(&server, &[head, b"ffffffffffffffffffff\r\n{}\r\n0\r\n\r\n"]);
    assert!(long.starts_with("HTTP/1.1 4"), "{long}");
    // two lengths, of which a proxy may believe the other
    let both = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 40\r\n\r\n{}";
    assert!(raw(&server, &[both]).starts_with("HTTP/1.1 400"));
    check_alive(&server);
}

#[test]
fn names_do_not_leave_the_models() {
    let server = start(ServeOptions::default());
    let get =
        |path: &str| raw(&server, &[format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()]);
    // as tritonclient sends them, and as they may be written
    for name in ["..", "../stories", "..%2fstories", "%2e%2e%2fstories", "..%5cstories", "stories%00", "/etc/passwd"] {
        for path in [format!("/v2/models/{name}/ready"), format!("/v1/models/{name}"), format!("/v2/models/{name}")] {
            let response = get(&path);
            assert!(response.starts_with("HTTP/1.1 404") && !response.contains("root:"), "{path}: {response}");
        }
    }
    let megabyte = "x".repeat(1 << 20);
    let response = get(&format!("/v2/models/{megabyte}/ready"));
    assert!(response.is_empty() || response.starts_with("HTTP/1.1 4"), "{}", &response[..100]);
    for path in ["/v1/completions", "/v1/embeddings", "/tokenize", "/completion"] {
        assert_eq!(
            post(&server, path, &json!({"model": megabyte, "prompt": "a", "input": "a"}).to_string()).0 / 100,
            4,
            "{path}"
        );
    }
    let files = json!({"parameters": {"config": "{}", "file:../../x": "AAAA"}}).to_string();
    for path in [
        "/v2/repository/models/stories/load",
        "/v2/repository/models/..%2fx/load",
        "/v2/repository/models/stories/unload",
    ] {
        assert_eq!(post(&server, path, &files).0, 404, "{path}");
    }
    check_alive(&server);
}

/// What a browser is told that asks whether a page of `origin` may ask.
fn preflight(server: &Server, origin: &str) -> String {
    let asked = format!(
        "OPTIONS /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nOrigin: {origin}\r\n\
         Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization\r\n\r\n"
    );
    raw(server, &[asked.as_bytes()]).to_lowercase()
}

#[test]
fn no_other_site_reads_an_answer() {
    let server = start(ServeOptions::default());
    let body = json!({"prompt": "a", "max_tokens": 1}).to_string();
    for origin in ["http://localhost.evil.com", "http://localhost", "null", "http://127.0.0.1:8000"] {
        let (status, headers, _) = send_bytes(&server, "/v1/completions", &[("origin", origin)], body.as_bytes());
        assert_eq!(status, 200);
        assert!(headers.keys().all(|name| !name.as_str().starts_with("access-control-")), "{headers:?}");
        let response = preflight(&server, origin);
        assert!(response.starts_with("http/1.1 405") && !response.contains("access-control-allow"), "{response}");
    }
}

#[test]
fn a_site_that_is_named_reads_answers_and_what_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let (keys, key) = (dir.path().join("keys"), NewKey::make("alice", Role::Inference).expect("a key"));
    std::fs::write(&keys, &key.line).expect("written");
    let named = "https://example.org";
    let allow_origins = vec![named.parse().expect("an origin"), "http://localhost:3000".parse().expect("an origin")];
    let server = start(ServeOptions { allow_origins, keys: Some(keys), ..ServeOptions::default() });
    let allowed = format!("access-control-allow-origin: {named}\r\n");
    let response = preflight(&server, named);
    assert!(response.starts_with("http/1.1 200") && response.contains(&allowed), "{response}");
    assert!(response.contains("access-control-allow-headers: authorization,content-type"), "{response}");
    let body = json!({"prompt": "a", "max_tokens": 1}).to_string();
    let authorization = format!("Bearer {}", key.key);
    for (origin, is_named) in [(named, true), ("https://example.org.evil.com", false), ("http://example.org", false)] {
        for (sent, expected) in [(authorization.as_str(), 200), ("Bearer x", 401)] {
            let headers = [("origin", origin), ("authorization", sent)];
            let (status, headers, _) = send_bytes(&server, "/v1/completions", &headers, body.as_bytes());
            let told = headers.get("access-control-allow-origin").map(|told| told.to_str().expect("ASCII"));
            assert_eq!((status, told), (expected, is_named.then_some(origin)), "{origin}");
        }
        assert_eq!(preflight(&server, origin).contains("access-control-allow-origin"), is_named);
    }
}

#[test]
fn values_beyond_all_measure_are_refused_at_once() {
    let server = start(ServeOptions::default());
    let refused = |body: &[u8], what: &str| {
        let (status, _, said) = send_bytes(&server, "/v1/completions", &[], body);
        let said = String::from_utf8_lossy(&said);
        assert!(status == 400 && said.contains(what) && said.len() < 10_000, "{what}: {status} {said}");
    };
    for (field, value) in [
        ("n", "1000000000"),
        ("max_tokens", "2147483648"),
        ("max_tokens", "-1"),
        ("max_tokens", "1e3"),
        ("max_tokens", "NaN"),
        ("temperature", "NaN"),
        ("temperature", "-1"),
        ("temperature", "1e308"),
        ("temperature", "Infinity"),
        ("top_p", "0"),
        ("top_p", "2"),
        ("logprobs", "1000000"),
        ("seed", "18446744073709551616"),
        ("logit_bias", "{\"4294967296\": 1}"),
        ("logit_bias", "{\"-1\": 1}"),
        ("prompt", "[4294967295]"),
    ] {
        let what = if ["NaN", "Infinity"].contains(&value) {
            "not JSON"
        } else if value == "2147483648" {
            "context"
        } else {
            field
        };
        refused(format!("{{\"{field}\": {value}}}").as_bytes(), what);
    }
    refused(json!({"stop": vec!["a"; 1_000_000]}).to_string().as_bytes(), "at most 64");
    refused(json!({"stop": ["a", ""]}).to_string().as_bytes(), "none of them empty");
    refused(json!({"prompt": vec![5; 1 << 20]}).to_string().as_bytes(), "1048576 in the prompt");
    refused(json!({"prompt": vec![vec![5]; 2000]}).to_string().as_bytes(), "1 to 1024 texts");
    refused(b"{\"prompt\": \"\xff\xfe\"}", "not JSON");
    refused(b"\xef\xbb\xbf{}", "not JSON");
    refused(&[0; 1000], "not JSON");
    refused(r#"{"prompt": "\ud800"}"#.as_bytes(), "not JSON");
    refused("[".repeat(250_000).as_bytes(), "not JSON");
    refused(format!("{{\"logit_bias\": {}", "{\"a\":".repeat(250_000)).as_bytes(), "not JSON");
    refused(br#"{"prompt": "a", "prompt": "b"}"#, "duplicate field `prompt`");
    refused(br#"{"prompt": "a", "pr\u006fmpt": "b"}"#, "duplicate field `prompt`");
    check_alive(&server);
}

#[test]
fn no_type_of_content_is_needed() {
    let server = start(ServeOptions::default());
    let body = json!({"text_input": "a", "max_tokens": 1}).to_string();
    let head = format!(
        "POST /v2/models/stories/generate HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let response = raw(&server, &[head.as_bytes(), body.as_bytes()]);
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
}

#[test]
fn who_leaves_while_it_waits_is_read_or_writes_takes_nothing_from_others() {
    const CLIENTS: u64 = 60;
    let server = start(ServeOptions { texts: 2, ..ServeOptions::default() });
    let asked = json!({"prompt": "The dog", "max_tokens": 30, "seed": 4});
    let expected = answer(&server, &asked)["choices"].clone();
    let before = counted(&server, "itera_completion_tokens_total", "");
    for client in 0..CLIENTS {
        // some fifteen pieces, which no other prompt begins with
        let prompt: Vec<u64> = (0..2000).map(|token| 5 + (client + 1) * (token + 1) % 97).collect();
        let request = json!({"prompt": prompt, "max_tokens": 2000, "ignore_eos": true, "stream": client % 2 == 0});
        let socket = send_to(&server, "/v1/completions", &request);
        thread::sleep(Duration::from_millis(client % 20));
        drop(socket);
    }
    assert_eq!(answer(&server, &asked)["choices"], expected, "beside those who left");
    wait_until("nothing runs or waits", || {
        ["itera_texts_running", "itera_texts_waiting"].iter().all(|name| counted(&server, name, "") == 0)
    });
    let written = counted(&server, "itera_completion_tokens_total", "") - before - 30;
    assert!(written < CLIENTS * 2000 / 10, "{written} tokens for nobody");
    assert_eq!(answer(&server, &asked)["choices"], expected, "after those who left");
}

#[test]
fn a_flood_of_feedback_fills_no_disk() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("journal");
    let feedback = FeedbackOptions { path: path.clone(), most_bytes: 1000, with_texts: true };
    let server = start(ServeOptions { feedback: Some(feedback), ..ServeOptions::default() });
    let say = |said: Value| post(&server, "/v1/feedback", &said.to_string()).0;
    let new_id = || answer(&server, &json!({"max_tokens": 1}))["id"].as_str().expect("an id").to_owned();
    let id = new_id();
    assert_eq!(say(json!({"id": id, "rating": 1})), 200);
    let size = || std::fs::metadata(&path).expect("there").len();
    let one = size();
    for number in 0..500 {
        let (unknown, twice) = (json!({"id": format!("cmpl-{number}"), "rating": 1}), json!({"id": id, "rating": 1}));
        assert_eq!((say(unknown), say(twice)), (404, 409));
    }
    assert_eq!(size(), one, "nothing of that is kept");
    let statuses: Vec<u16> = (0..30).map(|_| say(json!({"id": new_id(), "correction": "\u{1}".repeat(20)}))).collect();
    assert!(statuses.is_sorted() && statuses[0] == 200 && statuses[29] == 507, "{statuses:?}");
    assert!(size() <= 1000);
    check_alive(&server);
}
