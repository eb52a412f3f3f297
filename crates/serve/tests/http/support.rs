//! A server on a socket, and its clients.

use std::{
    io::Write,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
};

use itera_runtime::OpenOptions;
use itera_serve::{Address, Loaded, ServeOptions, Server};
use serde_json::Value;

pub fn checkpoint() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../checkpoints/stories-75k.gguf")
}

pub fn start(options: ServeOptions) -> Server {
    let model = Loaded::open("stories", &checkpoint(), &OpenOptions::default()).expect("the checkpoint opens");
    let address = Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)));
    let options = ServeOptions { addresses: vec![address], ..options };
    Server::start(vec![model], &options).expect("it starts")
}

/// Status and body of the response to `body`, and when to try again.
pub fn post(server: &Server, path: &str, body: &str) -> (u16, String, Option<String>) {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut response = agent.post(format!("{}{path}", server.addresses()[0])).send(body).expect("a response");
    let retry = response.headers().get("retry-after").map(|value| value.to_str().expect("ASCII").to_owned());
    (response.status().as_u16(), response.body_mut().read_to_string().expect("a body"), retry)
}

#[track_caller]
pub fn answer(server: &Server, request: &Value) -> Value {
    let (status, body, _) = post(server, "/v1/completions", &request.to_string());
    assert_eq!(status, 200, "{request}: {body}");
    serde_json::from_str(&body).expect("JSON")
}

/// The events of a stream, and the whole of the texts that they tell, choice by choice.
#[track_caller]
pub fn stream(server: &Server, request: &Value) -> (Vec<Value>, Vec<String>) {
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

pub fn tcp(server: &Server) -> SocketAddr {
    match &server.addresses()[0] {
        Address::Tcp(address) => *address,
        other => panic!("{other}"),
    }
}

/// Send a request that is not awaited.
pub fn send(server: &Server, request: &Value) -> TcpStream {
    let mut socket = TcpStream::connect(tcp(server)).expect("it listens");
    let body = request.to_string();
    let len = body.len();
    write!(socket, "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len}\r\n\r\n{body}").expect("sent");
    socket
}
