//! Who is answered, where keys are asked for.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
};

use itera_serve::{KeyProblem, NewKey, Role, ServeError, ServeOptions, Server};
use serde_json::{Value, json};

use crate::support::{get, start, stories, tcp};

fn with_keys(path: &Path) -> ServeOptions {
    ServeOptions { keys: Some(path.into()), ..ServeOptions::default() }
}

fn new_key(name: &str, role: Role) -> NewKey {
    NewKey::make(name, role).expect("a key")
}

/// What is asked, and how.
type Asked<'a> = (&'a str, &'a str);

/// Status, challenge and body of the response to a request with these values of `Authorization`.
fn ask(server: &Server, (method, path): Asked<'_>, authorization: &[&str]) -> (u16, Option<String>, String) {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", server.addresses()[0]));
    let request = authorization.iter().fold(request, |request, value| request.header("authorization", *value));
    let body = if method == "POST" { "{\"max_tokens\": 1}" } else { "" };
    let mut response = agent.run(request.body(body).expect("a request")).expect("a response");
    let challenge = response.headers().get("www-authenticate").map(|value| value.to_str().expect("ASCII").to_owned());
    (response.status().as_u16(), challenge, response.body_mut().read_to_string().expect("a body"))
}

/// What needs no key.
const OPEN: [Asked<'static>; 7] = [
    ("GET", "/"),
    ("GET", "/openapi.json"),
    ("GET", "/health"),
    ("GET", "/v2/health/live"),
    ("GET", "/v2/health/ready"),
    ("GET", "/v2/models/stories/ready"),
    ("GET", "/v2/models/stories/versions/1/ready"),
];

/// What needs one, served or not.
const CLOSED: [Asked<'static>; 26] = [
    ("GET", "/metrics"),
    ("GET", "/version"),
    ("POST", "/tokenize"),
    ("POST", "/detokenize"),
    ("GET", "/tokenizer_info"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/stories"),
    ("POST", "/v1/completions"),
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/embeddings"),
    ("POST", "/v1/feedback"),
    ("POST", "/completion"),
    ("POST", "/completions"),
    ("GET", "/props"),
    ("GET", "/slots"),
    ("GET", "/v2"),
    ("GET", "/v2/models/stats"),
    ("POST", "/v2/repository/index"),
    ("POST", "/v2/feedback"),
    ("GET", "/v2/models/stories"),
    ("GET", "/v2/models/stories/config"),
    ("POST", "/v2/models/stories/infer"),
    ("POST", "/v2/models/stories/generate"),
    ("POST", "/v2/models/stories/generate_stream"),
    ("GET", "/v1/completions"),
    ("GET", "/nothing"),
];

#[test]
fn without_a_key_there_are_probes_and_a_page() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("keys");
    let (alice, ops) = (new_key("alice", Role::Inference), new_key("ops", Role::Admin));
    fs::write(&path, format!("# who may ask\n\n  {}\r\n\t# and watch\n{}", alice.line, ops.line)).expect("written");
    let server = start(with_keys(&path));
    let bearer = |key: &NewKey| format!("Bearer {}", key.key);
    for asked in OPEN {
        for sent in [&[][..], &["Bearer itera-0"]] {
            assert_eq!(ask(&server, asked, sent).0, 200, "{asked:?}");
        }
    }
    for asked in CLOSED {
        for (sent, challenge) in [
            (vec![], "Bearer realm=\"itera\""),
            (vec!["Bearer "], "Bearer realm=\"itera\""),
            (vec!["Basic YWxpY2U6"], "Bearer realm=\"itera\""),
            (vec![bearer(&alice).as_str(), bearer(&alice).as_str()], "Bearer realm=\"itera\""),
            (vec!["Bearer itera-0"], "Bearer realm=\"itera\", error=\"invalid_token\""),
            (vec![&bearer(&alice)[..70]], "Bearer realm=\"itera\", error=\"invalid_token\""),
        ] {
            let (status, told, body) = ask(&server, asked, &sent);
            assert_eq!((status, told.as_deref()), (401, Some(challenge)), "{asked:?} {sent:?}: {body}");
        }
        for key in [&alice, &ops] {
            let (status, told, body) = ask(&server, asked, &[&bearer(key)]);
            let is_allowed = asked.1 != "/metrics" || key.key == ops.key;
            assert_eq!([401, 403].contains(&status), !is_allowed, "{asked:?}: {body}");
            let challenge = (!is_allowed).then_some("Bearer realm=\"itera\", error=\"insufficient_scope\"");
            assert_eq!(told.as_deref(), challenge, "{asked:?}");
        }
    }
    let key = &alice.key;
    for sent in [format!("bearer {key}"), format!("BEARER   {key} ")] {
        assert_eq!(ask(&server, ("GET", "/v1/models"), &[&sent]).0, 200, "{sent}");
    }
}

#[test]
fn a_refusal_is_in_the_words_of_what_was_asked() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("keys");
    let alice = new_key("alice", Role::Inference);
    fs::write(&path, &alice.line).expect("written");
    let server = start(with_keys(&path));
    let told = |path: &str, sent: &[&str]| -> Value {
        serde_json::from_str(&ask(&server, ("GET", path), sent).2).expect("JSON")
    };
    let unknown = "this server does not know the key";
    let kind = "invalid_request_error";
    let openai =
        |code: &str, message: &str| json!({"error": {"message": message, "type": kind, "param": null, "code": code}});
    let none = "this server asks for a key: Authorization: Bearer KEY";
    assert_eq!(told("/v1/models", &[]), openai("missing_api_key", none));
    assert_eq!(told("/v1/models", &["Bearer x"]), openai("invalid_api_key", unknown));
    assert_eq!(told("/v2", &["Bearer x"]), json!({"error": unknown}));
    let llama = json!({"error": {"code": 401, "message": unknown, "type": "authentication_error"}});
    assert_eq!(told("/slots", &["Bearer x"]), llama);
    let role = "the key \"alice\" does not have the role \"admin\"";
    assert_eq!(told("/metrics", &[&format!("Bearer {}", alice.key)]), openai("missing_scope", role));
}

#[test]
fn keys_are_read_again_and_stay_where_that_fails() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("keys");
    let (old, new) = (new_key("alice", Role::Inference), new_key("alice", Role::Admin));
    fs::write(&path, &old.line).expect("written");
    let server = start(with_keys(&path));
    let statuses = || [&old, &new].map(|key| ask(&server, ("GET", "/metrics"), &[&format!("Bearer {}", key.key)]).0);
    assert_eq!(statuses(), [403, 401]);
    // both for a while, then the new one alone
    fs::write(&path, format!("{}\n{}\n", old.line, new.line)).expect("written");
    assert_eq!(statuses(), [403, 401], "until it is told");
    server.reload_keys().expect("read");
    assert_eq!(statuses(), [403, 200]);
    fs::write(&path, &new.line).expect("written");
    server.reload_keys().expect("read");
    assert_eq!(statuses(), [401, 200]);
    for broken in ["", "# none\n", &new.line[..new.line.len() - 1], "\u{fffd}"] {
        fs::write(&path, broken).expect("written");
        server.reload_keys().expect_err("not keys");
        assert_eq!(statuses(), [401, 200], "{broken:?}");
    }
    fs::remove_file(&path).expect("removed");
    assert!(matches!(server.reload_keys(), Err(ServeError::File(_))));
    assert_eq!(statuses(), [401, 200]);
    assert_eq!(get(&start(ServeOptions::default()), "/metrics").0, 200, "unless keys are asked for");
}

#[test]
fn a_key_with_many_texts_does_not_hold_up_another() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("keys");
    let keys = [new_key("alice", Role::Inference), new_key("bob", Role::Admin)];
    fs::write(&path, format!("{}\n{}", keys[0].line, keys[1].line)).expect("written");
    let server = start(ServeOptions { texts: 1, ..with_keys(&path) });
    let [alice, bob] = keys.map(|key| format!("Bearer {}", key.key));
    let send = |key: &str, request: Value| {
        let mut socket = TcpStream::connect(tcp(&server)).expect("it listens");
        let (body, head) = (request.to_string(), "POST /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: close");
        write!(socket, "{head}\r\nAuthorization: {key}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).expect("sent");
        socket
    };
    let many = json!({"prompt": "The dog", "max_tokens": 1000, "ignore_eos": true, "stream": true, "n": 100});
    let mut under_way = send(&alice, many.clone());
    under_way.read_exact(&mut [0; 400]).expect("it begins");
    let more = send(&alice, many);
    // two texts, each behind one of the other key at most
    let mut answer = String::new();
    let mut asked = send(&bob, json!({"prompt": "The dog", "max_tokens": 1, "n": 2}));
    asked.read_to_string(&mut answer).expect("UTF-8");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let metrics = ask(&server, ("GET", "/metrics"), &[&bob]).2;
    let waiting = metrics
        .lines()
        .find_map(|line| line.strip_prefix("itera_texts_waiting{model=\"stories\",model_name=\"stories\"} "));
    let waiting: usize = waiting.and_then(|count| count.parse().ok()).expect("a count");
    assert!(waiting > 150, "all but a few of 200 still wait, not {waiting}");
    drop((under_way, more));
}

#[test]
fn what_is_no_key_is_named_by_its_line() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("keys");
    let hash = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
    let long = "a".repeat(65);
    for (line, expected) in [
        ("alice inference".into(), KeyProblem::Parts),
        ("secret".into(), KeyProblem::Parts),
        (format!("alice inference {hash} # hers"), KeyProblem::Parts),
        (format!("al/ice inference {hash}"), KeyProblem::Name),
        (format!("alicé inference {hash}"), KeyProblem::Name),
        (format!("{long} inference {hash}"), KeyProblem::Name),
        (format!("alice root {hash}"), KeyProblem::Role),
        (format!("alice Admin {hash}"), KeyProblem::Role),
        (format!("alice admin {}", &hash[1..]), KeyProblem::Hash),
        (format!("alice admin {hash}0"), KeyProblem::Hash),
        (format!("alice admin +{}", &hash[1..]), KeyProblem::Hash),
        (format!("alice admin {}", "é".repeat(32)), KeyProblem::Hash),
        (format!("bob admin {hash}\nalice admin {}", hash.to_uppercase()), KeyProblem::Twice),
    ] {
        fs::write(&path, format!("# keys\n{line}\n")).expect("written");
        let error = Server::start(stories(), &with_keys(&path)).expect_err("no keys");
        assert!(!error.to_string().contains("secret"), "{error}");
        let ServeError::Key { line: number, problem, .. } = error else { panic!("{line:?}: {error}") };
        assert_eq!((number, problem), (1 + line.lines().count(), expected), "{line:?}");
    }
    // as `printf %s secret | sha256sum` tells it
    fs::write(&path, format!("alice inference {}", hash.to_uppercase())).expect("written");
    assert_eq!(ask(&start(with_keys(&path)), ("GET", "/v1/models"), &["Bearer secret"]).0, 200);
    for name in ["", "a b", "a\nb", &long] {
        assert!(matches!(NewKey::make(name, Role::Admin), Err(ServeError::KeyName(_))), "{name:?}");
    }
    assert_ne!(new_key("alice", Role::Admin).key, new_key("alice", Role::Admin).key);
}
