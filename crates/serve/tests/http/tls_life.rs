//! Connections by TLS: new certificates, hostile clients, and the end.

use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use itera_serve::{ServeOptions, TlsError};
use rustls::{
    ClientConnection,
    pki_types::ServerName,
    version::{TLS12, TLS13},
};
use serde_json::{Value, json};

use crate::{
    secret::{Files, Stream, ask, client, connect, handshake, head, rest, secret, start},
    support::wait_until,
};

/// Lets clients end, also where a test fails.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

#[test]
fn certificates_change_under_load_and_no_request_is_lost() {
    let (files, first) = Files::with_one();
    let tls = files.read().expect("a pair");
    let server = start(&tls, ServeOptions::default());
    let (other, second) = Files::with_one();
    let read = |path: PathBuf| fs::read_to_string(path).expect("read");
    let pairs = [&files, &other].map(|files| (read(files.certificate()), read(files.key())));
    let roots = [first, second];
    let seen = || {
        let stream = connect(&Arc::new(client(&roots, &[&TLS13])), &server).expect("a connection");
        stream.conn.peer_certificates().expect("a certificate")[0].clone()
    };
    // one that stays open throughout
    let mut kept = connect(&Arc::new(client(&roots, &[&TLS13])), &server).expect("a connection");
    let (done, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for number in 0..4 {
            let (server, roots, done, answered) = (&server, &roots, &done, &answered);
            scope.spawn(move || {
                // each as a new client, and as one that comes back
                let known = Arc::new(client(roots, &[&TLS12, &TLS13]));
                while !done.load(SeqCst) {
                    let client = if number % 2 == 0 { known.clone() } else { Arc::new(client(roots, &[&TLS13])) };
                    let mut stream = connect(&client, server).expect("a connection");
                    let request = json!({"prompt": "The dog", "max_tokens": 3, "ignore_eos": true}).to_string();
                    let response = ask(&mut stream, "POST", "/v1/completions", &request).expect("a response");
                    assert!(response.starts_with("HTTP/1.1 200 OK"), "{response}");
                    answered.fetch_add(1, SeqCst);
                }
            });
        }
        let _done = Done(&done);
        for round in 0..40 {
            let (certificate, key) = &pairs[round % 2];
            files.write(certificate, key);
            tls.reload().expect("a pair");
            assert_eq!(seen(), roots[round % 2], "from now on");
            // a key that belongs to another certificate, a certificate that is written by half, and no key
            files.write(certificate, &pairs[1 - round % 2].1);
            assert!(matches!(tls.reload(), Err(TlsError::Mismatch { .. })));
            files.write(&certificate[..100], key);
            assert!(matches!(tls.reload(), Err(TlsError::Pem { .. })));
            fs::remove_file(files.key()).expect("removed");
            tls.reload().expect_err("no key");
            assert_eq!(seen(), roots[round % 2], "what was there stays");
        }
        wait_until("100 requests are answered", || answered.load(SeqCst) > 100);
    });
    let response = ask(&mut kept, "GET", "/version", "").expect("a response");
    assert!(response.starts_with("HTTP/1.1 200 OK"), "{response}");
}

#[test]
fn who_speaks_no_tls_or_too_slowly_holds_up_nobody() {
    let (files, root) = Files::with_one();
    let options = ServeOptions { request_time: Duration::from_millis(500), ..ServeOptions::default() };
    let server = start(&files.read().expect("a pair"), options);
    let client = Arc::new(client(&[root], &[&TLS13]));
    let check_alive = || {
        let began = Instant::now();
        let mut stream = connect(&client, &server).expect("a connection");
        let response = ask(&mut stream, "GET", "/version", "").expect("a response");
        assert!(response.starts_with("HTTP/1.1 200 OK"), "{response}");
        assert!(began.elapsed() < Duration::from_millis(400), "{:?}", began.elapsed());
    };
    // it is told so in the words of TLS: an alert that is fatal
    let plain = head("POST", "/v1/completions", "", 2) + "{}";
    for words in [plain.as_bytes(), b"\x00\xff\x00\xff\x00\xff\x00\xff", b"\x16\x03\x01\x00\x04\x01\x00\x00\x00"] {
        let mut socket = TcpStream::connect(secret(&server)).expect("it listens");
        socket.write_all(words).expect("sent");
        let mut response = vec![];
        // the end, or a connection that is reset since not all was read
        let _ = socket.read_to_end(&mut response);
        assert!(matches!(response[..], [21, 3, _, 0, 2, 2, _]), "{response:?}");
    }
    // hundreds that begin and wait, or go on a byte at a time
    let mut hello = vec![];
    let name = ServerName::try_from("localhost").expect("a name");
    ClientConnection::new(client.clone(), name).expect("a client").write_tls(&mut hello).expect("written");
    let began = Instant::now();
    let half: Vec<TcpStream> = (0..300)
        .map(|number| {
            let mut socket = TcpStream::connect(secret(&server)).expect("it listens");
            socket.write_all(&hello[..number % hello.len()]).expect("sent");
            socket
        })
        .collect();
    check_alive();
    let mut slow = TcpStream::connect(secret(&server)).expect("it listens");
    let sent = hello.iter().take_while(|byte| {
        thread::sleep(Duration::from_millis(20));
        slow.write_all(std::slice::from_ref(*byte)).is_ok()
    });
    assert!(sent.count() < hello.len(), "the connection has ended");
    for mut socket in half {
        let mut response = vec![];
        let _ = socket.read_to_end(&mut response);
        assert!(response.is_empty(), "a connection that ends: {response:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    // one whose handshake is done and that asks for nothing has the time of a head from then on
    let mut silent = connect(&client, &server).expect("a connection");
    silent.sock.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
    let error = rest(&mut silent).expect_err("its time is over");
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{error}");
    check_alive();
}

#[test]
fn what_was_asked_before_the_end_is_answered() {
    let (files, root) = Files::with_one();
    let server = start(&files.read().expect("a pair"), ServeOptions::default());
    let client = Arc::new(client(&[root], &[&TLS13]));
    let request = |stream: bool| {
        json!({"prompt": "The dog", "max_tokens": 3000, "ignore_eos": true, "stream": stream}).to_string()
    };
    let text = |response: String| -> Value {
        let (head, body) = response.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 200"), "{response}");
        serde_json::from_str::<Value>(body).expect("JSON")["choices"][0]["text"].clone()
    };
    let ask_all = |mut stream: Stream| ask(&mut stream, "POST", "/v1/completions", &request(false));
    let expected = text(ask_all(connect(&client, &server).expect("a connection")).expect("a response"));
    let mut idle = connect(&client, &server).expect("a connection");
    let mut streamed = connect(&client, &server).expect("a connection");
    let body = request(true);
    let asked = head("POST", "/v1/completions", "Connection: close\r\n", body.len()) + &body;
    streamed.write_all(asked.as_bytes()).expect("sent");
    streamed.read_exact(&mut [0; 400]).expect("it begins");
    let under_way: Vec<_> = (0..4)
        .map(|_| {
            let mut stream = connect(&client, &server).expect("a connection");
            let body = request(false);
            let asked = head("POST", "/v1/completions", "Connection: close\r\n", body.len()) + &body;
            stream.write_all(asked.as_bytes()).expect("sent");
            stream
        })
        .collect();
    let address = secret(&server);
    // one that never goes on, and one whose handshake begins when the server has begun to end
    let half = TcpStream::connect(address).expect("it listens");
    let late = TcpStream::connect(address).expect("it listens");
    let began = Instant::now();
    let ending = thread::spawn(move || server.drain(Duration::from_secs(60)));
    thread::sleep(Duration::from_millis(300));
    let late = handshake(&client, late).expect("a handshake is still answered");
    let told = ask_all(late).expect("a response");
    assert!(told.starts_with("HTTP/1.1 503") && told.contains("retry-after: 1"), "{told}");
    for mut stream in under_way {
        assert_eq!(text(rest(&mut stream).expect("the end, as TLS has it")), expected);
    }
    assert!(rest(&mut streamed).expect("the end, as TLS has it").contains("data: [DONE]"));
    assert_eq!(rest(&mut idle).expect("the end, as TLS has it"), "");
    assert!(ending.join().expect("no panic"), "all was answered");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    drop(half);
    TcpStream::connect(address).expect_err("nothing listens any more");
}

#[test]
fn one_that_never_goes_on_holds_up_the_end_for_a_second() {
    let (files, root) = Files::with_one();
    let server = start(&files.read().expect("a pair"), ServeOptions::default());
    connect(&Arc::new(client(&[root], &[&TLS13])), &server).expect("a connection");
    let _half = TcpStream::connect(secret(&server)).expect("it listens");
    thread::sleep(Duration::from_millis(100));
    let began = Instant::now();
    assert!(server.drain(Duration::from_secs(60)));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}
