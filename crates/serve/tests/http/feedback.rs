//! What is said of answers: of which, by whom, and what is kept of it.

use std::{fs, path::Path};

use itera_serve::{FeedbackOptions, NewKey, Role, ServeOptions, Server};
use serde_json::{Value, json};

use crate::support::{answer, data, get, post, send_bytes, start};

fn with_journal(path: &Path) -> ServeOptions {
    let feedback = Some(FeedbackOptions { path: path.into(), most_bytes: 1 << 20, with_texts: false });
    ServeOptions { feedback, ..ServeOptions::default() }
}

#[test]
fn what_is_said_of_answers_is_kept_once_each() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("journal");
    // what a crash has left of a line
    std::fs::write(&path, "{\"time\":1}\n{\"ti").expect("written");
    let options = |texts: bool| ServeOptions {
        feedback: Some(FeedbackOptions { path: path.clone(), most_bytes: 500, with_texts: texts }),
        ..ServeOptions::default()
    };
    let server = start(options(false));
    let id =
        |server: &Server| answer(server, &json!({"max_tokens": 1, "n": 2}))["id"].as_str().expect("an id").to_owned();
    let (one, other) = (id(&server), id(&server));
    let say = |server: &Server, said: Value| post(server, "/v1/feedback", &said.to_string()).0;
    assert_eq!(say(&server, json!({"id": one, "rating": 1})), 200);
    assert_eq!(say(&server, json!({"id": one, "choice": 1, "rating": -0.5})), 200);
    assert_eq!(say(&server, json!({"id": one, "rating": 1})), 409, "it was said");
    assert_eq!(say(&server, json!({"id": "cmpl-0-0-0", "rating": 1})), 404);
    for wrong in [
        json!({"id": other}),
        json!({"rating": 1}),
        json!({"id": other, "rating": 2}),
        json!({"id": other, "rating": "up"}),
        json!({"id": other, "choice": 2, "rating": 1}),
        json!({"id": other, "choice": -1, "rating": 1}),
        json!({"id": other, "correction": "The dog."}),
        json!({"id": other, "rating": 1, "comment": "x"}),
    ] {
        assert_eq!(say(&server, wrong.clone()), 400, "{wrong}");
    }
    assert_eq!(post(&server, "/v1/feedback", &format!("{{\"id\": \"{other}\", \"rating\": NaN}}")).0, 400);
    let text = std::fs::read_to_string(&path).expect("there");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines.len(), lines[..2].to_vec()), (4, vec!["{\"time\":1}", "{\"ti"]));
    let entry: Value = serde_json::from_str(lines[3]).expect("JSON");
    assert_eq!(
        (&entry["id"], &entry["choice"], &entry["rating"], &entry["model"]),
        (&json!(one), &json!(1), &json!(-0.5), &json!("stories"))
    );
    assert!(entry["system_fingerprint"].as_str().is_some_and(|text| text.starts_with("itera-")));
    drop(server);

    let server = start(options(true));
    assert_eq!(say(&server, json!({"id": one, "rating": 1})), 404, "another server's");
    let id = id(&server);
    assert_eq!(say(&server, json!({"id": id, "correction": "The dog.\n"})), 200);
    assert!(std::fs::read_to_string(&path).expect("there").ends_with("\"correction\":\"The dog.\\n\"}\n"));
    assert_eq!(say(&server, json!({"id": id, "choice": 1, "correction": "x".repeat(300)})), 507, "the journal is full");
    assert!(std::fs::metadata(&path).expect("there").len() <= 500);
    assert_eq!(post(&start(ServeOptions::default()), "/v1/feedback", "{}").0, 404, "unless it is kept");
}

#[test]
fn answers_of_v2_have_ids_of_which_something_is_said_in_its_words() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("journal");
    let server = start(with_journal(&path));
    let asked = |how: &str, id: Option<&str>| {
        let mut request = json!({"text_input": "The dog", "max_tokens": 2});
        if how == "infer" {
            let prompts = json!({"name": "text_input", "shape": [2], "datatype": "BYTES", "data": ["The", "A"]});
            request = json!({"inputs": [prompts], "parameters": {"max_tokens": 2}});
        }
        if let Some(id) = id {
            request["id"] = id.into();
        }
        let (status, body, _) = post(&server, &format!("/v2/models/stories/{how}"), &request.to_string());
        assert_eq!(status, 200, "{body}");
        let answers =
            if how == "generate_stream" { data(&body) } else { vec![serde_json::from_str(&body).expect("JSON")] };
        let ids: Vec<&str> = answers.iter().filter_map(|answer| answer["id"].as_str()).collect();
        assert!(ids.len() == answers.len() && ids.iter().all(|one| *one == ids[0]), "{body}");
        ids[0].to_owned()
    };
    let say = |said: Value| {
        let (status, body, _) = post(&server, "/v2/feedback", &said.to_string());
        (status, serde_json::from_str::<Value>(&body).expect("JSON"))
    };
    let mut told = vec![];
    for how in ["generate", "generate_stream", "infer"] {
        for id in [None, Some(""), Some("mine")] {
            let answered = asked(how, id);
            assert_eq!(answered == "mine", id == Some("mine"), "{how} {id:?}");
            assert_eq!(
                say(json!({"id": answered, "rating": 1})),
                (200, json!({"object": "feedback", "id": answered, "choice": 0}))
            );
            assert_eq!(say(json!({"id": answered, "rating": 1})).0, 409);
            let of_two = say(json!({"id": answered, "rating": 0, "choice": 1}));
            assert_eq!(of_two.0, if how == "infer" { 200 } else { 400 }, "{how}: {of_two:?}");
            told.push(answered);
        }
    }
    told.sort();
    told.dedup();
    assert_eq!(told.len(), 7, "the server gives each its own: {told:?}");
    let unknown = json!({"error": "there was no answer \"no\", or it was long ago"});
    assert_eq!(say(json!({"id": "no", "rating": 1})), (404, unknown));
    assert_eq!(say(json!({"id": "mine"})).1, json!({"error": "rating: expected it, or a correction"}));
    assert_eq!(fs::read_to_string(&path).expect("there").lines().count(), 12);
    let id = answer(&server, &json!({"max_tokens": 1}))["id"].clone();
    assert_eq!(say(json!({"id": id, "rating": 1})).0, 200, "one of another surface");

    let server = start(ServeOptions::default());
    let (status, body, _) = post(&server, "/v2/feedback", "{}");
    assert_eq!((status, body.as_str()), (404, "{\"error\":\"nothing is served at \\\"/v2/feedback\\\"\"}"));
    let (_, body, _) = post(&server, "/v2/models/stories/generate", "{\"text_input\": \"a\", \"max_tokens\": 1}");
    assert!(!body.contains("\"id\""), "nothing is kept: {body}");
    assert!(
        !get(&server, "/").1.contains("<html data-feedback")
            && get(&start(with_journal(&path)), "/").1.contains("<html data-feedback")
    );
}

/// Status and body of the response to `body`, asked with a key.
fn ask_with(server: &Server, key: &NewKey, path: &str, body: &Value) -> (u16, Value) {
    let authorization = format!("Bearer {}", key.key);
    let (status, _, body) = send_bytes(server, path, &[("authorization", &authorization)], body.to_string().as_bytes());
    (status, serde_json::from_slice(&body).expect("JSON"))
}

#[test]
fn who_asked_for_an_answer_judges_it_and_an_admin() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("keys");
    let made = |name: &str, role: Role| NewKey::make(name, role).expect("a key");
    let keys = [made("alice", Role::Inference), made("bob", Role::Inference), made("ops", Role::Admin)];
    // a second one of the same name
    let again = made("alice", Role::Inference);
    let lines: Vec<&str> = keys.iter().chain([&again]).map(|key| key.line.as_str()).collect();
    fs::write(&path, lines.join("\n")).expect("written");
    let server = start(ServeOptions { keys: Some(path), ..with_journal(&dir.path().join("journal")) });
    let [alice, bob, ops] = &keys;
    let say = |key: &NewKey, id: &str, choice: usize| {
        ask_with(&server, key, "/v1/feedback", &json!({"id": id, "choice": choice, "rating": 1}))
    };
    let (_, answer) = ask_with(&server, alice, "/v1/completions", &json!({"max_tokens": 1, "n": 3}));
    let id = answer["id"].as_str().expect("an id");
    let (status, refused) = say(bob, id, 0);
    let (_, unknown) = say(bob, "none", 0);
    assert_eq!(status, 404);
    assert_eq!(refused.to_string().replace(id, "none"), unknown.to_string(), "as if it were not there");
    assert_eq!([say(alice, id, 0).0, say(&again, id, 1).0, say(ops, id, 2).0], [200; 3]);
    assert_eq!([say(alice, id, 2).0, say(ops, id, 0).0], [409; 2], "once each, whoever says it");

    // one id of two: each has their own, an admin the latest
    let mine = json!({"text_input": "a", "max_tokens": 1, "id": "mine"});
    for key in [alice, bob] {
        assert_eq!(ask_with(&server, key, "/v2/models/stories/generate", &mine).0, 200);
    }
    assert_eq!([say(alice, "mine", 0).0, say(alice, "mine", 0).0], [200, 409]);
    assert_eq!([say(ops, "mine", 0).0, say(bob, "mine", 0).0], [200, 409]);
}
