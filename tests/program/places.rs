//! `itera serve`: where it listens, by TLS, and as a service of systemd.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    os::{
        fd::OwnedFd,
        unix::{
            fs::PermissionsExt,
            net::{UnixDatagram, UnixListener, UnixStream},
        },
    },
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use itera_testkit::skip;
use rcgen::generate_simple_self_signed;
use rustix::process::Signal;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, ServerName},
};
use serde_json::json;

use crate::{
    server::{Running, checkpoint, json_of},
    support::Workplace,
};

const VERSION: &str = "GET /version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// Ask which version the server is, which it says.
#[track_caller]
fn check(mut socket: impl Read + Write) {
    socket.write_all(VERSION.as_bytes()).expect("sent");
    assert_eq!(json_of(socket)["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn it_listens_at_several_addresses() {
    let here = Workplace::new();
    if TcpListener::bind("[::1]:0").is_err() {
        return skip("no IPv6");
    }
    let hosts = ["--host", "127.0.0.1", "--host", "[::1]", "--host", "127.0.0.2"];
    let mut server = Running::start(&here, &[&[&*checkpoint(), "--unix", "a", "--unix", "b"], &hosts[..]].concat());
    check(TcpStream::connect(&server.address).expect("it listens"));
    for host in ["http://[::1]:", "http://127.0.0.2:", "unix:a", "unix:b"] {
        let said = server.line();
        let address = said.trim_end().strip_prefix("listening at ").expect("an address");
        assert!(address.starts_with(host), "{host}: {address}");
        match address.split_once("http://") {
            Some((_, address)) => check(TcpStream::connect(address).expect("it listens")),
            None => check(UnixStream::connect(here.path(&address["unix:".len()..])).expect("it listens")),
        }
    }
    server.signal(Signal::TERM);
    assert_eq!(server.end().0, Some(0));
    assert!(!here.path("a").exists() && !here.path("b").exists());
    let error = here.fails(2, &["serve", &checkpoint(), "--host", "[::1"]);
    assert!(error.contains("invalid value '[::1' for '--host <IP>'"), "{error}");
}

/// A certificate for `localhost` in `cert.pem` and its key in `key.pem`, which its owner alone may read.
fn certify(here: &Workplace) -> CertificateDer<'static> {
    let made = generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    fs::write(here.path("cert.pem"), made.cert.pem()).expect("written");
    fs::write(here.path("key.pem"), made.signing_key.serialize_pem()).expect("written");
    fs::set_permissions(here.path("key.pem"), fs::Permissions::from_mode(0o600)).expect("set");
    made.cert.into()
}

/// A connection to a server that has the certificate.
fn secret(root: &CertificateDer<'static>, address: &str) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).expect("a root");
    let client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let address = address.strip_prefix("https://").expect("an address by TLS");
    let socket = TcpStream::connect(address).expect("it listens");
    StreamOwned::new(ClientConnection::new(Arc::new(client), name).expect("a client"), socket)
}

#[test]
fn certificates_are_read_again_at_sighup() {
    let here = Workplace::new();
    let first = certify(&here);
    let tls = ["--tls-cert", "cert.pem", "--tls-key", "key.pem"];
    let mut server =
        Running::start(&here, &[&[&*checkpoint(), "--unix", "plain", "--host", "127.0.0.1"], &tls[..]].concat());
    assert_eq!(server.line(), "listening at unix:plain\n");
    check(secret(&first, &server.address));
    check(UnixStream::connect(here.path("plain")).expect("it listens"));

    let second = certify(&here);
    server.signal(Signal::HUP);
    assert_eq!(server.line(), "the certificate is read again\n");
    check(secret(&second, &server.address));
    secret(&first, &server.address).write_all(b"GET").expect_err("another certificate");

    let other = Workplace::new();
    certify(&other);
    fs::copy(other.path("key.pem"), here.path("key.pem")).expect("copied");
    fs::set_permissions(here.path("key.pem"), fs::Permissions::from_mode(0o644)).expect("set");
    server.signal(Signal::HUP);
    let said = server.line();
    assert!(said.contains("the certificate stays what it was: the private key in key.pem is not that of"), "{said}");
    assert!(server.line().starts_with("hint: take the key that the certificate was made for"));
    assert!(server.line().contains("warning: others than its owner may read or write key.pem"));
    check(secret(&second, &server.address));

    // what is under way is answered
    let request = json!({"prompt": "The dog", "max_tokens": 3000, "ignore_eos": true}).to_string();
    let mut asked = secret(&second, &server.address);
    let head = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length";
    write!(asked, "{head}: {}\r\n\r\n{request}", request.len()).expect("sent");
    asked.flush().expect("sent");
    server.signal(Signal::TERM);
    assert_eq!(json_of(asked)["usage"]["completion_tokens"], 3000);
    assert_eq!(server.end().0, Some(0));

    let fails = |code, args: &[&str], said: &str, hint: &str| {
        let error = here.fails(code, &[&["serve", &*checkpoint(), "--port", "0"], args].concat());
        assert!(error.contains(said) && error.contains(hint), "{args:?}: {error}");
    };
    fails(1, &tls, "key.pem is not that of the first certificate in cert.pem", "hint: take the key");
    fails(1, &["--tls-cert", "none", "--tls-key", "key.pem"], "cannot read none", "No such file");
    fails(1, &["--tls-cert", "key.pem", "--tls-key", "key.pem"], "no certificate in key.pem", "BEGIN CERTIFICATE");
    fails(1, &["--tls-cert", "cert.pem", "--tls-key", "cert.pem"], "no private key in cert.pem", "BEGIN PRIVATE KEY");
    fails(2, &["--tls-cert", "cert.pem"], "required arguments were not provided", "--tls-key");
    fails(2, &["--tls-key", "key.pem"], "required arguments were not provided", "--tls-cert");
}

/// `itera serve` as systemd starts it that hands sockets over: from file descriptor 3 on.
fn handed_over<const N: usize>(here: &Workplace, sockets: [OwnedFd; N], args: &[&str]) -> Command {
    let mut command = Command::new("sh");
    let script = "export LISTEN_PID=${PID:-$$} LISTEN_FDS=$N; exec \"$0\" serve \"$@\" 3<&0 4<&1 </dev/null >/dev/null";
    command.args(["-c", script, env!("CARGO_BIN_EXE_itera"), &checkpoint()]).args(args);
    command.current_dir(here.path("")).env("N", N.to_string());
    let mut sockets = sockets.into_iter().map(Stdio::from);
    command.stdin(sockets.next().expect("one or two")).stdout(sockets.next().unwrap_or_else(Stdio::null));
    assert!(sockets.next().is_none());
    command
}

#[test]
fn sockets_that_are_handed_over_outlive_the_server() {
    let here = Workplace::new();
    let tcp = TcpListener::bind("127.0.0.1:0").expect("bound");
    let unix = UnixListener::bind(here.path("itera.sock")).expect("bound");
    let address = tcp.local_addr().expect("an address");
    let start = |args: &[&str]| {
        let sockets = [tcp.try_clone().expect("another").into(), unix.try_clone().expect("another").into()];
        let mut server = Running::spawn(&mut handed_over(&here, sockets, args));
        assert!(server.line().starts_with("listening at unix:"));
        server
    };
    let ask = || -> std::io::Result<String> {
        let mut socket = TcpStream::connect(address)?;
        socket.write_all(VERSION.as_bytes())?;
        let mut response = String::new();
        socket.read_to_string(&mut response)?;
        Ok(response)
    };
    // who comes before there is a server waits for it
    let mut early = TcpStream::connect(address).expect("it listens");
    early.write_all(VERSION.as_bytes()).expect("sent");
    let server = start(&[]);
    assert_eq!(server.address, address.to_string());
    assert_eq!(json_of(early)["version"], env!("CARGO_PKG_VERSION"));
    check(UnixStream::connect(here.path("itera.sock")).expect("it listens"));

    // no connection is lost while servers come and go
    let done = AtomicBool::new(false);
    let server = thread::scope(|scope| {
        let mut server = server;
        let asking = scope.spawn(|| {
            let mut answered = 0;
            while !done.load(SeqCst) {
                let response = ask().expect("a response");
                // of one that was on its way as the server ended, that it did
                let is_answered = response.starts_with("HTTP/1.1 200");
                assert!(is_answered || response.starts_with("HTTP/1.1 503"), "{response}");
                answered += usize::from(is_answered);
            }
            answered
        });
        for _ in 0..3 {
            thread::sleep(Duration::from_millis(200));
            server.signal(Signal::TERM);
            assert_eq!(server.end().0, Some(0));
            thread::sleep(Duration::from_millis(200));
            server = start(&[]);
        }
        done.store(true, SeqCst);
        assert!(asking.join().expect("no panic") > 10);
        server
    });
    server.signal(Signal::TERM);
    assert_eq!(server.end().0, Some(0));
    assert!(here.path("itera.sock").exists(), "it is not the server's");

    let root = certify(&here);
    let server = start(&["--tls-cert", "cert.pem", "--tls-key", "key.pem"]);
    check(secret(&root, &server.address));
    check(UnixStream::connect(here.path("itera.sock")).expect("it listens"));
}

#[test]
fn what_cannot_be_served_of_what_was_handed_over_is_refused() {
    let here = Workplace::new();
    let tcp = || -> OwnedFd { TcpListener::bind("127.0.0.1:0").expect("bound").into() };
    let fails = |mut command: Command, said: &str| {
        // where it served them all the same, it would still end
        let output = command.args(["--access-log", "/dev/null/none"]).output().expect("it starts");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && error.contains(said), "{said}: {error}");
    };
    for place in [["--port", "9000"], ["--host", "127.0.0.1"], ["--unix", "s"]] {
        fails(handed_over(&here, [tcp()], &place), "--host, --port and --unix name others\nhint: leave these out");
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let connection = TcpStream::connect(listener.local_addr().expect("an address")).expect("it listens");
    let second = "socket 2 of those that were handed over is no stream that listens";
    fails(handed_over(&here, [tcp(), connection.into()], &[]), second);
    fails(handed_over(&here, [tcp(), UdpSocket::bind("127.0.0.1:0").expect("bound").into()], &[]), second);
    fails(handed_over(&here, [tcp(), fs::File::open("/dev/null").expect("opened").into()], &[]), second);
    // what is another process's is none of ours
    let server = Running::spawn(handed_over(&here, [tcp()], &["--port", "0"]).env("PID", "1"));
    check(TcpStream::connect(&server.address).expect("it listens"));
}

#[test]
fn a_manager_is_told_what_the_server_does() {
    let here = Workplace::new();
    let manager = UnixDatagram::bind(here.path("notify")).expect("bound");
    manager.set_read_timeout(Some(Duration::from_secs(60))).expect("set");
    let told = || {
        let mut message = [0; 1000];
        let len = manager.recv(&mut message).expect("a message");
        String::from_utf8_lossy(&message[..len]).into_owned()
    };
    certify(&here);
    let args = ["serve", &*checkpoint(), "--port", "0", "--tls-cert", "cert.pem", "--tls-key", "key.pem"];
    let server = Running::spawn(here.command(&args).env("NOTIFY_SOCKET", here.path("notify")));
    assert_eq!(told(), "READY=1\n");
    server.signal(Signal::HUP);
    assert!(told().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert_eq!(told(), "READY=1\n");
    server.signal(Signal::TERM);
    assert_eq!(told(), "STOPPING=1\n");
    assert_eq!(server.end().0, Some(0));
}
