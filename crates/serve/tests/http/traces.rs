//! Spans, as a collector gets them.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use itera_serve::{LogTarget, ServeError, ServeOptions};
use itera_testkit::chain;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::{Span, span::SpanKind},
};
use prost::Message;
use serde_json::{Value as Json, json};

use crate::support::{send_bytes, start};

/// A collector, which answers `status`, and what it gets.
fn collector(status: &'static str) -> (String, Receiver<(String, ExportTraceServiceRequest)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/v1/traces", listener.local_addr().expect("an address"));
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.expect("a connection"));
            loop {
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") && stream.read_line(&mut head).is_ok_and(|len| len > 0) {}
                let len =
                    head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
                let Some(len) = len else { break };
                let mut body = vec![0; len];
                stream.read_exact(&mut body).expect("a body");
                let request = ExportTraceServiceRequest::decode(&body[..]).expect("a message");
                // before the answer, behind which a server may end
                let _ = sender.send((head, request));
                write!(stream.get_mut(), "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").expect("sent");
            }
        }
    });
    (url, receiver)
}

fn value(attributes: &[KeyValue], key: &str) -> Option<Value> {
    attributes.iter().find(|attribute| attribute.key == key)?.value.clone()?.value
}

/// The spans that a server tells of `requests`, each a path, a `traceparent` and a body, and the lines of its access log.
fn traced(requests: &[(&str, &str, Json)]) -> (Vec<Span>, Vec<Json>) {
    let (url, told) = collector("200 OK");
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("log");
    let access_log = Some(LogTarget::File(log.clone()));
    let server = start(ServeOptions { traces: Some(url), access_log, ..ServeOptions::default() });
    for (path, parent, body) in requests {
        let headers = [("traceparent", *parent), ("x-request-id", "mine")];
        let headers = &headers[usize::from(parent.is_empty())..];
        send_bytes(&server, path, headers, body.to_string().as_bytes());
    }
    // what was not told yet is told
    assert!(server.drain(Duration::from_secs(30)));
    let mut spans = vec![];
    while let Ok((head, request)) = told.try_recv() {
        assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
        for of_resource in request.resource_spans {
            let resource = of_resource.resource.expect("a resource").attributes;
            assert_eq!(value(&resource, "service.name"), Some(Value::StringValue("itera".into())));
            spans.extend(of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
        }
    }
    let lines = fs::read_to_string(log).expect("a log");
    (spans, lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect())
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_request_is_a_span_of_its_clients_trace() {
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let body = json!({"prompt": "The dog", "max_tokens": 5, "ignore_eos": true});
    let (spans, lines) = traced(&[("/v1/completions", parent, body)]);
    let [span] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!(hex(&span.trace_id), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(hex(&span.parent_span_id), "b7ad6b7169203331");
    assert_eq!((&*span.name, span.kind), ("POST /v1/completions", SpanKind::Server as i32));
    assert!(span.end_time_unix_nano > span.start_time_unix_nano);
    let text = |text: &str| Some(Value::StringValue(text.into()));
    let found = |key: &str| value(&span.attributes, key);
    assert_eq!(found("http.request.method"), text("POST"));
    assert_eq!(found("http.route"), text("/v1/completions"));
    assert_eq!(found("http.response.status_code"), Some(Value::IntValue(200)));
    assert_eq!(found("gen_ai.response.model"), text("stories"));
    assert_eq!(found("gen_ai.usage.output_tokens"), Some(Value::IntValue(5)));
    assert_eq!(found("gen_ai.usage.input_tokens"), lines[0]["prompt_tokens"].as_i64().map(Value::IntValue));
    assert_eq!(found("itera.request_id"), text("mine"));
    assert_eq!(found("itera.client_left"), Some(Value::BoolValue(false)));
    assert!(matches!(found("itera.time_to_first_byte"), Some(Value::DoubleValue(seconds)) if seconds > 0.0));
    assert_eq!(found("error.type"), None);
    assert_eq!(span.status.as_ref().map_or(0, |status| status.code), 0, "no error");
}

#[test]
fn traces_begin_here_where_no_client_has_one_and_are_left_out_where_it_says_so() {
    let not_sampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    let body = json!({"input": "The dog"});
    let no_trace = "00-00000000000000000000000000000000-b7ad6b7169203331-01";
    let requests = ["", not_sampled, no_trace].map(|parent| ("/v1/embeddings", parent, body.clone()));
    let (spans, lines) = traced(&requests);
    let [first, second] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!(lines.len(), 3);
    for (span, line) in [(first, &lines[0]), (second, &lines[2])] {
        assert_eq!(line["trace_id"], hex(&span.trace_id));
        assert_eq!(span.parent_span_id, [0_u8; 0]);
    }
    assert_eq!(lines[1]["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    assert_ne!(first.trace_id, second.trace_id);
}

#[test]
fn answers_wait_for_no_collector() {
    // one that is there and refuses, and one that is not there
    let (refuses, _told) = collector("503 Service Unavailable");
    for url in [refuses, "http://127.0.0.1:9/v1/traces".into()] {
        let server = start(ServeOptions { traces: Some(url), ..ServeOptions::default() });
        let (status, ..) = send_bytes(&server, "/v1/completions", &[], br#"{"prompt": "The dog", "max_tokens": 5}"#);
        assert_eq!(status, 200);
        assert!(server.drain(Duration::from_secs(30)));
    }
}

#[test]
fn a_url_that_is_none_is_an_error() {
    for (url, words) in
        [("127.0.0.1:4318", "expected http://"), ("http://a b/", "invalid"), ("ftp://x/", "expected http")]
    {
        let options = ServeOptions { addresses: vec![], traces: Some(url.into()), ..ServeOptions::default() };
        let error: ServeError = itera_serve::Server::start(crate::support::stories(), &options).expect_err("no URL");
        assert!(chain(&error).contains(words), "{}", chain(&error));
    }
}
