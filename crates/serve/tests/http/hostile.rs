//! Bodies that were damaged: each is answered or refused, and none troubles the next.

use itera_serve::{ServeOptions, Server};
use itera_testkit::uniform;
use serde_json::{Value, json};

use crate::support::{answer, send_bytes, start};

/// What to put where a body is cut.
const BITS: [&str; 16] = [
    "{",
    "}",
    "[",
    "]",
    "\"",
    ",",
    ":",
    "null",
    "-1",
    "1e999",
    "0.5",
    "18446744073709551616",
    "\\u0000",
    "\\ud800",
    "\u{fdd0}",
    "<|endoftext|>",
];

/// Requests that are answered: a path, JSON, and the bytes after it.
pub fn requests() -> Vec<(&'static str, Value, &'static [u8])> {
    let sampling =
        json!({"max_tokens": 3, "seed": 4, "temperature": 0.5, "top_p": 0.9, "stop": ["a"], "logit_bias": {"5": 1}});
    let with = |more: Value| {
        let mut body = sampling.clone();
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        body
    };
    let tensor =
        json!({"name": "text_input", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 5}});
    let tensors = json!({"inputs": [tensor], "parameters": sampling, "outputs": [{"name": "text_output"}]});
    vec![
        ("/v1/completions", with(json!({"prompt": ["a", [5, 6]], "logprobs": 2, "echo": true, "n": 2})), &[]),
        (
            "/v1/completions",
            with(json!({"prompt": "a", "stream": true, "stream_options": {"include_usage": true}})),
            &[],
        ),
        (
            "/v1/chat/completions",
            with(json!({
                "messages": [{"role": "system", "content": "a"}, {"role": "user", "content": [{"type": "text", "text": "b"}]}],
                "logprobs": true, "top_logprobs": 2, "chat_template_kwargs": {"x": 1},
            })),
            &[],
        ),
        ("/v1/completions", with(json!({"structured_outputs": {"regex": "(?:a|[b-d]{2,5})+ e"}})), &[]),
        ("/v1/completions", with(json!({"structured_outputs": {"grammar": "start: \"a\" (/[bc]+/ | start)"}})), &[]),
        ("/v2/models/stories/infer", tensors, &[1, 0, 0, 0, b'a']),
        ("/v2/models/stories/generate", with(json!({"text_input": "a", "parameters": {"n": 2}})), &[]),
        (
            "/v2/models/stories/generate",
            with(
                json!({"text_input": "a", "parameters": {"sequence_id": 7, "sequence_start": true, "sequence_end": false}}),
            ),
            &[],
        ),
        ("/completion", with(json!({"prompt": "a", "n_probs": 2, "return_tokens": true})), &[]),
        (
            "/completion",
            with(
                json!({"prompt": "a", "grammar": "root ::= (\"a\" [b-d]{2,5} | e)+\ne ::= [^\\x00-\\x20] \"\\u00e9\"?"}),
            ),
            &[],
        ),
        (
            "/v1/embeddings",
            json!({"input": ["a", [5, 6]], "encoding_format": "base64", "dimensions": 3, "user": "x"}),
            &[],
        ),
        ("/tokenize", json!({"content": "a<|endoftext|>b", "add_special": true}), &[]),
        ("/detokenize", json!({"tokens": [5, 6]}), &[]),
    ]
}

/// A value that some field does not expect.
fn odd(number: usize) -> Value {
    let all = [
        json!(null),
        json!(-1),
        json!(1.5),
        json!(0),
        json!(u64::MAX),
        json!(1e300),
        json!(true),
        json!(""),
        json!("a"),
        json!([]),
        json!([[]]),
        json!({}),
        json!({"a": 1}),
        json!(["a", 1]),
        json!("\u{fdd0}<|endoftext|>"),
        json!([-1]),
    ];
    all[number % all.len()].clone()
}

/// Put another value in the place of a part of `value`.
fn replace_a_part(value: &mut Value, random: &mut dyn FnMut(usize) -> usize) {
    let part = match value {
        Value::Array(items) if !items.is_empty() => {
            let at = random(items.len());
            items.get_mut(at)
        }
        Value::Object(entries) if !entries.is_empty() => {
            let at = random(entries.len());
            entries.values_mut().nth(at)
        }
        _ => None,
    };
    match part {
        Some(part) if random(6) > 0 => replace_a_part(part, random),
        _ => *value = odd(random(1000)),
    }
}

/// `body`, damaged in one to three places.
fn damaged(mut body: Vec<u8>, seed: u64) -> Vec<u8> {
    let random = uniform(12, 0.0, 1.0, seed);
    for random in random.chunks_exact(4).take(1 + seed as usize % 3) {
        let at = |random: f32| (random * body.len() as f32) as usize % body.len().max(1);
        let (from, to) = (at(random[1]).min(at(random[2])), at(random[1]).max(at(random[2])));
        let bit = BITS[(random[3] * BITS.len() as f32) as usize % BITS.len()];
        match (random[0] * 4.0) as u32 {
            0 => body[from] ^= 1 << (seed % 8),
            1 => drop(body.drain(from..to)),
            2 => {
                let again = body[from..to].to_vec();
                body.splice(from..from, again);
            }
            _ => drop(body.splice(from..from, bit.bytes())),
        }
    }
    body
}

#[test]
fn damaged_bodies_are_answered_or_refused() {
    let options = || ServeOptions { queued_texts: 8, ..ServeOptions::default() };
    let server: Server = start(options());
    let expected = answer(&server, &json!({"prompt": "The dog", "max_tokens": 9}))["choices"].clone();
    let (mut answered, mut refused) = (0, 0);
    for (index, (path, request, bytes)) in requests().into_iter().enumerate() {
        let mut send = |json: &[u8], json_len: usize| {
            let json_len = json_len.to_string();
            let headers = [("inference-header-content-length", json_len.as_str())];
            let headers = if path.ends_with("/infer") { &headers[..] } else { &[] };
            let (status, _, said) = send_bytes(&server, path, headers, &[json, bytes].concat());
            assert!(
                [200, 400, 404].contains(&status),
                "{path}: {status} {} to {json:?}",
                String::from_utf8_lossy(&said)
            );
            if status == 200 {
                answered += 1
            } else {
                refused += 1
            }
            status
        };
        let whole = request.to_string();
        assert_eq!(send(whole.as_bytes(), whole.len()), 200, "{path}: {whole}");
        for seed in 0..200 {
            let seed = 100_000 * index as u64 + seed;
            send(&damaged(whole.clone().into_bytes(), seed), whole.len());
            let random = uniform(40, 0.0, 1.0, seed);
            let mut random = random.into_iter();
            let mut other = request.clone();
            replace_a_part(&mut other, &mut |below| (random.next().unwrap_or(0.0) * below as f32) as usize % below);
            let other = other.to_string();
            send(other.as_bytes(), other.len());
        }
    }
    assert!(answered > 100 && refused > 1000, "{answered} answered, {refused} refused");
    assert_eq!(answer(&server, &json!({"prompt": "The dog", "max_tokens": 9}))["choices"], expected);
    assert!(server.is_ready());
}
