//! A server on a socket, asked by HTTP clients.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    time::Duration,
};

use itera_runtime::{FinishReason, Model, OpenOptions, Sampler, SamplingConfig, Text};
use itera_serve::{Address, Loaded, ServeOptions, Server};
use itera_testkit::uniform;
use itera_tokenizer::{TokenId, Tokenizer};
use serde_json::{Value, json};

fn checkpoint() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../checkpoints/stories-75k.gguf")
}

fn start(options: ServeOptions) -> Server {
    let model = Loaded::open("stories", &checkpoint(), &OpenOptions::default()).expect("the checkpoint opens");
    let address = Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)));
    let options = ServeOptions { addresses: vec![address], ..options };
    Server::start(vec![model], &options).expect("it starts")
}

/// Status and body of the response to `body`, and when to try again.
fn post(server: &Server, path: &str, body: &str) -> (u16, String, Option<String>) {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut response = agent.post(format!("{}{path}", server.addresses()[0])).send(body).expect("a response");
    let retry = response.headers().get("retry-after").map(|value| value.to_str().expect("ASCII").to_owned());
    (response.status().as_u16(), response.body_mut().read_to_string().expect("a body"), retry)
}

#[track_caller]
fn answer(server: &Server, request: &Value) -> Value {
    let (status, body, _) = post(server, "/v1/completions", &request.to_string());
    assert_eq!(status, 200, "{request}: {body}");
    serde_json::from_str(&body).expect("JSON")
}

/// The events of a stream, and the whole of the texts that they tell, choice by choice.
#[track_caller]
fn stream(server: &Server, request: &Value) -> (Vec<Value>, Vec<String>) {
    let (status, body, _) = post(server, "/v1/completions", &request.to_string());
    assert_eq!(status, 200, "{request}: {body}");
    let body = body.strip_suffix("data: [DONE]\n\n").expect("a stream says that it is done");
    let events = body.split_terminator("\n\n").map(|event| event.strip_prefix("data: ").expect("an event"));
    let events: Vec<Value> = events.map(|event| serde_json::from_str(event).expect("JSON")).collect();
    let mut texts: Vec<String> = vec![];
    for choice in events.iter().flat_map(|event| event["choices"].as_array().expect("choices")) {
        let index = choice["index"].as_u64().expect("an index") as usize;
        texts.resize(texts.len().max(index + 1), String::new());
        texts[index] += choice["text"].as_str().expect("a text");
    }
    (events, texts)
}

fn tcp(server: &Server) -> SocketAddr {
    match &server.addresses()[0] {
        Address::Tcp(address) => *address,
        other => panic!("{other}"),
    }
}

/// Send a request that is not awaited.
fn send(server: &Server, request: &Value) -> TcpStream {
    let mut socket = TcpStream::connect(tcp(server)).expect("it listens");
    let body = request.to_string();
    let len = body.len();
    write!(socket, "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len}\r\n\r\n{body}").expect("sent");
    socket
}

#[test]
fn a_prompt_that_begins_like_another_is_not_read_twice_and_answered_as_if_it_were() {
    let start_with = |cache_bytes| start(ServeOptions { cache_bytes, ..ServeOptions::default() });
    // room for all, for some, and for none
    let servers = [start_with(1 << 30), start_with(600_000), start_with(0)];
    let tokenizer = Model::open(checkpoint()).expect("the checkpoint opens").tokenizer().expect("with its tokenizer");
    let words = "Once upon a time there was a little dog who wanted to play with the big red ball in the park .";
    let all: Vec<TokenId> = tokenizer.encode(&words.repeat(40));
    let random = uniform(3 * 120, 0.0, 1.0, 5);
    let mut hits = 0;
    for (number, random) in random.chunks_exact(3).enumerate() {
        // beginnings of four texts; of three the lengths are so few that some come again
        let len = 1 + (random[0] * 700.0) as usize;
        let len = if number % 3 == 0 { len } else { len.next_multiple_of(64) };
        let from = (random[1] * 4.0) as usize;
        let prompt: Vec<TokenId> = all[from..from + len].to_vec();
        let temperature = if random[2] < 0.5 { 0.0 } else { 1.0 };
        let request = json!({"prompt": prompt, "max_tokens": 4, "temperature": temperature, "seed": number, "n": 2, "logprobs": 1});
        let answers: Vec<Value> = servers.iter().map(|server| answer(server, &request)).collect();
        for answer in &answers {
            assert_eq!(answer["choices"], answers[2]["choices"], "{len} tokens from {from}");
        }
        let cached =
            |answer: &Value| answer["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64().expect("a count");
        assert_eq!(cached(&answers[2]), 0);
        hits += u64::from(cached(&answers[0]) > 0);
        let again = answer(&servers[0], &request);
        assert_eq!(
            (cached(&again), &again["choices"]),
            (len as u64, &answers[0]["choices"]),
            "a whole prompt is not read"
        );
        let longer: Vec<TokenId> = [&prompt[..], &all[..300]].concat();
        let longer = answer(&servers[0], &json!({"prompt": longer, "max_tokens": 1}));
        let last_cut = (len as u64).saturating_sub(8) / 128 * 128;
        assert!(cached(&longer) >= last_cut, "up to the last cut at least, of {len}");
    }
    assert!(hits > 20, "{hits} prompts began like one before");
}

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
    for (name, value) in [
        (format!("itera_prompt_tokens_total{labels}"), tokens.0),
        (format!("vllm:prompt_tokens_total{labels}"), tokens.0),
        (format!("itera_completion_tokens_total{labels}"), tokens.1),
        (format!("vllm:generation_tokens_total{labels}"), tokens.1),
        (format!("itera_time_to_first_token_seconds_count{labels}"), 12),
        (format!("itera_time_per_output_token_seconds_count{labels}"), tokens.1 - 12),
        (format!("vllm:e2e_request_latency_seconds_count{labels}"), 12),
        (format!("itera_texts_running{labels}"), 0),
        (format!("vllm:num_requests_waiting{labels}"), 0),
        ("itera_http_responses_total{status=\"200\"}".into(), 6),
        ("itera_http_responses_total{status=\"400\"}".into(), 1),
    ] {
        let found = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        assert_eq!(found, Some(value.to_string().as_str()), "{name}:\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
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
    let model = || Loaded::open("stories", &checkpoint(), &OpenOptions::default()).expect("the checkpoint opens");
    let options = ServeOptions { addresses: vec![Address::Unix(path.clone())], ..ServeOptions::default() };
    // one that another program left
    drop(UnixListener::bind(&path).expect("bound"));
    let server = Server::start(vec![model()], &options).expect("it starts");
    let mut socket = UnixStream::connect(&path).expect("it listens");
    write!(socket, "GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("sent");
    let mut response = String::new();
    socket.read_to_string(&mut response).expect("a response");
    assert!(response.ends_with(&format!("{{\"version\":\"{}\"}}", env!("CARGO_PKG_VERSION"))), "{response}");
    let error = Server::start(vec![model()], &options).expect_err("one server a socket");
    assert_eq!(error.to_string(), format!("cannot listen at unix:{}", path.display()));
    assert!(server.drain(Duration::from_secs(1)));
    assert!(!path.exists(), "it goes with the server");
    // what is no socket stays
    std::fs::write(&path, "mine").expect("written");
    Server::start(vec![model()], &options).expect_err("a file is there");
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
    let spelled = tokens(json!({"content": "The dog<|endoftext|>", "parse_special": false}));
    assert_eq!(spelled, json!(tokenizer.encode("The dog<|endoftext|>")));
    for wrong in [json!({}), json!({"prompt": "a", "content": "a"}), json!({"prompt": "a", "x": 1})] {
        assert_eq!(ask("/tokenize", wrong).0, 400);
    }
    let text = ask("/detokenize", json!({"tokens": dog})).1;
    assert_eq!(text, json!({"prompt": "The dog", "content": "The dog"}));
    assert_eq!(ask("/detokenize", json!({"tokens": [1_000_000]})).0, 400);
}

/// What the runtime says to a request alone.
fn alone(model: &Model, tokenizer: &Tokenizer, request: &Value) -> (String, &'static str) {
    let sampling = SamplingConfig {
        temperature: request["temperature"].as_f64().unwrap_or(1.0),
        top_p: request["top_p"].as_f64().unwrap_or(1.0),
        seed: request["seed"].as_u64().unwrap_or(42),
        ..SamplingConfig::default()
    };
    let stops: Vec<String> = request["stop"].as_str().map(str::to_owned).into_iter().collect();
    let text = Text::new(model, tokenizer, request["prompt"].as_str().expect("one prompt")).expect("it fits");
    let max_tokens = request["max_tokens"].as_u64().expect("a number") as usize;
    let mut text = text.with_sampler(Sampler::new(&sampling, 0)).with_stops(&stops).with_max_tokens(max_tokens);
    text.by_ref().for_each(drop);
    let reason = match text.finish_reason() {
        Some(FinishReason::Eos | FinishReason::Stop) => "stop",
        _ => "length",
    };
    (text.into_completion().text, reason)
}

/// Request number `number`: any prompt, long or short, sampled or not, stopped or not.
fn request(number: u64) -> Value {
    let random = uniform(5, 0.0, 1.0, number);
    let words = "Once upon a time there was a little dog who wanted to play with the big red ball in the park .";
    let words: Vec<&str> = words.split(' ').collect();
    let len = (random[0] * random[0] * 300.0) as usize;
    let prompt: Vec<&str> = (0..len).map(|word| words[(word * 7 + number as usize) % words.len()]).collect();
    let temperature = if random[2] < 0.3 { 0.0 } else { f64::from(random[2]) };
    let mut request = json!({
        "model": "stories", "prompt": prompt.join(" "), "max_tokens": 1 + (random[1] * 40.0) as u64,
        "temperature": temperature, "seed": number,
    });
    if random[3] < 0.3 {
        request["stop"] = [".", "dog", " a", "\n"][number as usize % 4].into();
    }
    if random[4] < 0.3 {
        request["top_p"] = 0.9.into();
    }
    request
}

#[test]
fn an_answer_is_the_text_that_the_request_gets_alone_whatever_else_is_asked() {
    const CLIENTS: u64 = 8;
    const REQUESTS: u64 = 20;
    let server = start(ServeOptions { texts: 5, ..ServeOptions::default() });
    let model = Model::open(checkpoint()).expect("the checkpoint opens");
    let tokenizer = model.tokenizer().expect("with its tokenizer");
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (server, model, tokenizer) = (&server, &model, &tokenizer);
            scope.spawn(move || {
                for number in client * REQUESTS..(client + 1) * REQUESTS {
                    let mut request = request(number);
                    let (text, reason) = alone(model, tokenizer, &request);
                    match number % 4 {
                        0 => {
                            request["stream"] = true.into();
                            let (events, texts) = stream(server, &request);
                            let last = &events.last().expect("an event")["choices"][0];
                            assert_eq!((&texts[0], last["finish_reason"].as_str()), (&text, Some(reason)), "{request}");
                        }
                        1 => {
                            (request["stream"], request["ignore_eos"]) = (true.into(), true.into());
                            request["max_tokens"] = 2000.into();
                            request["stop"] = Value::Null;
                            let mut line = String::new();
                            BufReader::new(send(server, &request)).read_line(&mut line).expect("a line");
                            assert_eq!(line, "HTTP/1.1 200 OK\r\n", "{request}");
                        }
                        _ => {
                            let answer = answer(server, &request);
                            let choice = &answer["choices"][0];
                            assert_eq!(choice["text"].as_str(), Some(text.as_str()), "{request}");
                            assert_eq!(choice["finish_reason"].as_str(), Some(reason), "{request}");
                        }
                    }
                }
            });
        }
    });
    assert!(server.is_ready());
    assert!(server.drain(Duration::from_secs(30)), "nothing is left");
}

#[test]
fn several_prompts_and_choices_are_those_of_one_each() {
    let server = start(ServeOptions::default());
    let request = |prompt: Value, more: Value| {
        let mut request = json!({"model": "stories", "prompt": prompt, "max_tokens": 12, "seed": 7});
        let fields = request.as_object_mut().expect("an object");
        fields.extend(more.as_object().expect("an object").clone());
        request
    };
    let ask = |prompt: Value, more: Value| answer(&server, &request(prompt, more));
    let texts = |answer: &Value| -> Vec<String> {
        let choices = answer["choices"].as_array().expect("choices").iter();
        choices.map(|choice| choice["text"].as_str().expect("a text").to_owned()).collect()
    };
    let both = ask(json!(["The dog", "The cat"]), json!({"n": 3}));
    let dog = ask(json!("The dog"), json!({"n": 3}));
    let cat = ask(json!(["The cat"]), json!({"n": 3}));
    assert_eq!(texts(&both), [texts(&dog), texts(&cat)].concat());
    assert_eq!(texts(&dog)[0], texts(&ask(json!("The dog"), json!({})))[0]);
    assert_ne!(texts(&dog)[0], texts(&dog)[1], "choices differ");
    let prompt_tokens = |answer: &Value| answer["usage"]["prompt_tokens"].as_u64().expect("a count");
    assert_eq!(prompt_tokens(&both), prompt_tokens(&dog) + prompt_tokens(&cat));
    assert_eq!(both["usage"]["completion_tokens"], 72);

    let streamed = json!({"n": 3, "stream": true, "stream_options": {"include_usage": true}});
    let (events, streamed) = stream(&server, &request(json!(["The dog", "The cat"]), streamed));
    assert_eq!(streamed, texts(&both));
    assert_eq!(events.last().expect("an event")["usage"]["total_tokens"], both["usage"]["total_tokens"]);

    let model = Model::open(checkpoint()).expect("the checkpoint opens");
    let tokenizer = model.tokenizer().expect("with its tokenizer");
    let ids: Vec<TokenId> = [tokenizer.bos()].into_iter().chain(tokenizer.encode("The dog")).collect();
    let echoed = [format!("The dog{}", texts(&dog)[0])];
    assert_eq!(texts(&ask(json!(ids), json!({"echo": true}))), echoed);
    assert_eq!(stream(&server, &request(json!(ids), json!({"echo": true, "stream": true}))).1, echoed);
}

#[test]
fn tokens_of_prompt_and_text_have_the_probabilities_that_the_score_adds_up() {
    let server = start(ServeOptions::default());
    let model = Model::open(checkpoint()).expect("the checkpoint opens");
    let tokenizer = model.tokenizer().expect("with its tokenizer");
    let story = "Once upon a time there was a dog. He saw a cat. \"Hello\", said the dog. ".repeat(8);
    let ids: Vec<TokenId> =
        [tokenizer.bos()].into_iter().chain(tokenizer.encode(&story)).chain([tokenizer.eos()]).collect();
    let request = json!({"model": "stories", "prompt": ids, "max_tokens": 0, "echo": true, "logprobs": 2});
    let scored = answer(&server, &request);
    let list = &scored["choices"][0]["logprobs"];
    let logprobs = list["token_logprobs"].as_array().expect("a list");
    assert_eq!((logprobs.len(), &logprobs[0], &list["top_logprobs"][0]), (ids.len(), &Value::Null, &Value::Null));
    let nats: f64 = logprobs[1..].iter().map(|logprob| -logprob.as_f64().expect("a number")).sum();
    let score = model.score_documents(&tokenizer, &[&story], &|| ()).expect("a score").score;
    assert!((nats - score.nats).abs() < 1e-6 * score.nats, "{nats} and {}", score.nats);
    assert_eq!(scored["choices"][0]["text"].as_str(), Some(story.as_str()));
    assert_eq!(scored["usage"]["completion_tokens"], 0);
    let text = |list: &Value| {
        list["tokens"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|token| token.as_str().expect("a text"))
            .collect::<String>()
    };
    assert_eq!(text(list), format!("<|endoftext|>{story}<|endoftext|>"));
    let offsets: Vec<u64> =
        list["text_offset"].as_array().expect("a list").iter().map(|at| at.as_u64().expect("a count")).collect();
    assert_eq!((offsets[0], offsets[1], *offsets.last().expect("one")), (0, 0, story.len() as u64));

    // of a text alone, streamed or not; with the greedy one the most likely is the one that was chosen
    let mut request =
        json!({"model": "stories", "prompt": "The dog", "max_tokens": 9, "temperature": 0, "logprobs": 0});
    let whole = answer(&server, &request);
    let list = &whole["choices"][0]["logprobs"];
    assert_eq!(text(list), whole["choices"][0]["text"].as_str().expect("a text"));
    for (token, top) in
        list["tokens"].as_array().expect("a list").iter().zip(list["top_logprobs"].as_array().expect("a list"))
    {
        assert_eq!(top.as_object().expect("an object").keys().collect::<Vec<_>>(), [token.as_str().expect("a text")]);
    }
    request["stream"] = true.into();
    let (events, _) = stream(&server, &request);
    for key in ["tokens", "token_logprobs", "text_offset"] {
        let lists = events.iter().map(|event| event["choices"][0]["logprobs"][key].as_array().expect("a list").clone());
        assert_eq!(Value::from(lists.collect::<Vec<_>>().concat()), list[key], "{key}");
    }
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
    let server = start(ServeOptions { texts: 1, queued_texts: 2, ..ServeOptions::default() });
    let long = json!({"model": "stories", "max_tokens": 4000, "ignore_eos": true, "stream": true});
    let mut open = vec![];
    let mut refused = 0;
    for _ in 0..6 {
        let mut socket = send(&server, &long);
        let mut head = [0; 12];
        socket.read_exact(&mut head).expect("a head");
        match &head {
            b"HTTP/1.1 200" => open.push(socket),
            b"HTTP/1.1 429" => refused += 1,
            other => panic!("{}", String::from_utf8_lossy(other)),
        }
    }
    assert!(refused > 0 && open.len() >= 3, "{refused} refused, {} open", open.len());
    let (status, body, retry) = post(&server, "/v1/completions", &json!({"model": "stories", "n": 2}).to_string());
    assert_eq!((status, retry.as_deref()), (429, Some("1")), "{body}");
    // those who leave make room
    drop(open);
    let is_answered = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        post(&server, "/v1/completions", &json!({"model": "stories", "max_tokens": 2}).to_string()).0 == 200
    });
    assert!(is_answered, "no room after all have left");
}
