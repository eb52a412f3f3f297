//! A server on a socket, and its clients.

use std::{
    io::Write,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    time::Duration,
};

use itera_fixtures::noise;
use itera_formats::hf::write_model_dir;
use itera_kernels::quant::Kind;
use itera_serve::{Address, ModelSource, ServeOptions, Server};
use itera_shape::{ModelConfig, NamedTensor, TensorRef};
use itera_tokenizer::Tokenizer;
use serde_json::Value;

pub fn checkpoints() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../checkpoints")
}

pub fn checkpoint() -> PathBuf {
    checkpoints().join("stories-75k.gguf")
}

/// The model of most servers.
pub fn stories() -> Vec<ModelSource> {
    vec![ModelSource::new("stories", checkpoint())]
}

pub fn start(options: ServeOptions) -> Server {
    Server::start(stories(), &anywhere(options)).expect("it starts")
}

/// A server of a model whose directory has `files` beside its own.
pub fn with_files(files: &[(&str, &str)]) -> Server {
    let dir = tempfile::tempdir().expect("a directory");
    write_noise(dir.path(), |_| {});
    for (name, contents) in files {
        std::fs::write(dir.path().join(name), contents).expect("written");
    }
    let noise = vec![ModelSource::new("noise", dir.path())];
    Server::start(noise, &anywhere(ServeOptions::default())).expect("it starts")
}

/// A small model of bytes without training, in a directory of its own.
pub fn write_noise(dir: &Path, change: impl FnOnce(&mut ModelConfig)) {
    let mut config =
        ModelConfig { vocab_size: 258, d_model: 32, d_state: 4, d_head: 8, n_layers: 3, ..ModelConfig::default() };
    change(&mut config);
    let tensors = noise(&config);
    let tensors: Vec<TensorRef<'_>> = tensors.iter().map(NamedTensor::as_ref).collect();
    let tokenizer = Tokenizer::byte();
    write_model_dir(dir, &config, &tokenizer.special_ids(), &tensors, Kind::F32).expect("written");
    tokenizer.write_dir(dir, 1000).expect("written");
}

/// The same options, at any free port.
pub fn anywhere(options: ServeOptions) -> ServeOptions {
    let address = Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)));
    ServeOptions { addresses: vec![address], ..options }
}

/// Status and body of the response to `body`, and when to try again.
pub fn post(server: &Server, path: &str, body: &str) -> (u16, String, Option<String>) {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut response = agent.post(format!("{}{path}", server.addresses()[0])).send(body).expect("a response");
    let retry = response.headers().get("retry-after").map(|value| value.to_str().expect("ASCII").to_owned());
    (response.status().as_u16(), response.body_mut().read_to_string().expect("a body"), retry)
}

/// Status and body of the response to a `GET`.
pub fn get(server: &Server, path: &str) -> (u16, String) {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut response = agent.get(format!("{}{path}", server.addresses()[0])).call().expect("a response");
    (response.status().as_u16(), response.body_mut().read_to_string().expect("a body"))
}

/// Status, headers and body of the response to `body`, which is sent as it is.
pub fn send_bytes(
    server: &Server,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> (u16, ureq::http::HeaderMap, Vec<u8>) {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let request = agent.post(format!("{}{path}", server.addresses()[0]));
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let mut response = request.send(body).expect("a response");
    let body = response.body_mut().read_to_vec().expect("a body");
    (response.status().as_u16(), response.headers().clone(), body)
}

#[track_caller]
pub fn answer(server: &Server, request: &Value) -> Value {
    ask(server, "/v1/completions", request)
}

/// The answer to a request that is answered.
#[track_caller]
pub fn ask(server: &Server, path: &str, request: &Value) -> Value {
    let (status, body, _) = post(server, path, &request.to_string());
    assert_eq!(status, 200, "{request}: {body}");
    serde_json::from_str(&body).expect("JSON")
}

/// The data of each event.
#[track_caller]
pub fn data(events: &str) -> Vec<Value> {
    let events = events.split_terminator("\n\n").map(|event| event.strip_prefix("data: ").expect("an event"));
    events.map(|event| serde_json::from_str(event).expect("JSON")).collect()
}

/// The events of a stream, and the whole of the texts that they tell, choice by choice.
#[track_caller]
pub fn stream(server: &Server, request: &Value) -> (Vec<Value>, Vec<String>) {
    let (status, body, _) = post(server, "/v1/completions", &request.to_string());
    assert_eq!(status, 200, "{request}: {body}");
    let events = data(body.strip_suffix("data: [DONE]\n\n").expect("a stream says that it is done"));
    let mut texts: Vec<String> = vec![];
    for choice in events.iter().flat_map(|event| event["choices"].as_array().expect("choices")) {
        let index = choice["index"].as_u64().expect("an index") as usize;
        texts.resize(texts.len().max(index + 1), String::new());
        texts[index] += choice["text"].as_str().expect("a text");
    }
    (events, texts)
}

pub fn tcp(server: &Server) -> SocketAddr {
    match &server.addresses()[0] {
        Address::Tcp(address) => *address,
        other => panic!("{other}"),
    }
}

/// Send a request of a completion that is not awaited.
pub fn send(server: &Server, request: &Value) -> TcpStream {
    send_to(server, "/v1/completions", request)
}

/// Send a request that is not awaited.
pub fn send_to(server: &Server, path: &str, request: &Value) -> TcpStream {
    let mut socket = TcpStream::connect(tcp(server)).expect("it listens");
    let body = request.to_string();
    let len = body.len();
    write!(socket, "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len}\r\n\r\n{body}").expect("sent");
    socket
}

/// What is counted under `name`, of the only model.
#[track_caller]
pub fn counted(server: &Server, name: &str, label: &str) -> u64 {
    let text = get(server, "/metrics").1;
    let name = format!("{name}{{model=\"stories\",model_name=\"stories\"{label}}} ");
    let found = text.lines().find_map(|line| line.strip_prefix(&name));
    found.unwrap_or_else(|| panic!("{name} in {text}")).parse().expect("a count")
}

#[track_caller]
pub fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let is_so = (0..3000).any(|_| {
        is_so() || {
            std::thread::sleep(Duration::from_millis(10));
            false
        }
    });
    assert!(is_so, "{what}, not in half a minute");
}
