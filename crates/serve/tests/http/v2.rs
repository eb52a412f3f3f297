//! The Open Inference Protocol: the same texts as completions, by tensors, by JSON and by events; and what is refused.

use std::io::Write;

use flate2::{
    Compression,
    write::{GzEncoder, ZlibEncoder},
};
use itera_serve::{ServeOptions, Server};
use serde_json::{Value, json};

use crate::support::{answer, data, get, post, send_bytes, start, stream};

const INFER: &str = "/v2/models/stories/infer";

/// A request of tensors, each with its bytes if it has any.
fn binary(inputs: &[(&str, &str, Vec<u8>)], more: Value) -> (Value, Vec<u8>) {
    let told = inputs.iter().map(|(name, datatype, bytes)| {
        let parameters = json!({"binary_data_size": bytes.len()});
        json!({"name": name, "datatype": datatype, "shape": [1], "parameters": parameters})
    });
    let mut request = json!({"inputs": told.collect::<Vec<_>>()});
    request.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    (request, inputs.iter().flat_map(|(_, _, bytes)| bytes.clone()).collect())
}

fn text_bytes(text: &str) -> Vec<u8> {
    [&(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

/// Status, JSON and the bytes after it of the response to JSON and the bytes after it.
fn infer(server: &Server, json: &Value, bytes: &[u8], json_len: &str) -> (u16, Value, Vec<u8>) {
    let body = [json.to_string().as_bytes(), bytes].concat();
    let (status, headers, body) = send_bytes(server, INFER, &[("inference-header-content-length", json_len)], &body);
    let len = headers.get("inference-header-content-length").map(|len| len.to_str().expect("ASCII").parse());
    let (json, bytes) = body.split_at(len.map_or(body.len(), |len| len.expect("a number")));
    (status, serde_json::from_slice(json).expect("JSON"), bytes.to_vec())
}

/// The message of a refusal, in the words of this surface.
#[track_caller]
fn refusal(status: u16, expected: u16, answer: &Value) -> String {
    assert_eq!(status, expected, "{answer}");
    assert_eq!(answer.as_object().map(|error| error.len()), Some(1), "{answer}");
    answer["error"].as_str().expect("a message").to_owned()
}

#[test]
fn tensors_json_and_events_give_the_text_of_a_completion() {
    let server = start(ServeOptions::default());
    let expected = answer(
        &server,
        &json!({"prompt": "The dog", "max_tokens": 25, "seed": 9, "temperature": 0.7, "top_p": 0.9, "stop": ["zzz"]}),
    );
    let (text, reason) = (&expected["choices"][0]["text"], &expected["choices"][0]["finish_reason"]);
    let usage = &expected["usage"];

    let one = |name: &str, datatype: &str, value: Value| json!({"name": name, "shape": [1], "datatype": datatype, "data": [value]});
    let settings = vec![
        one("max_tokens", "INT32", json!(25)),
        one("seed", "UINT64", json!(9)),
        one("temperature", "FP32", json!(0.7)),
        one("top_p", "FP64", json!(0.9)),
    ];
    let stop = json!({"name": "stop", "shape": [1, 1], "datatype": "BYTES", "data": [["zzz"]]});
    let inputs = [vec![one("text_input", "BYTES", json!("The dog")), stop], settings].concat();
    let request = json!({"id": "7", "model_name": "stories", "inputs": inputs});
    let (status, told, _) = post_json(&server, INFER, &request);
    assert_eq!(
        (status, &told["id"], &told["model_name"], &told["model_version"]),
        (200, &json!("7"), &json!("stories"), &json!("1")),
        "{told}"
    );
    let tensor = |name: &str, datatype: &str, value: &Value| json!({"name": name, "datatype": datatype, "shape": [1], "data": [value]});
    let outputs = [
        tensor("text_output", "BYTES", text),
        tensor("finish_reason", "BYTES", reason),
        tensor("num_input_tokens", "UINT32", &usage["prompt_tokens"]),
        tensor("num_output_tokens", "UINT32", &usage["completion_tokens"]),
    ];
    assert_eq!(told["outputs"], json!(outputs));

    // as bytes, there and back; what a client means by 0.9 has fewer bits in an f32
    let inputs = [
        ("text_input", "BYTES", text_bytes("The dog")),
        ("max_tokens", "UINT32", 25_u32.to_le_bytes().to_vec()),
        ("temperature", "FP32", 0.7_f32.to_le_bytes().to_vec()),
        ("top_p", "FP32", 0.9_f32.to_le_bytes().to_vec()),
    ];
    let more = json!({"parameters": {"seed": 9, "stop": "zzz", "binary_data_output": true}});
    let (request, bytes) = binary(&inputs, more);
    let (status, told, found) = infer(&server, &request, &bytes, &request.to_string().len().to_string());
    assert_eq!(status, 200, "{told}");
    let expected_bytes = [
        text_bytes(text.as_str().expect("a text")),
        text_bytes(reason.as_str().expect("a word")),
        (usage["prompt_tokens"].as_u64().expect("a count") as u32).to_le_bytes().to_vec(),
        (usage["completion_tokens"].as_u64().expect("a count") as u32).to_le_bytes().to_vec(),
    ];
    let sizes: Vec<usize> = expected_bytes.iter().map(Vec::len).collect();
    let told_sizes: Vec<Value> = told["outputs"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|output| output["parameters"]["binary_data_size"].clone())
        .collect();
    assert_eq!((json!(told_sizes), found), (json!(sizes), expected_bytes.concat()));

    // one output as bytes, one not
    let outputs = json!([{"name": "finish_reason", "parameters": {"binary_data": true}}, {"name": "text_output", "parameters": null}]);
    let (request, bytes) = binary(&inputs, json!({"parameters": {"seed": 9}, "outputs": outputs}));
    let (_, told, found) = infer(&server, &request, &bytes, &request.to_string().len().to_string());
    assert_eq!((&told["outputs"][1]["data"][0], found), (text, text_bytes(reason.as_str().expect("a word"))));

    let request = json!({"text_input": "The dog", "max_tokens": 25, "parameters": {"seed": 9, "temperature": 0.7, "top_p": 0.9, "stop": ["zzz"]}});
    let (status, told, _) = post_json(&server, "/v2/models/stories/versions/1/generate", &request);
    let same = json!({
        "model_name": "stories", "model_version": "1", "text_output": text, "finish_reason": reason,
        "num_input_tokens": usage["prompt_tokens"], "num_output_tokens": usage["completion_tokens"],
    });
    assert_eq!((status, told), (200, same));
    let mut request = request;
    request["stream"] = true.into();
    request["id"] = "x".into();
    request["exclude_input_in_output"] = false.into();
    let (status, events, _) = post(&server, "/v2/models/stories/generate_stream", &request.to_string());
    assert_eq!(status, 200, "{events}");
    let events = data(&events);
    let streamed: String = events.iter().map(|event| event["text_output"].as_str().expect("a text")).collect();
    assert_eq!(streamed, format!("The dog{}", text.as_str().expect("a text")));
    let last = events.last().expect("an event");
    assert_eq!(
        (&last["id"], &last["finish_reason"], &last["num_output_tokens"]),
        (&json!("x"), reason, &usage["completion_tokens"])
    );

    // several texts
    let request = json!({"text_input": ["The dog", "The cat"], "n": 2, "sampling_parameters": "{\"seed\": 3, \"max_tokens\": 8}"});
    let (_, told, _) = post_json(&server, "/v2/models/stories/generate", &request);
    let texts = answer(&server, &json!({"prompt": ["The dog", "The cat"], "n": 2, "seed": 3, "max_tokens": 8}));
    let texts: Vec<&Value> =
        texts["choices"].as_array().expect("a list").iter().map(|choice| &choice["text"]).collect();
    assert_eq!(told["text_output"], json!(texts));
}

fn post_json(server: &Server, path: &str, request: &Value) -> (u16, Value, Option<String>) {
    let (status, body, retry) = post(server, path, &request.to_string());
    (status, serde_json::from_str(&body).unwrap_or_else(|_| panic!("JSON: {body}")), retry)
}

#[test]
fn a_server_tells_what_it_is_and_did() {
    let server = start(ServeOptions::default());
    let told = |path: &str| -> Value {
        let (status, body) = get(&server, path);
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).expect("JSON")
    };
    assert_eq!(told("/v2")["name"], "itera");
    assert_eq!((told("/v2/health/live"), told("/v2/health/ready")), (json!({"live": true}), json!({"ready": true})));
    assert_eq!(told("/v2/models/stories/versions/1/ready"), json!({"name": "stories", "ready": true}));
    let model = told("/v2/models/stories");
    assert_eq!(
        (&model["versions"], &model["inputs"][0]),
        (&json!(["1"]), &json!({"name": "text_input", "datatype": "BYTES", "shape": [-1]}))
    );
    let config = told("/v2/models/stories/config");
    let names =
        |list: &Value| list.as_array().expect("a list").iter().map(|tensor| tensor["name"].clone()).collect::<Vec<_>>();
    assert_eq!(
        (names(&config["input"]), names(&config["output"])),
        (names(&model["inputs"]), names(&model["outputs"]))
    );
    assert_eq!(config["input"][1]["data_type"], "TYPE_UINT32");
    for body in ["", "{}", "{\"ready\": true}"] {
        let (status, index, _) = post(&server, "/v2/repository/index", body);
        let expected = json!([{"name": "stories", "version": "1", "state": "READY", "reason": ""}]);
        assert_eq!((status, serde_json::from_str(&index).expect("JSON")), (200, expected));
    }

    let fresh = &told("/v2/models/stories/stats")["model_stats"][0];
    assert_eq!((&fresh["inference_count"], &fresh["last_inference"]), (&json!(0), &json!(0)));
    answer(&server, &json!({"prompt": "The dog", "max_tokens": 5, "n": 3, "ignore_eos": true}));
    stream(&server, &json!({"prompt": "The cat", "max_tokens": 5, "stream": true, "ignore_eos": true}));
    let stats = &told("/v2/models/stats")["model_stats"][0];
    assert_eq!(
        (&stats["name"], &stats["version"], &stats["inference_count"]),
        (&json!("stories"), &json!("1"), &json!(4))
    );
    let inference = &stats["inference_stats"];
    for part in ["success", "queue", "compute_input", "compute_infer"] {
        assert_eq!(inference[part]["count"], 4, "{part}");
    }
    let ns = |part: &str| inference[part]["ns"].as_u64().expect("a count");
    let parts = ns("queue") + ns("compute_input") + ns("compute_infer");
    assert!(parts <= ns("success") && parts > ns("success") / 2, "{inference}");
    assert_eq!(inference["cancel"]["count"], 0);
    // the three share their steps
    let steps = stats["execution_count"].as_u64().expect("a count");
    assert!((10..20).contains(&steps), "{steps} steps");
    assert!(stats["last_inference"].as_u64() > Some(1_700_000_000_000));
}

#[test]
fn tensors_that_lie_are_refused() {
    let server = start(ServeOptions::default());
    let input = |changes: Value| {
        let mut input = json!({"name": "text_input", "shape": [1], "datatype": "BYTES", "data": ["a"]});
        input.as_object_mut().expect("an object").extend(changes.as_object().expect("an object").clone());
        json!({"inputs": [input]})
    };
    let refused = |request: Value, message: &str| {
        let (status, answer, _) = post_json(&server, INFER, &request);
        let said = refusal(status, 400, &answer);
        assert!(said.contains(message), "{message}: {said}");
    };
    refused(input(json!({"shape": [2]})), "its shape is [2], of 1 elements");
    refused(input(json!({"shape": []})), "its shape is []");
    refused(input(json!({"shape": [-1]})), "inputs[0].shape");
    refused(input(json!({"shape": [1_u64 << 63, 4]})), "its shape is");
    refused(input(json!({"shape": [1, 1_u64 << 32, 1_u64 << 32]})), "its shape is");
    refused(input(json!({"datatype": "FP16"})), "inputs[0].datatype");
    refused(input(json!({"datatype": "INT32"})), "no elements of type");
    refused(input(json!({"data": [3]})), "no elements of type");
    refused(input(json!({"data": null})), "expected `data` or `binary_data_size`");
    refused(input(json!({"parameters": {"binary_data_size": 1}})), "and not both");
    refused(input(json!({"parameters": {"shared_memory_region": "x"}})), "shared_memory_region");
    refused(input(json!({"name": "input_ids"})), "the model takes no such tensor");
    refused(input(json!({"contents": {}})), "contents");
    refused(
        input(json!({"name": "max_tokens", "datatype": "INT32", "shape": [2], "data": [1, 2]})),
        "expected one element",
    );
    refused(json!({"inputs": vec![input(json!({}))["inputs"][0].clone(); 10_000]}), "duplicate field `text_input`");
    refused(json!({}), "text_input: is missing");
    refused(input(json!({"shape": [0], "data": []})), "text_input: expected one text");
    let with = |more: Value| {
        let mut request = input(json!({}));
        request.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        request
    };
    refused(with(json!({"outputs": [{"name": "logits"}]})), "the model gives no such tensor");
    refused(with(json!({"outputs": [{"name": "text_output"}, {"name": "text_output"}]})), "wanted twice");
    refused(with(json!({"outputs": [{"name": "text_output", "parameters": {"classification": 3}}]})), "classification");
    refused(with(json!({"parameters": {"temperature": -1}})), "temperature: expected 0 to 1000");
    refused(with(json!({"parameters": {"text_input": "b"}})), "duplicate field `text_input`");
    refused(with(json!({"parameters": {"priority": 1}})), "priority: this server does not do that");
    refused(with(json!({"parameters": {"stream": true}})), "stream: this server does not do that");
    refused(with(json!({"parameters": {"sampling_parameters": "{\"a\": 1}"}})), "unknown field `a`");
    refused(with(json!({"parameters": {"sampling_parameters": "{"}})), "sampling_parameters: the body is not JSON");
    refused(with(json!({"parameters": {"max_tokens": 5000}})), "longest context is 4096");
    refused(with(json!({"parameters": {"n": u32::MAX}})), "n: expected 1 to 1024 texts in all");
    refused(with(json!({"model": "x"})), "unknown field `model`");
    refused(with(json!({"model_name": "x"})), "model_name: this server does not do that");

    let bytes_refused = |bytes: &[u8], size: Value, json_len: Option<&str>, message: &str| {
        let request = json!({"inputs": [{"name": "text_input", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": size}}]});
        let len = request.to_string().len().to_string();
        let (status, answer, _) = infer(&server, &request, bytes, json_len.unwrap_or(&len));
        let said = refusal(status, 400, &answer);
        assert!(said.contains(message), "{message}: {said}");
    };
    let whole = text_bytes("a");
    bytes_refused(&whole, json!(6), None, "6 bytes, of which the body has 5");
    bytes_refused(&whole, json!(u64::MAX), None, "of which the body has 5");
    bytes_refused(&whole, json!(-1), None, "binary_data_size");
    bytes_refused(&whole, json!(4), None, "no elements");
    bytes_refused(&[9, 0, 0, 0, 97], json!(5), None, "no elements");
    bytes_refused(&[1, 0, 0, 0, 0xff], json!(5), None, "no elements");
    bytes_refused(&[&whole[..], &whole].concat(), json!(5), None, "5 bytes of the body belong to no tensor");
    bytes_refused(&whole, json!(5), Some("1000"), "of which the body has");
    bytes_refused(&whole, json!(5), Some("-1"), "expected a number of bytes");
    bytes_refused(&whole, json!(5), Some("99999999999999999999999"), "expected a number of bytes");
    bytes_refused(&whole, json!(5), Some("x"), "expected a number of bytes");
    bytes_refused(&whole, json!(5), Some("3"), "the body is not JSON");
}

#[test]
fn what_is_not_there_is_said_in_the_words_of_the_surface() {
    let server = start(ServeOptions::default());
    let missing = |path: &str, expected: u16, message: &str| {
        let (status, body) = get(&server, path);
        let said = refusal(status, expected, &serde_json::from_str(&body).unwrap_or_else(|_| panic!("JSON: {body}")));
        assert!(said.contains(message), "{message}: {said}");
    };
    missing("/v2/models/other", 404, "there is no model \"other\"");
    missing("/v2/models/..%2fstories/ready", 404, "there is no model");
    missing("/v2/models/%00/ready", 404, "there is no model");
    missing("/v2/models/%ff/ready", 400, "");
    missing("/v2/models/stories/versions/2", 404, "no such version; there is 1");
    missing("/v2/models/stories/versions/-1/config", 404, "no such version");
    missing("/v2/models/stories/infer", 405, "takes no GET");
    missing("/v2/anything", 404, "nothing is served");
    missing(&format!("/v2/models/{}", "x".repeat(20_000)), 404, "there is no model");
    let (status, body, _) = post(&server, "/v2/repository/models/stories/load", "{}");
    refusal(status, 404, &serde_json::from_str(&body).expect("JSON"));
    for (path, request) in [
        ("/v2/models/stories/generate", json!({"text_input": "a", "stream": true})),
        ("/v2/models/stories/generate_stream", json!({"text_input": "a", "stream": false})),
        ("/v2/models/stories/generate_stream", json!({"text_input": "a", "n": 2})),
        ("/v2/models/stories/generate", json!({"text_input": "a", "seed": 1, "parameters": {"seed": 1}})),
        ("/v2/models/stories/generate", json!({"text_input": "a", "images": []})),
        ("/v2/models/stories/generate", json!({})),
    ] {
        let (status, answer, _) = post_json(&server, path, &request);
        refusal(status, 400, &answer);
    }
}

#[test]
fn a_body_may_be_compressed_but_is_no_longer_for_that() {
    let server = start(ServeOptions { body_bytes: 10_000, ..ServeOptions::default() });
    let request = json!({"prompt": "The dog", "max_tokens": 5}).to_string();
    let gzip = |body: &[u8]| {
        let mut encoder = GzEncoder::new(vec![], Compression::best());
        encoder.write_all(body).expect("written");
        encoder.finish().expect("whole")
    };
    let deflate = |body: &[u8]| {
        let mut encoder = ZlibEncoder::new(vec![], Compression::fast());
        encoder.write_all(body).expect("written");
        encoder.finish().expect("whole")
    };
    let send = |path: &str, encoding: &str, body: &[u8]| {
        let (status, _, body) = send_bytes(&server, path, &[("content-encoding", encoding)], body);
        (status, serde_json::from_slice::<Value>(&body).expect("JSON"))
    };
    let expected = answer(&server, &serde_json::from_str(&request).expect("JSON"));
    for (encoding, body) in [
        ("gzip", gzip(request.as_bytes())),
        ("GZIP", gzip(request.as_bytes())),
        ("deflate", deflate(request.as_bytes())),
        ("identity", request.as_bytes().to_vec()),
    ] {
        let (status, answer) = send("/v1/completions", encoding, &body);
        assert_eq!((status, &answer["choices"]), (200, &expected["choices"]), "{encoding}: {answer}");
    }
    let bomb = vec![b' '; 9_000_000];
    assert!(gzip(&bomb).len() < 10_000);
    assert_eq!(send("/v1/completions", "gzip", &gzip(&bomb)).0, 413);
    assert_eq!(send("/v1/completions", "deflate", &deflate(&[b' '; 10_001])).0, 413);
    assert_eq!(send("/v1/completions", "gzip", request.as_bytes()).0, 400);
    assert_eq!(send("/v1/completions", "gzip", &gzip(request.as_bytes())[..20]).0, 400);
    let (status, told) = send(INFER, "br", request.as_bytes());
    assert!(refusal(status, 415, &told).contains("gzip, deflate"));
}
