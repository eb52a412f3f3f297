//! A byte that says which path, and a body → whatever is read and checked of it before an engine begins.
//!
//! A body for `infer` may go on behind a zero byte: what is before it is JSON, what follows are the bytes of tensors. The highest
//! bit of the first byte says that the body comes compressed.
#![no_main]

use std::sync::LazyLock;

use itera_serve::{FeedbackOptions, ModelSource, ServeOptions, in_process::InProcess};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const PATHS: [&str; 12] = [
    "/v1/completions",
    "/v1/chat/completions",
    "/v1/embeddings",
    "/v1/feedback",
    "/completion",
    "/v2/models/noise/infer",
    "/v2/models/noise/generate",
    "/v2/models/noise/generate_stream",
    "/v2/repository/index",
    "/tokenize",
    "/detokenize",
    "/v2/feedback",
];

/// Those that need no engine.
const ANSWERED: [&str; 3] = ["/v2/repository/index", "/tokenize", "/detokenize"];

static SERVER: LazyLock<InProcess> = LazyLock::new(|| {
    let dir = tempfile::tempdir().expect("a directory");
    itera_fuzz::write_noise(dir.path());
    let model = ModelSource::new("noise", dir.path());
    let feedback = FeedbackOptions { path: dir.path().join("journal"), most_bytes: 1 << 20, with_texts: true };
    let options = ServeOptions { feedback: Some(feedback), body_bytes: 1 << 16, ..ServeOptions::default() };
    InProcess::start(vec![model], &options).expect("it starts").without_engines()
});

fuzz_target!(|bytes: &[u8]| {
    let Some((which, body)) = bytes.split_first() else { return };
    let path = PATHS[usize::from(which & 0x7f) % PATHS.len()];
    let (json, rest) = body.split_at(body.iter().position(|byte| *byte == 0).unwrap_or(body.len()));
    let json_len = json.len().to_string();
    let mut headers = vec![];
    let mut body = body.to_vec();
    if path.ends_with("/infer") && !rest.is_empty() {
        headers.push(("inference-header-content-length", json_len.as_str()));
        body = [json, &rest[1..]].concat();
    }
    if which & 0x80 != 0 {
        headers.push(("content-encoding", "gzip"));
    }
    let found = SERVER.post(path, &headers, &body).expect("a request");
    let (status, answer) = (found.status, serde_json::from_slice::<Value>(&found.body).expect("JSON"));
    match status {
        200 => assert!(ANSWERED.contains(&path) && answer.get("error").is_none(), "{path}: {answer}"),
        // it would be answered
        503 => assert!(!ANSWERED.contains(&path), "{path}: {answer}"),
        400 | 404 | 413 => assert!(answer.get("error").is_some(), "{path}: {answer}"),
        other => panic!("{path}: {other} {answer}"),
    }
});
