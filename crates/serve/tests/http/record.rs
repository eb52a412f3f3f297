//! What was recorded is answered again, to the byte, by the same model.

use std::{fs, path::Path};

use itera_serve::{ModelSource, Replayed, ServeOptions, replay};
use serde_json::json;

use crate::support::{ask, checkpoint, checkpoints, get, post, send_bytes, send_to, start};

#[test]
fn what_was_asked_is_answered_again_and_another_model_is_found_out() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = start(ServeOptions { record: Some(dir.path().into()), ..ServeOptions::default() });
    let asked = [
        ("/v1/completions", json!({"prompt": "Once upon a time", "max_tokens": 30, "logprobs": 2, "n": 2, "seed": 3})),
        ("/v1/completions", json!({"prompt": "Once upon a time", "max_tokens": 30, "stream": true, "n": 3})),
        (
            "/v1/chat/completions",
            json!({"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 9, "stream": true}),
        ),
        ("/v1/embeddings", json!({"input": ["a dog", "a cat"]})),
        ("/completion", json!({"prompt": "The dog", "n_predict": 12, "seed": 4, "temperature": 1})),
        ("/completion", json!({"prompt": "The dog", "n_predict": 12, "n_probs": 2, "stream": true})),
        (
            "/v2/models/stories/generate",
            json!({"text_input": "The cat", "parameters": {"sequence_id": 1, "sequence_start": true}}),
        ),
        ("/v2/models/stories/generate", json!({"text_input": " ran", "parameters": {"sequence_id": 1}})),
        ("/v2/models/stories/generate_stream", json!({"text_input": "The cat", "max_tokens": 20})),
        (
            "/v2/models/stories/infer",
            json!({"inputs": [{"name": "text_input", "datatype": "BYTES", "shape": [1], "data": ["a"]}]}),
        ),
        ("/tokenize", json!({"prompt": "Once upon a time there was a dinosaur"})),
    ];
    for (path, request) in &asked {
        let (status, body, _) = post(&server, path, &request.to_string());
        assert_eq!(status, 200, "{path}: {body}");
    }
    let json = json!({"inputs": [{"name": "text_input", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 7}}]});
    let json = json.to_string();
    let length = json.len().to_string();
    let body = [json.as_bytes(), &3_u32.to_le_bytes(), b"dog"].concat();
    let found = send_bytes(&server, "/v2/models/stories/infer", &[("inference-header-content-length", &length)], &body);
    assert_eq!(found.0, 200);
    // refused for what it is, and not kept for what else is going on, or was not answered
    assert_eq!(post(&server, "/v1/completions", "{\"max_tokens\": -1}").0, 400);
    assert_eq!(get(&server, "/v1/models").0, 200);
    let left = send_to(&server, "/v1/completions", &json!({"max_tokens": 4000, "ignore_eos": true, "stream": true}));
    drop(left);
    ask(&server, "/v1/completions", &json!({"max_tokens": 1}));
    drop(server);

    let files: Vec<_> = fs::read_dir(dir.path()).expect("read").map(|entry| entry.expect("read").path()).collect();
    let [file] = &files[..] else { panic!("{files:?}") };
    let text = fs::read_to_string(file).expect("read");
    #[cfg(unix)]
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&file.metadata().expect("there").permissions()) & 0o777, 0o600);
    let lines = || text.lines().map(str::to_owned);
    assert_eq!(lines().count(), asked.len() + 3, "{text}");

    let again = |path: &Path, lines: &mut dyn Iterator<Item = String>, options: ServeOptions| {
        let model = ModelSource::new("stories", path);
        let mut found = vec![];
        replay(vec![model], &options, lines, |replayed| found.push(replayed)).expect("it starts");
        found
    };
    for options in [ServeOptions::default(), ServeOptions { cache_bytes: 0, texts: 1, ..ServeOptions::default() }] {
        assert_eq!(again(&checkpoint(), &mut lines(), options), vec![Replayed::Same; lines().count()]);
    }
    let cut = text[..text.len() / 2].lines().map(str::to_owned);
    assert_eq!(again(&checkpoint(), &mut cut.clone(), ServeOptions::default()).last(), Some(&Replayed::Unreadable));
    let other = again(&checkpoints().join("stories-151k.gguf"), &mut lines(), ServeOptions::default());
    let same = other.iter().filter(|replayed| **replayed == Replayed::Same).count();
    assert_eq!(same, 2, "the refusal, and the tokens of words that both vocabularies have: {other:?}");
    assert!(other.contains(&Replayed::Differs { path: "/v1/embeddings".into(), was: 200, is: 200 }), "{other:?}");
}
