//! What is refused, counted, and said beside answers, and over which sockets.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use itera_runtime::Model;
use itera_serve::{Address, ServeOptions, Server};
use itera_tokenizer::TokenId;
use serde_json::{Value, json};

use crate::support::{answer, anywhere, checkpoint, get, post, send, start, stories, tcp};

#[test]
fn what_was_done_is_counted() {
    let server = start(ServeOptions::default());
    let mut tokens = (0, 0);
    for number in 0..6 {
        let usage =
            answer(&server, &json!({"prompt": "The dog", "max_tokens": 5 + number, "n": 2, "seed": number}))["usage"]
                .clone();
        tokens.0 += 2 * usage["prompt_tokens"].as_u64().expect("a count");
        tokens.1 += usage["completion_tokens"].as_u64().expect("a count");
    }
    assert_eq!(post(&server, "/v1/completions", "{}}").0, 400);
    let agent = ureq::Agent::new_with_defaults();
    let mut response = agent.get(format!("{}/metrics", server.addresses()[0])).call().expect("a response");
    let text = response.body_mut().read_to_string().expect("a body");
    let labels = "{model=\"stories\",model_name=\"stories\"}";
    let of_version = "{model=\"stories\",version=\"1\"}";
    let stats: Value = serde_json::from_str(&get(&server, "/v2/models/stories/stats").1).expect("JSON");
    let stats = &stats["model_stats"][0];
    let us = |what: &str| stats["inference_stats"][what]["ns"].as_u64().expect("a time") / 1000;
    let steps = stats["execution_count"].as_u64().expect("a count");
    for (name, value) in [
        (format!("itera_prompt_tokens_total{labels}"), tokens.0),
        (format!("vllm:prompt_tokens_total{labels}"), tokens.0),
        (format!("itera_completion_tokens_total{labels}"), tokens.1),
        (format!("vllm:generation_tokens_total{labels}"), tokens.1),
        (format!("itera_time_to_first_token_seconds_count{labels}"), 12),
        (format!("itera_time_per_output_token_seconds_count{labels}"), tokens.1 - 12),
        (format!("vllm:e2e_request_latency_seconds_count{labels}"), 12),
        (format!("vllm:time_per_output_token_seconds_count{labels}"), tokens.1 - 12),
        (format!("vllm:request_queue_time_seconds_count{labels}"), 12),
        (format!("vllm:request_prefill_time_seconds_count{labels}"), 12),
        (format!("vllm:request_decode_time_seconds_count{labels}"), 12),
        (format!("vllm:prefix_cache_queries_total{labels}"), tokens.0),
        (format!("itera_texts_running{labels}"), 0),
        (format!("vllm:num_requests_waiting{labels}"), 0),
        (format!("nv_inference_request_success{of_version}"), 12),
        (format!("nv_inference_request_failure{of_version}"), 0),
        (format!("nv_inference_exec_count{of_version}"), steps),
        (format!("nv_inference_queue_duration_us{of_version}"), us("queue")),
        (format!("nv_inference_compute_infer_duration_us{of_version}"), us("compute_infer")),
        (format!("nv_inference_pending_request_count{of_version}"), 0),
        ("itera_http_responses_total{status=\"200\"}".into(), 6),
        ("itera_http_responses_total{status=\"400\"}".into(), 1),
    ] {
        let found = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        assert_eq!(found, Some(value.to_string().as_str()), "{name}:\n{text}");
    }
    let number = |name: &str| -> f64 {
        let found = text.lines().find_map(|line| line.strip_prefix(&format!("{name}{labels} ")));
        found.unwrap_or_else(|| panic!("{name} in {text}")).parse().expect("a number")
    };
    assert_eq!(number("vllm:request_prompt_tokens_sum"), tokens.0 as f64);
    assert_eq!(number("vllm:request_generation_tokens_sum"), tokens.1 as f64);
    let usage = number("vllm:gpu_cache_usage_perc");
    let kept = number("itera_cache_bytes") / ServeOptions::default().cache_bytes as f64;
    assert!(usage > 0.0 && (usage - kept).abs() < 1e-9, "{usage} of {kept}");
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn a_text_that_is_left_while_it_waits_is_counted_as_one_that_is_left_while_it_is_written() {
    let server = start(ServeOptions { texts: 1, ..ServeOptions::default() });
    let begin = || {
        let mut socket = TcpStream::connect(tcp(&server)).expect("it listens");
        let body = json!({"prompt": "The dog", "max_tokens": 4000, "ignore_eos": true, "stream": true}).to_string();
        let head = format!("POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
        socket.write_all((head + &body).as_bytes()).expect("sent");
        socket
    };
    let written = begin();
    wait_for(&server, "itera_texts_running", 1);
    let waiting = [begin(), begin()];
    wait_for(&server, "itera_texts_waiting", 2);
    drop(waiting);
    drop(written);
    wait_for(&server, "itera_texts_ended_total", 3);
    assert_eq!((told(&server, "itera_texts_running"), told(&server, "nv_inference_request_failure")), (0, 3));
}

#[cfg(unix)]
#[test]
fn a_reader_that_takes_nothing_for_too_long_leaves_its_place_to_others() {
    use std::os::unix::net::UnixStream;
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("itera.sock");
    let options = ServeOptions { texts: 1, request_time: Duration::from_millis(500), ..ServeOptions::default() };
    let mut options = anywhere(options);
    // its buffers hold less than a text with what is told of its tokens
    options.addresses.push(Address::Unix(path.clone()));
    let server = Server::start(stories(), &options).expect("it starts");
    let mut socket = UnixStream::connect(&path).expect("it listens");
    let body = json!({"prompt": "The dog", "max_tokens": 4000, "ignore_eos": true, "stream": true, "logprobs": 5});
    let body = body.to_string();
    write!(socket, "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        .expect("sent");
    wait_for(&server, "itera_texts_running", 1);
    // a reader of another text waits until then, and no longer
    let other = answer(&server, &json!({"prompt": "The dog", "max_tokens": 5}));
    assert_eq!(other["usage"]["completion_tokens"], 5);
    assert_eq!(told(&server, "nv_inference_request_failure"), 1, "the text before it did not come to its end");
    socket.set_read_timeout(Some(Duration::from_secs(30))).expect("set");
    let mut late = String::new();
    let mut read = [0; 1 << 16];
    while !late.contains("nothing of it was read for too long") {
        let count = socket.read(&mut read).expect("what was written, and why no more was");
        assert!(count > 0, "{late}");
        late = String::from_utf8_lossy(&read[..count]).into_owned();
    }
}

/// The sum of what a server tells of `name`.
fn told(server: &Server, name: &str) -> i64 {
    let (_, text) = get(server, "/metrics");
    let of_name = text.lines().filter(|line| line.starts_with(&format!("{name}{{")));
    of_name.map(|line| line.rsplit(' ').next().expect("a value").parse::<i64>().expect("a count")).sum()
}

fn wait_for(server: &Server, name: &str, value: i64) {
    let begun = Instant::now();
    while told(server, name) != value {
        assert!(begun.elapsed() < Duration::from_secs(30), "{name} is {}, not {value}", told(server, name));
    }
}

#[test]
fn a_request_that_does_not_come_ends_its_connection() {
    let server = start(ServeOptions { request_time: Duration::from_millis(200), ..ServeOptions::default() });
    let slow = |begin: &str| {
        let mut socket = TcpStream::connect(tcp(&server)).expect("it listens");
        socket.write_all(begin.as_bytes()).expect("sent");
        let mut response = String::new();
        socket.read_to_string(&mut response).expect("the connection ends");
        response
    };
    assert!(!slow("POST /v1/completions HTTP/1.1\r\nHost: ").contains("200 OK"));
    let response = slow("POST /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 9\r\n\r\n{");
    assert!(response.starts_with("HTTP/1.1 408") && response.contains("did not arrive in time"), "{response}");
}

#[cfg(unix)]
#[test]
fn a_socket_may_be_a_file() {
    use std::os::unix::net::{UnixListener, UnixStream};
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("itera.sock");
    let options = ServeOptions { addresses: vec![Address::Unix(path.clone())], ..ServeOptions::default() };
    // one that another program left
    drop(UnixListener::bind(&path).expect("bound"));
    let server = Server::start(stories(), &options).expect("it starts");
    let mut socket = UnixStream::connect(&path).expect("it listens");
    write!(socket, "GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("sent");
    let mut response = String::new();
    socket.read_to_string(&mut response).expect("a response");
    assert!(response.ends_with(&format!("{{\"version\":\"{}\"}}", env!("CARGO_PKG_VERSION"))), "{response}");
    let error = Server::start(stories(), &options).expect_err("one server a socket");
    assert_eq!(error.to_string(), format!("cannot listen at unix:{}", path.display()));
    assert!(server.drain(Duration::from_secs(1)));
    assert!(!path.exists(), "it goes with the server");
    // what is no socket stays
    std::fs::write(&path, "mine").expect("written");
    Server::start(stories(), &options).expect_err("a file is there");
    assert_eq!(std::fs::read_to_string(&path).expect("there"), "mine");
}

#[test]
fn text_and_tokens_turn_into_each_other_in_the_words_of_vllm_and_of_llama_cpp() {
    let server = start(ServeOptions::default());
    let tokenizer = Model::open(checkpoint()).expect("the checkpoint opens").tokenizer().expect("with its tokenizer");
    let ask = |path: &str, request: Value| -> (u16, Value) {
        let (status, body, _) = post(&server, path, &request.to_string());
        (status, serde_json::from_str(&body).expect("JSON"))
    };
    let dog = tokenizer.encode("The dog");
    let with = |special: TokenId, before: bool| {
        json!(if before { [vec![special], dog.clone()] } else { [dog.clone(), vec![special]] }.concat())
    };
    let tokens = |request: Value| ask("/tokenize", request).1["tokens"].clone();
    assert_eq!(tokens(json!({"prompt": "The dog"})), with(tokenizer.bos(), true));
    assert_eq!(tokens(json!({"prompt": "The dog", "add_special_tokens": false, "model": "stories"})), json!(dog));
    assert_eq!(tokens(json!({"content": "The dog"})), json!(dog));
    assert_eq!(tokens(json!({"content": "The dog", "add_special": true})), with(tokenizer.bos(), true));
    assert_eq!(tokens(json!({"content": "The dog<|endoftext|>"})), with(tokenizer.eos(), false));
    let pieces = tokens(json!({"content": "The dog\u{e9}<|endoftext|>", "with_pieces": true}));
    let pieces = pieces.as_array().expect("a list");
    let bytes = pieces.iter().flat_map(|token| match &token["piece"] {
        Value::String(text) => text.clone().into_bytes(),
        bytes => bytes.as_array().expect("bytes").iter().map(|byte| byte.as_u64().expect("a byte") as u8).collect(),
    });
    assert_eq!(String::from_utf8(bytes.collect()).as_deref(), Ok("The dog\u{e9}<|endoftext|>"));
    assert_eq!(pieces[0]["id"], json!(dog[0]));
    let (_, spelled) = ask("/tokenize", json!({"prompt": "The dog", "return_token_strs": true}));
    let expected: Vec<&str> = spelled["tokens"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|id| tokenizer.spellings().nth(id.as_u64().expect("an id") as usize).expect("in the vocabulary"))
        .collect();
    assert_eq!(spelled["token_strs"], json!(expected));
    let spelled = tokens(json!({"content": "The dog<|endoftext|>", "parse_special": false}));
    assert_eq!(spelled, json!(tokenizer.encode("The dog<|endoftext|>")));
    let said = json!([{"role": "user", "content": "The dog"}]);
    let idle = json!({"messages": said, "add_special": false, "continue_final_message": false, "tools": null});
    assert_eq!(tokens(idle), with(tokenizer.bos(), true), "as a chat begins without a template");
    for wrong in [
        json!({}),
        json!({"prompt": "a", "content": "a"}),
        json!({"prompt": "a", "messages": said}),
        json!({"prompt": "a", "add_special": true}),
        json!({"prompt": "a", "add_generation_prompt": false}),
        json!({"content": "a", "add_special_tokens": true}),
        json!({"content": "a", "chat_template_kwargs": {"a": 1}}),
        json!({"messages": said, "parse_special": false}),
        json!({"messages": said, "continue_final_message": true}),
        json!({"messages": []}),
        json!({"prompt": "a", "x": 1}),
    ] {
        assert_eq!(ask("/tokenize", wrong).0, 400);
    }
    let text = ask("/detokenize", json!({"tokens": dog})).1;
    assert_eq!(text, json!({"prompt": "The dog", "content": "The dog"}));
    assert_eq!(ask("/detokenize", json!({"tokens": [1_000_000]})).0, 400);
}

#[test]
fn what_cannot_be_answered_is_refused_by_name() {
    let server = start(ServeOptions { body_bytes: 10_000, ..ServeOptions::default() });
    let refused = |body: &str, status: u16, param: Option<&str>, message: &str| {
        let (found, body, _) = post(&server, "/v1/completions", body);
        let error: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!((found, error["error"]["param"].as_str()), (status, param), "{body}");
        assert!(error["error"]["message"].as_str().is_some_and(|text| text.contains(message)), "{message}: {body}");
    };
    for (field, value) in [
        ("temperature", "-1"),
        ("temperature", "1e308"),
        ("top_p", "0"),
        ("top_p", "2"),
        ("n", "0"),
        ("n", "1000000000"),
        ("max_tokens", "-1"),
        ("max_tokens", "4294967296"),
        ("stop", "[\"\"]"),
        ("stop", "3"),
        ("seed", "-1"),
        ("logit_bias", "3"),
        ("logprobs", "21"),
        ("suffix", "\"x\""),
        ("best_of", "2"),
        ("stream_options", "{\"include_usage\": true}"),
        ("prompt", "[]"),
        ("prompt", "[1000000]"),
        ("prompt", "[[1], \"a\", {}]"),
    ] {
        refused(&format!("{{\"model\": \"stories\", \"{field}\": {value}}}"), 400, Some(field), field);
    }
    let stops = vec!["a"; 65];
    refused(&json!({"model": "stories", "stop": stops}).to_string(), 400, Some("stop"), "at most 64");
    refused(r#"{"model": "stories", "logit_bias": {"520000": 1}}"#, 400, Some("logit_bias.520000"), "token");
    refused(r#"{"model": "stories", "logit_bias": {"+5": 1}}"#, 400, Some("logit_bias.+5"), "token");
    refused(r#"{"model": "stories", "logit_bias": {"5": 1, "5": 1}}"#, 400, Some("logit_bias"), "duplicate");
    refused(r#"{"model": "stories", "n": 1, "n": 1}"#, 400, None, "duplicate field `n`");
    refused(r#"{"model": "stories", "max_new_tokens": 1}"#, 400, Some("max_new_tokens"), "unknown field");
    refused(r#"{"model": "stories", "temperature": 1e400}"#, 400, None, "not JSON");
    refused(r#"{"prompt": "a", "model": 3}"#, 400, Some("model"), "expected a string");
    refused(
        r#"{"model": "stories", "max_tokens": 4096}"#,
        400,
        Some("prompt"),
        "4096 tokens, and the request asks for 4097",
    );
    refused("{\"model\": \"stories\", \"prompt\": \"\u{1}\"}", 400, None, "not JSON");
    refused(r#"{"model": "../stories"}"#, 404, Some("model"), "../stories");
    refused(&"x".repeat(10_001), 413, None, "10000 bytes");
    assert_eq!(post(&server, "/v1/completion", "{}").0, 404);
    assert_eq!(post(&server, "/v1/models", "{}").0, 405);
    // and it still answers, also where the only model goes without saying
    answer(&server, &json!({}));
}

#[test]
fn what_the_queue_does_not_hold_is_refused_at_once() {
    let server = start(ServeOptions { texts: 1, queued_texts: 1000, ..ServeOptions::default() });
    // minutes of work, one text after the other
    let long = json!({"max_tokens": 4000, "ignore_eos": true, "stream": true, "n": 1000});
    let mut socket = send(&server, &long);
    let mut head = [0; 12];
    socket.read_exact(&mut head).expect("a head");
    assert_eq!(&head, b"HTTP/1.1 200");
    let many = json!({"max_tokens": 1, "n": 900}).to_string();
    let (status, body, retry) = post(&server, "/v1/completions", &many);
    assert_eq!((status, retry.as_deref()), (429, Some("1")), "{body}");
    // who leaves makes room at once
    drop(socket);
    let is_answered = (0..1000).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        post(&server, "/v1/completions", &many).0 == 200
    });
    assert!(is_answered, "no room after the other has left");
}

#[test]
fn what_the_queue_never_holds_is_refused_for_good() {
    let server = start(ServeOptions { queued_tokens: 3000, ..ServeOptions::default() });
    let (half, all) = (vec![5; 1500], vec![5; 3000]);
    for (path, request, is_refused) in [
        ("/v1/completions", json!({"prompt": all, "max_tokens": 1}), false),
        ("/v1/completions", json!({"prompt": half, "max_tokens": 1, "n": 3}), true),
        ("/v1/embeddings", json!({"input": [half, half]}), false),
        ("/v1/embeddings", json!({"input": [half, all]}), true),
    ] {
        let (status, body, retry) = post(&server, path, &request.to_string());
        assert_eq!((status, retry), (if is_refused { 400 } else { 200 }, None), "{path}: {body}");
        assert_eq!(body.contains("have 4500 tokens, and this server takes in 3000"), is_refused, "{path}: {body}");
    }
}
