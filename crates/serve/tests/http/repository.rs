//! Models that come and go: from a directory, by request, within a budget.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use itera_serve::{ModelSource, ServeError, ServeOptions, Server};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{answer, anywhere, ask, checkpoints, get, post, send, write_noise};

/// A directory with these checkpoints at these paths.
fn directory(models: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    for (path, checkpoint) in models {
        put(dir.path(), path, checkpoint);
    }
    dir
}

/// Let a checkpoint take the place of what is at a path, at once.
fn put(dir: &Path, path: &str, checkpoint: &str) {
    let (path, new) = (dir.join(path), dir.join(".new"));
    fs::create_dir_all(path.parent().expect("a directory")).expect("made");
    fs::copy(checkpoints().join(checkpoint), &new).expect("copied");
    fs::rename(new, path).expect("moved");
}

fn serve(dir: &TempDir, options: ServeOptions) -> Server {
    let options = ServeOptions { repository: Some(dir.path().into()), may_load: true, ..options };
    Server::start(vec![], &anywhere(options)).expect("it starts")
}

fn story(model: &str) -> Value {
    json!({"model": model, "prompt": "Once upon a time", "max_tokens": 20})
}

#[track_caller]
fn told(server: &Server, model: &str) -> (String, String) {
    let answer = answer(server, &story(model));
    let part = |part: &Value| part.as_str().expect("a text").to_owned();
    (part(&answer["choices"][0]["text"]), part(&answer["system_fingerprint"]))
}

/// Name, version, state and reason of each model.
fn index(server: &Server) -> Vec<String> {
    let entries = ask(server, "/v2/repository/index", &json!({}));
    let of_entry = |entry: &Value| {
        ["name", "version", "state", "reason"].map(|key| entry[key].as_str().expect("a text")).join(" ")
    };
    entries.as_array().expect("a list").iter().map(of_entry).collect()
}

/// Wait until so many texts of model a are under way.
fn wait_for_texts(server: &Server, count: usize) {
    let line = format!("itera_texts_running{{model=\"a\",model_name=\"a\"}} {count}\n");
    while !get(server, "/metrics").1.contains(&line) {
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn models_of_a_directory_are_loaded_when_they_are_asked_for() {
    let files =
        [("a.gguf", "stories-75k.gguf"), ("b/2/x.gguf", "stories-75k.gguf"), ("b/10/x.gguf", "stories-378k.gguf")];
    let dir = directory(&files);
    let server = serve(&dir, ServeOptions::default());
    assert_eq!(index(&server), ["a 1 UNAVAILABLE unloaded", "b 2 UNAVAILABLE unloaded", "b 10 UNAVAILABLE unloaded"]);
    assert_eq!(get(&server, "/v2/models/b/ready").0, 503);
    assert_eq!(get(&server, "/v2/health/ready").0, 200);
    let (_, models) = get(&server, "/v1/models");
    let models: Value = serde_json::from_str(&models).expect("JSON");
    let ids: Vec<_> = models["data"].as_array().expect("a list").iter().map(|model| &model["id"]).collect();
    assert_eq!(ids, ["a", "b:2", "b"]);

    let (small, large) = (told(&server, "a"), told(&server, "b"));
    assert_ne!(small.0, large.0);
    assert_eq!(index(&server), ["a 1 READY ", "b 2 UNAVAILABLE unloaded", "b 10 READY "]);
    assert_eq!(told(&server, "b:2").0, small.0, "the same file");
    let (_, of_version, _) =
        post(&server, "/v2/models/b/versions/2/generate", r#"{"text_input": "Once upon a time", "max_tokens": 20}"#);
    let of_version: Value = serde_json::from_str(&of_version).expect("JSON");
    assert_eq!((&of_version["model_version"], &of_version["text_output"]), (&json!("2"), &json!(small.0)));
    let (_, metadata) = get(&server, "/v2/models/b");
    assert!(metadata.contains(r#""versions":["2","10"]"#), "{metadata}");

    for (name, problem) in [
        ("c", r#"there is no model \"c\"; there is a, b"#),
        ("b:3", r#"there is no model \"b:3\""#),
        ("../a", r#"there is no model \"../a\""#),
        ("a/../a", "there is no model"),
    ] {
        let (status, body, _) = post(&server, "/v1/completions", &story(name).to_string());
        assert!(status == 404 && body.contains(problem), "{status} {body}");
    }
    for version in ["3", "-1", "1", "x"] {
        let path = format!("/v2/models/b/versions/{version}");
        let (status, body) = get(&server, &path);
        assert!(status == 404 && body.contains("there is 2, 10"), "{status} {body}");
    }
    let (status, body, _) = post(&server, "/v1/completions", r#"{"prompt": "x"}"#);
    assert!(status == 400 && body.contains("expected the name of one of several models"), "{status} {body}");

    // one that is gone is no more, once somebody looks
    fs::remove_dir_all(dir.path().join("b/2")).expect("removed");
    let (status, body, _) = post(&server, "/v2/repository/models/b/load", "");
    assert_eq!(status, 200, "{body}");
    assert_eq!(told(&server, "b:2").0, small.0, "it is loaded still");

    // one that is new is found, once the directory may be read again
    put(dir.path(), "new.gguf", "stories-75k.gguf");
    let found = (0..50).any(|_| {
        thread::sleep(Duration::from_millis(100));
        post(&server, "/v1/completions", &story("new").to_string()).0 == 200
    });
    assert!(found);
}

#[test]
fn models_of_a_directory_may_be_there_from_the_start() {
    let files =
        [("a.gguf", "stories-75k.gguf"), ("b/2/x.gguf", "stories-75k.gguf"), ("b/10/x.gguf", "stories-378k.gguf")];
    let dir = directory(&files);
    let load = |names: &[&str]| {
        let load = names.iter().map(ToString::to_string).collect();
        let options = ServeOptions { repository: Some(dir.path().into()), load, ..ServeOptions::default() };
        Server::start(vec![], &anywhere(options))
    };
    let server = load(&["b:2"]).expect("it starts");
    assert_eq!(index(&server), ["a 1 UNAVAILABLE unloaded", "b 2 READY ", "b 10 UNAVAILABLE unloaded"]);
    let server = load(&["*"]).expect("it starts");
    assert_eq!(index(&server), ["a 1 READY ", "b 2 UNAVAILABLE unloaded", "b 10 READY "]);
    fs::write(dir.path().join("a.gguf"), "no model").expect("written");
    for (name, problem) in [("c", r#"there is no model "c"; there is a, b"#), ("a", r#"model "a" cannot be loaded: "#)]
    {
        let error = load(&[name]).expect_err("it cannot be there");
        assert!(error.to_string().contains(problem), "{error}");
    }
}

#[test]
fn models_come_and_go_by_request_if_the_server_lets_them() {
    let dir = directory(&[("a.gguf", "stories-75k.gguf")]);
    let closed = ServeOptions { repository: Some(dir.path().into()), ..ServeOptions::default() };
    let closed = Server::start(vec![], &anywhere(closed)).expect("it starts");
    for what in ["load", "unload"] {
        let (status, body, _) = post(&closed, &format!("/v2/repository/models/a/{what}"), "");
        assert!(status == 404 && body.contains("loads and unloads no model by request"), "{status} {body}");
    }

    let server = serve(&dir, ServeOptions::default());
    let load = |body: &str| post(&server, "/v2/repository/models/a/load", body);
    let small = told(&server, "a");
    // the same files give the same answers, and a new engine
    assert_eq!(load(""), (200, String::new(), None));
    assert_eq!(told(&server, "a"), small);
    put(dir.path(), "a.gguf", "stories-378k.gguf");
    assert_eq!(told(&server, "a"), small, "nobody asked for the new file");
    assert_eq!(load(r#"{"parameters": {}}"#).0, 200);
    let large = told(&server, "a");
    assert_ne!(large, small);

    // a file that is no model leaves the one that is there
    fs::write(dir.path().join("a.gguf"), "GGUF?").expect("written");
    let (status, body, retry) = load("{}");
    assert!(status == 503 && body.contains("cannot be loaded: a.gguf") && retry.is_some(), "{status} {body}");
    assert_eq!(told(&server, "a"), large);
    assert!(index(&server)[0].starts_with("a 1 READY a.gguf"), "{:?}", index(&server));

    let unload = |body: &str| post(&server, "/v2/repository/models/a/unload", body);
    assert_eq!(unload(r#"{"parameters": {"unload_dependents": false}}"#), (200, String::new(), None));
    let (status, body, _) = post(&server, "/v1/completions", &story("a").to_string());
    assert!(status == 404 && body.contains(r#"model \"a\" is not loaded"#), "{status} {body}");
    put(dir.path(), "a.gguf", "stories-378k.gguf");
    assert_eq!(post(&server, "/v1/completions", &story("a").to_string()).0, 404, "it is away until it is loaded");
    assert_eq!(load("").0, 200);
    assert_eq!(told(&server, "a"), large);

    for (path, body, problem) in [
        ("a/load", r#"{"parameters": {"config": "{}"}}"#, "parameters.config"),
        ("a/load", r#"{"parameters": {"file:1/model.gguf": "AAAA"}}"#, "parameters.file:1/model.gguf"),
        ("a/load", r#"{"files": []}"#, "files"),
        ("a/unload", r#"{"parameters": {"unload_dependents": 1}}"#, "parameters.unload_dependents"),
    ] {
        let (status, told, _) = post(&server, &format!("/v2/repository/models/{path}"), body);
        assert!(status == 400 && told.contains(problem), "{status} {told}");
    }
    for name in ["nobody", "..%2f..%2fa", "a%00"] {
        let (status, body, _) = post(&server, &format!("/v2/repository/models/{name}/load"), "");
        assert!(status == 404 && body.contains("there is no model"), "{status} {body}");
    }
}

#[test]
fn a_model_that_is_not_needed_makes_room_for_one_that_is() {
    let dir =
        directory(&[("a.gguf", "stories-75k.gguf"), ("b.gguf", "stories-75k.gguf"), ("broken.gguf", "README.md")]);
    let options = ServeOptions { cache_bytes: 1 << 20, texts: 2, ..ServeOptions::default() };
    let server = serve(&dir, options.clone());
    told(&server, "a");
    let (_, metrics) = get(&server, "/metrics");
    let held = metrics.lines().find_map(|line| line.strip_prefix("itera_memory_held_bytes ")).expect("a metric");
    let held: usize = held.parse().expect("a number");
    assert!(held > 1 << 20, "{held}");
    drop(server);

    // room for one of them, and half of the other
    let server = serve(&dir, ServeOptions { memory: Some(held + held / 2), ..options.clone() });
    let alone = told(&server, "a");
    let loaded = |server: &Server| -> Vec<String> {
        index(server).iter().filter_map(|entry| entry.strip_suffix(" 1 READY ")).map(str::to_owned).collect()
    };
    for _ in 0..3 {
        assert_eq!((told(&server, "b").0, loaded(&server)), (alone.0.clone(), vec!["b".to_owned()]));
        assert_eq!((told(&server, "a"), loaded(&server)), (alone.clone(), vec!["a".to_owned()]));
    }
    let broken = post(&server, "/v1/completions", &story("broken").to_string());
    assert!(broken.0 == 503 && broken.1.contains("cannot be loaded: broken.gguf"), "{broken:?}");

    // a text that nobody reads to its end keeps its model busy
    let endless =
        json!({"model": "a", "prompt": "Once", "max_tokens": 4000, "n": 50, "ignore_eos": true, "stream": true});
    let reader = send(&server, &endless);
    wait_for_texts(&server, 2);
    let (status, body, retry) = post(&server, "/v1/completions", &story("b").to_string());
    let numbers =
        format!("it takes {held} bytes, models that have requests hold {held}, and {} there are", held + held / 2);
    assert!(status == 503 && body.contains(&numbers) && retry.is_some(), "{status} {body}");
    assert_eq!(loaded(&server), ["a"], "it was not taken away");
    drop(reader);
    drop(server);

    let server = serve(&dir, ServeOptions { memory: Some(held - 1), ..options });
    let (status, body, _) = post(&server, "/v1/completions", &story("a").to_string());
    assert!(status == 503 && body.contains("cannot be loaded: it takes"), "{status} {body}");

    // a model that is named at the start is not read either where there is no room for its files
    let start_within = |memory: usize, model: ModelSource| {
        let options = ServeOptions { memory: Some(memory), ..ServeOptions::default() };
        Server::start(vec![model], &anywhere(options)).expect_err("no room")
    };
    let error = start_within(1 << 10, ModelSource::new("broken", dir.path().join("broken.gguf")));
    assert!(matches!(error, ServeError::NoRoom { most: 1024, .. }), "{error}");

    // nor are states made for one whose context is longer than there is room for
    let dir = tempfile::tempdir().expect("a directory");
    write_noise(dir.path(), |config| config.max_seq_len = 1 << 20);
    let error = start_within(1 << 30, ModelSource::new("long", dir.path()));
    assert!(matches!(error, ServeError::NoRoom { bytes, .. } if bytes > 1 << 33), "{error}");
}

#[test]
fn a_model_that_is_exchanged_under_load_fails_nobody_and_mixes_nothing() {
    let dir = directory(&[("a.gguf", "stories-75k.gguf")]);
    let server = serve(&dir, ServeOptions { cache_bytes: 1 << 20, ..ServeOptions::default() });
    let small = told(&server, "a");
    put(dir.path(), "a.gguf", "stories-378k.gguf");
    assert_eq!(post(&server, "/v2/repository/models/a/load", "").0, 200);
    let large = told(&server, "a");
    let is_over = AtomicBool::new(false);
    let seen: Vec<usize> = thread::scope(|scope| {
        let ask = || {
            let mut seen = [0; 2];
            while !is_over.load(Ordering::Relaxed) {
                let found = told(&server, "a");
                let which = [&small, &large].iter().position(|known| **known == found).expect("one of the two, whole");
                seen[which] += 1;
            }
            seen
        };
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
        for turn in 0..20 {
            put(dir.path(), "a.gguf", if turn % 2 == 0 { "stories-75k.gguf" } else { "stories-378k.gguf" });
            let (status, body, _) = post(&server, "/v2/repository/models/a/load", "");
            assert_eq!(status, 200, "{body}");
        }
        is_over.store(true, Ordering::Relaxed);
        let seen = clients.into_iter().map(|client| client.join().expect("every answer is whole"));
        seen.fold(vec![0, 0], |all, seen| vec![all[0] + seen[0], all[1] + seen[1]])
    });
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
}

#[test]
fn a_request_that_waits_for_another_keeps_the_model_that_it_asked() {
    let dir = directory(&[("a.gguf", "stories-75k.gguf")]);
    let server = serve(&dir, ServeOptions::default());
    let small = told(&server, "a").1;
    let part = |start: bool, max_tokens: u64| {
        let parameters = json!({"sequence_id": 7, "sequence_start": start});
        let request =
            json!({"text_input": "Once", "max_tokens": max_tokens, "ignore_eos": true, "parameters": parameters});
        let (status, body, _) = post(&server, "/v2/models/a/generate", &request.to_string());
        assert_eq!(status, 200, "{body}");
    };
    thread::scope(|scope| {
        let long = scope.spawn(|| part(true, 4000));
        wait_for_texts(&server, 1);
        let next = scope.spawn(|| part(false, 2));
        // it has come, and waits for its turn
        thread::sleep(Duration::from_millis(20));
        put(dir.path(), "a.gguf", "stories-378k.gguf");
        assert_eq!(post(&server, "/v2/repository/models/a/load", "").0, 200);
        assert_ne!(told(&server, "a").1, small);
        assert!(!long.is_finished() && !next.is_finished(), "too fast to see anything");
        long.join().expect("it is answered");
        next.join().expect("it is answered");
    });
}
