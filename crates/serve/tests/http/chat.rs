//! Chats: what the assistant says is the text that the model writes after the messages, as its template words them.

use itera_serve::ServeOptions;
use itera_tokenizer::{TokenId, Tokenizer};
use serde_json::{Value, json};

use crate::support::{answer, ask, data, post, start, stream, with_files};

/// The first text of a chat, or of a completion.
#[track_caller]
fn text(answer: &Value) -> String {
    let choice = &answer["choices"][0];
    let text = choice["message"]["content"].as_str().or(choice["text"].as_str());
    text.unwrap_or_else(|| panic!("a text: {answer}")).to_owned()
}

fn chat(content: Value, more: Value) -> Value {
    let mut request = json!({"messages": [{"role": "user", "content": content}]});
    request.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    request
}

#[test]
fn a_message_alone_is_answered_as_a_completion_goes_on() {
    let server = start(ServeOptions::default());
    let settings = json!({"max_tokens": 30, "seed": 5, "temperature": 0.9, "top_k": 40, "stop": ["."], "n": 3});
    let completion = {
        let mut request = settings.clone();
        request["prompt"] = "The dog".into();
        answer(&server, &request)
    };
    let texts = |answer: &Value, pointer: &str| -> Vec<Value> {
        let choices = answer["choices"].as_array().expect("choices").iter();
        choices.map(|choice| choice.pointer(pointer).unwrap_or_else(|| panic!("{pointer}: {choice}")).clone()).collect()
    };
    let parts = json!([{"type": "text", "text": "The "}, {"type": "text", "text": "dog"}]);
    for content in [json!("The dog"), parts] {
        let said = ask(&server, "/v1/chat/completions", &chat(content, settings.clone()));
        assert_eq!(texts(&said, "/message/content"), texts(&completion, "/text"));
        assert_eq!(texts(&said, "/finish_reason"), texts(&completion, "/finish_reason"));
        assert_eq!(texts(&said, "/message/role"), vec!["assistant"; 3]);
        assert_eq!(
            (&said["object"], &said["usage"]["total_tokens"]),
            (&json!("chat.completion"), &completion["usage"]["total_tokens"])
        );
        assert_eq!(said["system_fingerprint"], completion["system_fingerprint"]);
    }

    let mut request = chat(json!("The dog"), settings);
    request["stream"] = true.into();
    let (status, body, _) = post(&server, "/v1/chat/completions", &request.to_string());
    assert_eq!(status, 200, "{body}");
    let mut streamed = vec![String::new(); 3];
    let mut roles = vec![0; 3];
    for event in data(body.strip_suffix("data: [DONE]\n\n").expect("a stream says that it is done")) {
        assert_eq!(event["object"], "chat.completion.chunk");
        let choice = &event["choices"][0];
        let index = choice["index"].as_u64().expect("an index") as usize;
        if choice["delta"]["role"] == "assistant" {
            assert_eq!(streamed[index], "", "the role comes first");
            roles[index] += 1;
        }
        streamed[index] += choice["delta"]["content"].as_str().expect("a text");
    }
    assert_eq!(json!(streamed), json!(texts(&completion, "/text")));
    assert_eq!(roles, [1; 3], "once");
}

#[test]
fn tokens_of_what_is_said_are_as_likely_as_those_of_a_completion() {
    let server = start(ServeOptions::default());
    let settings = json!({"max_completion_tokens": 9, "temperature": 0, "logprobs": true, "top_logprobs": 2});
    let said = ask(&server, "/v1/chat/completions", &chat(json!("The dog"), settings));
    let completion = answer(&server, &json!({"prompt": "The dog", "max_tokens": 9, "temperature": 0, "logprobs": 2}));
    let lists = &completion["choices"][0]["logprobs"];
    let tokens = said["choices"][0]["logprobs"]["content"].as_array().expect("a list");
    assert_eq!(tokens.len(), 9);
    for (index, token) in tokens.iter().enumerate() {
        assert_eq!((&token["token"], &token["logprob"]), (&lists["tokens"][index], &lists["token_logprobs"][index]));
        let top = token["top_logprobs"].as_array().expect("a list");
        assert_eq!(
            (top.len(), &top[0]["token"], &top[0]["logprob"]),
            (2, &token["token"], &token["logprob"]),
            "greedy"
        );
        assert_eq!(token["bytes"], json!(token["token"].as_str().expect("a text").as_bytes()));
    }
    let (_, texts) = stream(&server, &json!({"prompt": "The dog", "max_tokens": 9, "temperature": 0, "stream": true}));
    assert_eq!(text(&said), texts[0]);
}

#[test]
fn the_template_of_the_model_words_the_messages() {
    let template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{{ eos_token }}{% endfor %}\
                    {% if add_generation_prompt %}<{{ who | default('assistant') }}>{% endif %}";
    let settings =
        json!({"chat_template": [{"name": "tools", "template": "x"}, {"name": "default", "template": template}]});
    let tokenizer = Tokenizer::byte();
    let say = json!({"max_tokens": 20, "temperature": 0.7, "seed": 3});
    for files in [
        &[("chat_template.jinja", template)][..],
        &[("tokenizer_config.json", &settings.to_string())],
        &[("chat_template.jinja", template), ("tokenizer_config.json", "{\"chat_template\": \"x\"}")],
    ] {
        let server = with_files(files);
        for (more, end) in [
            (json!({}), "<assistant>"),
            (json!({"add_generation_prompt": false}), ""),
            (json!({"chat_template_kwargs": {"who": "Tim"}}), "<Tim>"),
        ] {
            let mut request = chat(json!("The <|endoftext|> dog"), say.clone());
            request["messages"]
                .as_array_mut()
                .expect("a list")
                .insert(0, json!({"role": "system", "content": "Short."}));
            request.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            let eos = vec![tokenizer.eos()];
            let prompt: Vec<TokenId> = [
                tokenizer.encode("<system>Short."),
                eos.clone(),
                tokenizer.encode("<user>The <|endoftext|> dog"),
                eos,
                tokenizer.encode(end),
            ]
            .concat();
            let mut same = say.clone();
            same["prompt"] = json!(prompt);
            let said = ask(&server, "/v1/chat/completions", &request);
            assert_eq!(text(&said), text(&answer(&server, &same)), "{more}");
            assert_eq!(said["usage"]["prompt_tokens"], prompt.len());
            let fields = request.as_object_mut().expect("an object");
            say.as_object().expect("an object").keys().for_each(|name| drop(fields.remove(name)));
            assert_eq!(ask(&server, "/tokenize", &request)["tokens"], json!(prompt), "{more}");
        }
    }
}

#[test]
fn a_template_that_refuses_is_a_refusal() {
    let refuses = |template: &str, message: &str| {
        let server = with_files(&[("chat_template.jinja", template)]);
        let (status, body, _) = post(&server, "/v1/chat/completions", &chat(json!("a"), json!({})).to_string());
        let error: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!((status, &error["error"]["param"]), (400, &json!("messages")), "{body}");
        assert!(error["error"]["message"].as_str().is_some_and(|text| text.contains(message)), "{message}: {body}");
        answer(&server, &json!({"prompt": "a"}));
    };
    refuses("{{ raise_exception('only about dogs') }}", "only about dogs");
    refuses("{% for %}", "line 1 of the template");
    refuses("", "nothing to go on from");
}

#[test]
fn what_cannot_be_said_is_refused_by_name() {
    let server = start(ServeOptions::default());
    let refused = |request: Value, param: &str| {
        let (status, body, _) = post(&server, "/v1/chat/completions", &request.to_string());
        let error: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!((status, &error["error"]["param"]), (400, &json!(param)), "{request}: {body}");
        let message = error["error"]["message"].as_str().expect("a message");
        let is_too_long = error["error"]["code"] == "context_length_exceeded";
        assert!(message.starts_with(param) || is_too_long, "{message}");
    };
    for (field, value) in [
        ("tools", json!([{"type": "function", "function": {"name": "f"}}])),
        ("tool_choice", json!("required")),
        ("response_format", json!({"type": "json_object"})),
        ("modalities", json!(["text", "audio"])),
        ("logprobs", json!(3)),
        ("top_logprobs", json!(21)),
        ("n", json!(0)),
        ("temperature", json!(-1)),
        ("max_completion_tokens", json!(-1)),
        ("max_completion_tokens", json!("many")),
        ("stream_options", json!({"include_usage": true})),
        ("prompt", json!("a")),
        ("echo", json!(true)),
        ("chat_template", json!("{{ 1 }}")),
        ("chat_template_kwargs.messages", json!("set below")),
    ] {
        let mut request = chat(json!("a"), json!({"logprobs": true}));
        match field.split_once('.') {
            Some((object, name)) => request[object] = json!({name: value}),
            None => request[field] = value,
        }
        refused(request, field);
    }
    refused(chat(json!("a"), json!({"top_logprobs": 2})), "top_logprobs");
    refused(chat(json!("a"), json!({"max_tokens": 3, "max_completion_tokens": 3})), "max_tokens");
    refused(chat(json!("a"), json!({"max_tokens": 4096})), "messages");
    refused(chat(json!("a ".repeat(5000)), json!({})), "messages");
    for (message, field) in [
        (json!({}), "messages[0].role"),
        (json!({"role": "tool", "content": "a"}), "messages[0].role"),
        (json!({"role": "user"}), "messages[0].content"),
        (json!({"role": "user", "content": 3}), "messages[0].content"),
        (json!({"role": "user", "content": "a", "name": "Tim"}), "messages[0].name"),
        (json!({"role": "user", "content": "a", "mood": "x"}), "messages[0].mood"),
        (json!({"role": "user", "content": [{"type": "image_url", "image_url": {}}]}), "messages[0].content[0].type"),
        (json!({"role": "user", "content": [{"type": "text"}]}), "messages[0].content[0].text"),
        (json!({"role": "user", "content": [{"type": "text", "text": "a", "x": 1}]}), "messages[0].content[0].x"),
        (json!({"role": "user", "content": ["a"]}), "messages[0].content[0].type"),
        (json!({"role": "assistant", "content": "a", "tool_calls": [{}]}), "messages[0].tool_calls"),
    ] {
        refused(json!({"messages": [message]}), field);
    }
    refused(json!({"messages": []}), "messages");
    refused(json!({}), "messages");
    let nothing =
        json!({"tools": [], "tool_choice": "none", "response_format": {"type": "text"}, "user": "a", "max_tokens": 1});
    ask(&server, "/v1/chat/completions", &chat(json!("a"), nothing));
}
