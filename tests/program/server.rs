//! `itera serve` as a process, and what comes over its sockets.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, ChildStderr, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::Workplace;

/// A server that is killed when it is dropped.
pub struct Running {
    child: Child,
    lines: BufReader<ChildStderr>,
    /// The first that it listens at, without `http://`.
    pub address: String,
}

impl Running {
    pub fn start(here: &Workplace, args: &[&str]) -> Self {
        Self::spawn(&mut here.command(&[&["serve", "--port", "0"], args].concat()))
    }

    /// The server that `command` becomes.
    pub fn spawn(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("it starts");
        let lines = BufReader::new(child.stderr.take().expect("standard error is piped"));
        let mut server = Self { child, lines, address: String::new() };
        while server.address.is_empty() {
            let line = server.line();
            assert_ne!(line, "", "it listens before it ends");
            if let Some((_, address)) = line.trim_end().split_once("listening at ") {
                server.address = address.strip_prefix("http://").unwrap_or(address).into();
            }
        }
        server
    }

    /// The next line that it says.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("UTF-8");
        line
    }

    /// The socket of a request of a completion that was sent.
    pub fn ask(&self, request: &Value) -> TcpStream {
        self.ask_at("/v1/completions", request)
    }

    pub fn ask_at(&self, path: &str, request: &Value) -> TcpStream {
        let body = request.to_string();
        let mut socket = TcpStream::connect(&self.address).expect("it listens");
        let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length");
        write!(socket, "{head}: {}\r\n\r\n{body}", body.len()).expect("sent");
        socket
    }

    pub fn answer(&self, request: &Value) -> Value {
        json_of(self.ask(request))
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it is there");
    }

    /// Its exit code, and its last words.
    pub fn end(mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        self.lines.read_to_string(&mut said).expect("UTF-8");
        (self.child.wait().expect("it ends").code(), said)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The rest of what comes over a socket, which may begin within a character.
pub fn rest(mut socket: impl Read) -> String {
    let mut response = vec![];
    socket.read_to_end(&mut response).expect("it ends");
    String::from_utf8_lossy(&response).into_owned()
}

pub fn json_of(socket: impl Read) -> Value {
    let response = rest(socket);
    let (head, body) = response.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200"), "{response}");
    serde_json::from_str(body).expect("JSON")
}

pub fn checkpoint() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("checkpoints/stories-75k.gguf").to_string_lossy().into_owned()
}
