//! Vectors of texts, held to those that the runtime makes of each alone.

use std::{
    io::Read,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use itera_runtime::{Model, Pooling};
use itera_serve::ServeOptions;
use itera_testkit::uniform;
use itera_tokenizer::{TokenId, Tokenizer};
use itera_vectors::prefixes;
use serde_json::{Value, json};

use crate::{
    answers::{alone, request},
    support::{ask, checkpoint, counted, get, post, send_to, start, stream, wait_until},
};

const PATH: &str = "/v1/embeddings";

fn model() -> (Model, Tokenizer) {
    let model = Model::open(checkpoint()).expect("the checkpoint opens");
    let tokenizer = model.tokenizer().expect("with its tokenizer");
    (model, tokenizer)
}

fn with_bos(tokenizer: &Tokenizer, text: &str) -> Vec<TokenId> {
    [tokenizer.bos()].into_iter().chain(tokenizer.encode(text)).collect()
}

fn vector(model: &Model, tokens: &[TokenId]) -> Vec<f32> {
    model.embed(tokens, Pooling::Mean, &mut model.workspace()).expect("it fits")
}

/// The vectors of an answer, by their index.
#[track_caller]
fn vectors(answer: &Value) -> Vec<Vec<f32>> {
    let number = |number: &Value| number.as_f64().expect("a number") as f32;
    let vector = |(index, entry): (usize, &Value)| {
        assert_eq!((entry["index"].as_u64(), &entry["object"]), (Some(index as u64), &json!("embedding")));
        match &entry["embedding"] {
            Value::String(base64) => {
                let bytes = BASE64_STANDARD.decode(base64).expect("base64");
                bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
            }
            numbers => numbers.as_array().expect("numbers").iter().map(number).collect(),
        }
    };
    answer["data"].as_array().expect("vectors").iter().enumerate().map(vector).collect()
}

/// Texts of 2000 tokens each, as ids: some fifteen pieces.
fn long_texts(count: usize) -> Value {
    let text: Vec<usize> = (0..2000).map(|token| 5 + token * 7 % 100).collect();
    json!(vec![text; count])
}

#[test]
fn texts_and_ids_one_or_several_have_the_vectors_of_the_runtime() {
    let server = start(ServeOptions::default());
    let (model, tokenizer) = model();
    let d = model.config().d_model;
    let (dog, cat) = (with_bos(&tokenizer, "The dog"), with_bos(&tokenizer, &"A cat sat. ".repeat(90)));
    let expected = [vector(&model, &dog), vector(&model, &cat)];
    let (mut texts, mut tokens) = (0, 0);
    let mut ask = |request: Value| {
        let answer = ask(&server, PATH, &request);
        texts += answer["data"].as_array().expect("vectors").len() as u64;
        tokens += answer["usage"]["prompt_tokens"].as_u64().expect("a count");
        answer
    };
    let answer = ask(json!({"model": "stories", "input": ["The dog", "A cat sat. ".repeat(90)]}));
    assert_eq!((&answer["object"], &answer["model"]), (&json!("list"), &json!("stories")));
    let both = dog.len() + cat.len();
    assert_eq!(answer["usage"], json!({"prompt_tokens": both, "total_tokens": both}));
    assert_eq!(vectors(&answer), expected);
    for encoding in ["float", "base64"] {
        let mut ask = |input: Value, dims: usize| {
            let request = json!({"input": input, "encoding_format": encoding, "dimensions": dims, "user": "me", "truncate_prompt_tokens": -1});
            vectors(&ask(request))
        };
        assert_eq!(ask(json!("The dog"), d), expected[..1]);
        assert_eq!(ask(json!(dog), d), expected[..1]);
        assert_eq!(ask(json!([dog, cat]), d), expected);
        assert_eq!(ask(json!([cat, dog]), 5), [prefixes(&expected[1], d, 5), prefixes(&expected[0], d, 5)]);
        // ids are taken as they are
        assert_eq!(ask(json!(dog[1..]), d), [vector(&model, &dog[1..])]);
    }
    for (name, label, value) in [
        ("itera_prompt_tokens_total", "", tokens),
        ("itera_completion_tokens_total", "", 0),
        ("itera_texts_ended_total", ",finished_reason=\"stop\"", texts),
        ("itera_text_time_seconds_count", "", texts),
        ("itera_time_to_first_token_seconds_count", "", 0),
        ("itera_texts_running", "", 0),
        ("itera_texts_waiting", "", 0),
    ] {
        assert_eq!(counted(&server, name, label), value, "{name}");
    }
}

#[test]
fn a_vector_is_the_one_that_its_text_has_alone_whatever_else_is_asked() {
    let server = start(ServeOptions { texts: 5, ..ServeOptions::default() });
    let (model, tokenizer) = model();
    let words = "Once upon a time there was a little dog who wanted to play with the big red ball in the park .";
    let words = tokenizer.encode(&words.repeat(60));
    std::thread::scope(|scope| {
        for client in 0..4 {
            let (server, model, tokenizer, words) = (&server, &model, &tokenizer, &words);
            scope.spawn(move || {
                for number in client * 10..(client + 1) * 10 {
                    let random = uniform(6, 0.0, 1.0, number);
                    let texts = random.chunks_exact(2).map(|random| {
                        let from = (random[0] * 300.0) as usize;
                        words[from..][..1 + (random[1] * random[1] * 900.0) as usize].to_vec()
                    });
                    let texts: Vec<Vec<TokenId>> = texts.collect();
                    let expected: Vec<Vec<f32>> = texts.iter().map(|text| vector(model, text)).collect();
                    let encoding = ["float", "base64"][number as usize % 2];
                    let answer = ask(server, PATH, &json!({"input": texts, "encoding_format": encoding}));
                    assert_eq!(vectors(&answer), expected, "{number}");
                }
            });
            scope.spawn(move || {
                for number in client * 10..(client + 1) * 10 {
                    let mut request = request(number);
                    let (text, _) = alone(model, tokenizer, &request);
                    request["stream"] = true.into();
                    assert_eq!(stream(server, &request).1, [text], "{request}");
                }
            });
        }
    });
    assert!(server.is_ready());
}

#[test]
fn long_texts_hold_up_neither_a_stream_nor_a_short_one() {
    let server = start(ServeOptions::default());
    let (model, tokenizer) = model();
    let is_answered = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let long = scope.spawn(|| {
            let answer = ask(&server, PATH, &json!({"input": long_texts(30)}));
            is_answered.store(true, Ordering::Relaxed);
            answer
        });
        wait_until("they are under way", || counted(&server, "itera_texts_running", "") > 0);
        let short = ask(&server, PATH, &json!({"input": "The dog"}));
        assert!(!is_answered.load(Ordering::Relaxed), "a short text waited for long ones");
        assert_eq!(vectors(&short), [vector(&model, &with_bos(&tokenizer, "The dog"))]);
        // more tokens than there are long texts, and fewer than they have pieces
        let request = json!({"prompt": "The dog", "max_tokens": 200, "ignore_eos": true, "stream": true});
        let (_, texts) = stream(&server, &request);
        assert!(!is_answered.load(Ordering::Relaxed), "a stream waited for long texts");
        let ids: Vec<TokenId> = serde_json::from_value(long_texts(1)[0].clone()).expect("ids");
        assert_eq!(vectors(&long.join().expect("an answer")), vec![vector(&model, &ids); 30]);
        assert_eq!(stream(&server, &request).1, texts, "the text that it has alone");
    });
}

#[test]
fn who_leaves_has_no_vector_made_under_way_or_waiting() {
    let server = start(ServeOptions { texts: 2, ..ServeOptions::default() });
    let socket = send_to(&server, PATH, &json!({"input": long_texts(60)}));
    let now = |name| counted(&server, name, "");
    wait_until("they are under way", || now("itera_texts_running") == 2 && now("itera_texts_waiting") > 0);
    drop(socket);
    wait_until("they are gone", || now("itera_texts_running") == 0 && now("itera_texts_waiting") == 0);
    assert!(counted(&server, "itera_texts_ended_total", ",finished_reason=\"abort\"") > 0);
    assert!(now("itera_prompt_tokens_total") < 60 * 2000, "those that waited were not begun");
    assert!(server.is_ready());
}

#[test]
fn more_than_may_wait_is_refused_and_what_was_taken_in_is_answered_at_the_end() {
    let server = start(ServeOptions { texts: 1, queued_texts: 10, ..ServeOptions::default() });
    let (model, _) = model();
    let mut socket = send_to(&server, PATH, &json!({"input": long_texts(10), "encoding_format": "base64"}));
    wait_until("they wait", || counted(&server, "itera_texts_waiting", "") > 0);
    let (status, body, retry) = post(&server, PATH, &json!({"input": vec!["a"; 10]}).to_string());
    assert_eq!((status, retry.as_deref()), (429, Some("1")), "{body}");
    assert!(server.drain(Duration::from_secs(60)), "all is answered");
    let mut response = String::new();
    socket.read_to_string(&mut response).expect("a response, and the end");
    let (head, body) = response.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200"), "{response}");
    let ids: Vec<TokenId> = serde_json::from_value(long_texts(1)[0].clone()).expect("ids");
    assert_eq!(vectors(&serde_json::from_str(body).expect("JSON")), vec![vector(&model, &ids); 10]);
}

#[test]
fn what_cannot_be_made_a_vector_is_refused_by_name() {
    let server = start(ServeOptions { queued_texts: 10, ..ServeOptions::default() });
    let d = model().0.config().d_model;
    let refused = |body: &str, status: u16, param: &str, message: &str| {
        let (found, said, _) = post(&server, PATH, body);
        let error: Value = serde_json::from_str(&said).expect("JSON");
        assert_eq!((found, error["error"]["param"].as_str()), (status, Some(param)), "{body}: {said}");
        assert!(error["error"]["message"].as_str().is_some_and(|text| text.contains(message)), "{message}: {said}");
    };
    refused("{}", 400, "input", "expected a text");
    for empty_or_wrong in
        ["\"\"", "[]", "[[]]", "[\"a\", \"\"]", "[[1], []]", "3", "{}", "[1, -2]", "[1.5]", "[[1], \"a\", {}]"]
    {
        refused(&format!("{{\"input\": {empty_or_wrong}}}"), 400, "input", "none of them empty");
    }
    refused(r#"{"input": [1000000]}"#, 400, "input", "token 1000000 is outside the vocabulary of");
    refused(r#"{"input": ["a", [5, 1000000]]}"#, 400, "input[1]", "token 1000000");
    refused(&json!({"input": vec![5; 4097]}).to_string(), 400, "input", "4096 tokens, and the request asks for 4097");
    refused(&json!({"input": vec!["a"; 11]}).to_string(), 400, "input", "at most 10 texts, not 11");
    for (field, value, message) in [
        ("dimensions", "0".to_owned(), "not 0"),
        ("dimensions", (d + 1).to_string(), &format!("expected 1 to {d}, not {}", d + 1)),
        ("dimensions", "-1".into(), "dimensions"),
        ("truncate_prompt_tokens", "5".into(), "does not do that"),
        ("encoding_format", "\"int8\"".into(), "int8"),
        ("encoding_format", "3".into(), "encoding_format"),
        ("user", "3".into(), "user"),
        ("stream", "false".into(), "unknown field"),
        ("model", "3".into(), "expected a string"),
    ] {
        refused(&format!("{{\"input\": \"a\", \"{field}\": {value}}}"), 400, field, message);
    }
    refused(r#"{"input": "a", "model": "other"}"#, 404, "model", "other");
    assert!(post(&server, PATH, r#"{"input": "a", "input": "a"}"#).1.contains("duplicate field `input`"));
    assert_eq!(get(&server, PATH).0, 405);
    // as long as may be, and as many
    for most in [vec![vec![5; 4096]], vec![vec![5]; 10]] {
        assert_eq!(vectors(&ask(&server, PATH, &json!({"input": most}))).len(), most.len());
    }
}
