//! Answers, held to what the runtime says to each request alone.

use std::{
    fs,
    io::{BufRead, BufReader},
    thread::{self, ScopedJoinHandle},
    time::Duration,
};

use itera_runtime::{FinishReason, Model, Sampler, SamplingConfig, Text};
use itera_serve::{ServeOptions, Server};
use itera_testkit::uniform;
use itera_tokenizer::{TokenId, Tokenizer};
use serde_json::{Value, json};

use crate::support::{answer, checkpoint, get, post, send, start, stream};

#[test]
fn a_prompt_that_begins_like_another_is_not_read_twice_and_answered_as_if_it_were() {
    let start_with = |cache_bytes| start(ServeOptions { cache_bytes, ..ServeOptions::default() });
    // room for all, for some, and for none
    let servers = [start_with(1 << 30), start_with(600_000), start_with(0)];
    let tokenizer = Model::open(checkpoint()).expect("the checkpoint opens").tokenizer().expect("with its tokenizer");
    let words = "Once upon a time there was a little dog who wanted to play with the big red ball in the park .";
    let all: Vec<TokenId> = tokenizer.encode(&words.repeat(40));
    let random = uniform(3 * at_length("ITERA_PREFIXES", 120) as usize, 0.0, 1.0, 5);
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
fn states_of_prompts_outlive_their_server() {
    let dir = tempfile::tempdir().expect("a directory");
    let states = dir.path().join("made/states");
    let start = || start(ServeOptions { cache_dir: Some(states.clone()), ..ServeOptions::default() });
    let prompt = "Once upon a time there was a little dog. ".repeat(30);
    let request = json!({"prompt": prompt, "max_tokens": 20, "seed": 1, "logprobs": 2});
    let longer = json!({"prompt": prompt.clone() + "The dog was happy.", "max_tokens": 20, "seed": 1});
    let ask = |server: &Server, request: &Value| {
        let answer = answer(server, request);
        let usage = answer["usage"].clone();
        (
            answer["choices"].clone(),
            usage["prompt_tokens"].clone(),
            usage["prompt_tokens_details"]["cached_tokens"].clone(),
        )
    };
    let first = start();
    let (choices, tokens, cached) = ask(&first, &request);
    assert_eq!(cached, 0);
    assert!(first.drain(Duration::from_secs(10)));
    let second = start();
    assert_eq!(ask(&second, &request), (choices, tokens.clone(), tokens));
    let (longer_choices, longer_tokens, cached) = ask(&second, &longer);
    assert!(cached.as_u64().is_some_and(|cached| cached >= 128), "{cached}");
    assert!(second.drain(Duration::from_secs(10)));

    // what is of no use costs its states alone
    let file = fs::read_dir(&states).expect("it was made").next().expect("a file").expect("it can be read").path();
    let mut bytes = fs::read(&file).expect("it can be read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).expect("written");
    let third = start();
    assert_eq!(ask(&third, &longer), (longer_choices, longer_tokens, json!(0)));
    drop(third);
    assert_eq!(fs::read_dir(&states).expect("it is there").count(), 1, "a model has a file");
}

/// How many of something, more where the environment says so.
fn at_length(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).map_or(usual, |count| count.parse().expect("a number"))
}

/// What the runtime says to a request alone.
pub fn alone(model: &Model, tokenizer: &Tokenizer, request: &Value) -> (String, &'static str) {
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
pub fn request(number: u64) -> Value {
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
    let all = at_length("ITERA_ANSWERS", 160);
    let clients = if all > 160 { 64 } else { 8 };
    let server = start(ServeOptions { texts: 5, may_load: true, ..ServeOptions::default() });
    let model = Model::open(checkpoint()).expect("the checkpoint opens");
    let tokenizer = model.tokenizer().expect("with its tokenizer");
    std::thread::scope(|scope| {
        let (server, model, tokenizer) = (&server, &model, &tokenizer);
        let client = |client: u64| {
            scope.spawn(move || {
                for number in client * all / clients..(client + 1) * all / clients {
                    // some are asked twice
                    let mut request = request(if number % 5 == 4 { number - 1 } else { number });
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
            })
        };
        let clients: Vec<_> = (0..clients).map(client).collect();
        // the same files in a new engine, which has cached nothing
        while !clients.iter().all(ScopedJoinHandle::is_finished) {
            assert_eq!(post(server, "/v2/repository/models/stories/load", "").0, 200);
            thread::sleep(Duration::from_millis(20));
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
fn texts_for_one_prompt_read_it_once_also_without_a_cache() {
    let prompt = "Once upon a time there was a little dog. ".repeat(30);
    for (texts, cache_bytes) in [(64, 0), (3, 0), (1, 0), (64, 1 << 30)] {
        let server = start(ServeOptions { texts, cache_bytes, ..ServeOptions::default() });
        let count = |name: &str| {
            let metrics = get(&server, "/metrics").1;
            let line = metrics.lines().find(|line| line.starts_with(name)).expect("a metric").to_owned();
            line.rsplit_once(' ').and_then(|(_, count)| count.parse::<u64>().ok()).expect("a count")
        };
        let read = || count("itera_prompt_tokens_total{") - count("itera_cached_tokens_total{");
        let request = json!({"prompt": prompt, "max_tokens": 20, "n": 9, "stop": ["dog"], "seed": 3});
        let answered = answer(&server, &request);
        assert_eq!(answered["usage"]["prompt_tokens"].as_u64(), Some(read()), "{texts}, {cache_bytes}");
        assert_eq!(answered["usage"]["prompt_tokens_details"]["cached_tokens"], 0);
        // who tells how likely the prompt was reads all of it, for each text
        let mut alone = request.clone();
        (alone["echo"], alone["logprobs"]) = (true.into(), 0.into());
        let before = read();
        let alone = answer(&server, &alone);
        assert_eq!(read(), 10 * before);
        let texts = |answer: &Value, from: usize| -> Vec<String> {
            let choices = answer["choices"].as_array().expect("choices");
            choices.iter().map(|choice| choice["text"].as_str().expect("a text")[from..].to_owned()).collect()
        };
        assert_eq!(texts(&answered, 0), texts(&alone, prompt.len()));
        assert_eq!(
            stream(&server, &{
                let mut streamed = request;
                streamed["stream"] = true.into();
                streamed
            })
            .1,
            texts(&answered, 0)
        );
        // none that goes on
        let none = json!({"prompt": prompt, "max_tokens": 0, "n": 9});
        assert_eq!(texts(&answer(&server, &none), 0), [""; 9]);
    }
}

#[test]
fn a_state_that_went_on_is_not_kept_as_that_of_its_prompt() {
    let bytes = |server: &Server| {
        let metrics = get(server, "/metrics").1;
        let line = metrics.lines().find(|line| line.starts_with("itera_cache_bytes{")).expect("a metric").to_owned();
        line.rsplit_once(' ').and_then(|(_, count)| count.parse::<usize>().ok()).expect("a count")
    };
    let request = |number: usize| json!({"prompt": [1, 236, number + 239], "max_tokens": 3, "ignore_eos": true});
    let server = start(ServeOptions::default());
    let expected: Vec<Value> = (0..3).map(|number| answer(&server, &request(number))["choices"].take()).collect();
    // room for one prompt and a half, so that each that is read drives out another, which may be under way
    let server = start(ServeOptions { cache_bytes: bytes(&server) / 2, ..ServeOptions::default() });
    let (server, expected) = (&server, &expected);
    thread::scope(|scope| {
        for client in 0..8 {
            scope.spawn(move || {
                for step in 0..200 {
                    let number = (client * 7 + step * (client + 1)) % 3;
                    assert_eq!(answer(server, &request(number))["choices"], expected[number]);
                }
            });
        }
    });
}
