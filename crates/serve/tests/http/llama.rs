//! llama.cpp's own API: the texts of completions, in its words.

use itera_runtime::Model;
use itera_serve::ServeOptions;
use serde_json::{Value, json};

use crate::support::{answer, ask, checkpoint, data, get, post, start};

#[test]
fn a_completion_is_told_in_the_words_of_llama_cpp() {
    let server = start(ServeOptions::default());
    let model = Model::open(checkpoint()).expect("the checkpoint opens");
    let tokenizer = model.tokenizer().expect("with its tokenizer");
    let expected = answer(
        &server,
        &json!({"prompt": "The dog", "max_tokens": 40, "seed": 4, "temperature": 0.8, "repetition_penalty": 1.1, "stop": ["zzz", "."], "logprobs": 2}),
    );
    let text = expected["choices"][0]["text"].as_str().expect("a text");
    assert_eq!(expected["choices"][0]["finish_reason"], "stop");
    let mut request = json!({
        "prompt": "The dog", "n_predict": 40, "seed": 4, "repeat_penalty": 1.1, "stop": ["zzz", "."], "n_probs": 2,
        "return_tokens": true, "cache_prompt": true, "repeat_last_n": -1, "id_slot": -1, "slot_id": -1, "n_keep": 7,
    });
    let said = ask(&server, "/completion", &request);
    assert_eq!(said, {
        let mut same = ask(&server, "/completions", &request);
        same["timings"] = said["timings"].clone();
        same["tokens_cached"] = said["tokens_cached"].clone();
        same
    });
    assert_eq!(
        (said["content"].as_str(), &said["stop_type"], &said["stopping_word"]),
        (Some(text), &json!("word"), &json!("."))
    );
    assert_eq!(
        (&said["tokens_evaluated"], &said["tokens_predicted"]),
        (&expected["usage"]["prompt_tokens"], &expected["usage"]["completion_tokens"])
    );
    assert_eq!((&said["stop"], &said["truncated"], &said["prompt"]), (&json!(true), &json!(false), &json!("The dog")));
    let settings = &said["generation_settings"];
    assert_eq!(
        (&settings["seed"], &settings["temperature"], &settings["n_predict"]),
        (&json!(4), &json!(0.8), &json!(40))
    );
    let timings = &said["timings"];
    assert_eq!(
        (&timings["predicted_n"], timings["predicted_ms"].as_f64() > Some(0.0)),
        (&said["tokens_predicted"], true),
        "{timings}"
    );
    let ids: Vec<itera_tokenizer::TokenId> = serde_json::from_value(said["tokens"].clone()).expect("ids");
    assert!(tokenizer.decode(&ids).starts_with(&format!("{text}.")), "{ids:?}");
    let lists = &expected["choices"][0]["logprobs"];
    for (index, token) in said["completion_probabilities"].as_array().expect("a list").iter().enumerate() {
        assert_eq!(
            (&token["token"], &token["logprob"], &token["id"]),
            (&lists["tokens"][index], &lists["token_logprobs"][index], &said["tokens"][index])
        );
        assert_eq!(token["top_logprobs"].as_array().map(Vec::len), Some(2));
    }

    for n_probs in [0, 2] {
        (request["stream"], request["n_probs"]) = (true.into(), n_probs.into());
        let (status, events, _) = post(&server, "/completion", &request.to_string());
        assert_eq!(status, 200, "{events}");
        let events = data(&events);
        let parts = |key: &str| events.iter().map(|event| event[key].clone()).collect::<Vec<_>>();
        let streamed: String = parts("content").iter().map(|part| part.as_str().expect("a text")).collect();
        let tokens: Vec<Value> =
            parts("tokens").iter().flat_map(|part| part.as_array().expect("a list").clone()).collect();
        assert_eq!((streamed.as_str(), json!(tokens)), (text, said["tokens"].clone()));
        let stops = parts("stop");
        assert_eq!(stops.iter().filter(|stop| **stop == json!(true)).count(), 1);
        assert_eq!(
            (stops.last(), &events.last().expect("an event")["stop_type"]),
            (Some(&json!(true)), &json!("word"))
        );
        assert_eq!(events[0].get("completion_probabilities").is_some(), n_probs > 0);
    }

    // several prompts, tokens, tokens that are excluded, and as many as there is room for
    let several = ask(&server, "/completion", &json!({"prompt": ["The dog", "The cat"], "n_predict": 3}));
    assert_eq!(
        (several.as_array().map(Vec::len), &several[1]["prompt"], &several[1]["index"]),
        (Some(2), &json!("The cat"), &json!(1))
    );
    let ids: Vec<_> = [tokenizer.bos()].into_iter().chain(tokenizer.encode("The dog")).collect();
    let of = |request: Value| ask(&server, "/completion", &request)["content"].clone();
    let greedy = |more: Value| {
        let mut request = json!({"prompt": ids, "n_predict": 1, "temperature": 0, "return_tokens": true});
        request.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        ask(&server, "/completion", &request)["tokens"][0].clone()
    };
    let first = greedy(json!({}));
    assert_ne!(greedy(json!({"logit_bias": [[first, false]]})), first);
    assert_eq!(greedy(json!({"logit_bias": [[17, 100.0]]})), 17);
    assert_eq!(
        of(json!({"prompt": ids, "n_predict": 9, "temperature": 0})),
        of(json!({"prompt": "The dog", "n_predict": 9, "temperature": 0}))
    );
    let whole =
        ask(&server, "/completion", &json!({"prompt": "The", "ignore_eos": true, "n_predict": -1, "temperature": 0}));
    assert_eq!((&whole["stop_type"], whole["tokens_predicted"].as_u64()), (&json!("limit"), Some(4096 - 2)));
}

#[test]
fn a_seed_may_be_drawn_and_is_told() {
    let server = start(ServeOptions::default());
    let drawn = || ask(&server, "/completion", &json!({"prompt": "The", "n_predict": 20, "seed": -1}));
    let (one, other) = (drawn(), drawn());
    assert_ne!(one["generation_settings"]["seed"], other["generation_settings"]["seed"]);
    let again = json!({"prompt": "The", "n_predict": 20, "seed": one["generation_settings"]["seed"]});
    assert_eq!(ask(&server, "/completion", &again)["content"], one["content"]);
}

#[test]
fn properties_and_places_are_told() {
    let server = start(ServeOptions { texts: 3, ..ServeOptions::default() });
    let told = |path: &str| -> Value {
        let (status, body) = get(&server, path);
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).expect("JSON")
    };
    let props = told("/props?model=stories");
    assert_eq!((&props["total_slots"], &props["eos_token"]), (&json!(3), &json!("<|endoftext|>")));
    let usual = &props["default_generation_settings"];
    assert_eq!(
        (&usual["n_ctx"], &usual["params"]["temperature"], &usual["params"]["seed"]),
        (&json!(4096), &json!(0.8), &json!(42))
    );
    assert!(props["chat_template"].as_str().is_some_and(|template| template.contains("messages")));
    let busy =
        |slots: Value| slots.as_array().expect("a list").iter().filter(|slot| slot["is_processing"] == true).count();
    assert_eq!((told("/slots").as_array().map(Vec::len), busy(told("/slots"))), (Some(3), 0));
    let endless = json!({"prompt": "a", "n_predict": 4000, "ignore_eos": true, "stream": true});
    let under_way = crate::support::send_to(&server, "/completion", &endless);
    let is_seen = (0..500).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(2));
        busy(told("/slots")) == 1
    });
    assert!(is_seen, "a text under way has a place");
    drop(under_way);
    let (status, body) = get(&server, "/props?model=other");
    let error: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(
        (status, &error["error"]["code"], &error["error"]["type"]),
        (404, &json!(404), &json!("not_found_error"))
    );
}

#[test]
fn what_is_not_done_is_refused_by_name_with_its_status() {
    let server = start(ServeOptions::default());
    let refused = |request: Value, kind: &str, message: &str| {
        let (status, body, _) = post(&server, "/completion", &request.to_string());
        let error: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(
            (status, &error["error"]["code"], &error["error"]["type"]),
            (400, &json!(400), &json!(kind)),
            "{body}"
        );
        assert!(error["error"]["message"].as_str().is_some_and(|text| text.contains(message)), "{message}: {body}");
    };
    for (field, value) in [
        ("n_predict", json!(-2)),
        ("max_tokens", json!(-2)),
        ("n", json!(2)),
        ("seed", json!(-2)),
        ("seed", json!("x")),
        ("top_k", json!(-1)),
        ("repeat_penalty", json!(0)),
        ("n_probs", json!(21)),
        ("grammar", json!("root ::= \"a\"\nb ::= c")),
        ("grammar", json!(["root"])),
        ("json_schema", json!({"type": "nonsense"})),
        ("samplers", json!(["top_k"])),
        ("mirostat", json!(2)),
        ("id_slot", json!(3)),
        ("logit_bias", json!([[1, 2, 3]])),
        ("logit_bias", json!([[-1, 2]])),
        ("logit_bias", json!([["a", 2]])),
        ("logit_bias", json!([[1, true]])),
        ("frequency_penalty", json!(0.5)),
        ("suffix", json!("x")),
    ] {
        refused(json!({"prompt": "a", field: value}), "invalid_request_error", field);
    }
    refused(
        json!({"prompt": "a", "repeat_penalty": 1.2, "repeat_last_n": 64}),
        "invalid_request_error",
        "repeat_last_n",
    );
    refused(json!({"prompt": "a", "n_predict": 4096}), "exceed_context_size_error", "4096 tokens");
    refused(
        json!({"prompt": "a", "n_predict": 1, "max_tokens": 1}),
        "invalid_request_error",
        "max_tokens: n_predict is there too",
    );
    // what llama.cpp's clients send, where it asks for nothing
    ask(
        &server,
        "/completion",
        &json!({"prompt": "a", "n_predict": 1, "repeat_last_n": 64, "typical_p": 1.0, "mirostat": 0, "frequency_penalty": 0.0, "grammar": "", "t_max_predict_ms": 0}),
    );
}

#[test]
fn a_grammar_of_llama_cpp_holds_each_text_to_it() {
    let server = start(ServeOptions::default());
    let grammar = "root ::= item{2,3} # and nothing else\nitem ::= [T] [a-h]+ \".\" \" \"?";
    let is_of = |text: &str| {
        let items: Vec<&str> = text.trim_end_matches(' ').split_terminator('.').collect();
        let is_item = |(index, item): (usize, &&str)| {
            let item = if index > 0 { item.strip_prefix(' ').unwrap_or(item) } else { item };
            let letters = item.strip_prefix('T').unwrap_or_default();
            !letters.is_empty() && letters.bytes().all(|byte| (b'a'..=b'h').contains(&byte))
        };
        let is_ended = text.ends_with('.') || text.ends_with(". ");
        is_ended && (2..=3).contains(&items.len()) && items.iter().enumerate().all(is_item)
    };
    assert!(is_of("Ta. Tabe.") && is_of("Ta.Ta.Te. ") && !is_of("Ta.") && !is_of("Ta.  Ta.") && !is_of("Ta.Ta"));
    for seed in 0..20 {
        let mut request =
            json!({"prompt": "The dog", "grammar": grammar, "seed": seed, "n_predict": 400, "temperature": 3});
        let whole = ask(&server, "/completion", &request);
        let text = whole["content"].as_str().expect("a text");
        assert!(is_of(text) && whole["stop_type"] == "eos", "{whole}");
        request["stream"] = true.into();
        let (_, events, _) = post(&server, "/completion", &request.to_string());
        let streamed: String =
            data(&events).iter().map(|event| event["content"].as_str().expect("a text").to_owned()).collect();
        assert_eq!(streamed, text);
    }
    for (more, said) in [
        (json!({"grammar": "root ::= \"a\"\nb ::= c"}), "grammar: line 2: there is no rule \"c\""),
        (json!({"grammar": "root ::= [^\\x00-\\U0010FFFF]"}), "grammar: "),
        (json!({"grammar": grammar, "json_schema": {}}), "another field says too what the text is to be"),
        (json!({"grammar": grammar, "ignore_eos": true}), "cannot be had with ignore_eos"),
    ] {
        let mut request = json!({"prompt": "a"});
        request.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let (status, body, _) = post(&server, "/completion", &request.to_string());
        assert!(status == 400 && body.contains(&said.replace('"', "\\\"")), "{said}: {body}");
    }
}
