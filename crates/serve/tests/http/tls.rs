//! Connections by TLS: what they answer, and by which certificates.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::PathBuf,
    sync::Arc,
    time::Instant,
};

use itera_serve::{Address, ServeOptions, Server};
use itera_testkit::chain;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};
use rustls::{
    HandshakeKind,
    pki_types::CertificateDer,
    version::{TLS12, TLS13},
};
use serde_json::{Value, json};

use crate::secret::{Files, ask, client, connect, head, pem, rest, start};

/// An RSA key of 2048 bits, as PKCS #8.
const RSA: &str = include_str!("rsa.pem");

/// A response without what tells of time and of the request itself.
fn timeless(response: &str) -> String {
    let keys = ["date: ", "x-request-id: "];
    let lines = response.lines().filter(|line| !keys.iter().any(|key| line.starts_with(key)));
    let mut text = lines.collect::<Vec<_>>().join("\n");
    for key in ["\"id\":\"", "\"created\":"] {
        let mut parts = text.split(key);
        let first = parts.next().unwrap_or_default().to_owned();
        text = parts.fold(first, |text, part| {
            let end = part.find(['"', ',']).unwrap_or(part.len());
            text + key + &part[end..]
        });
    }
    text
}

#[test]
fn answers_are_those_of_plain_connections() {
    let (files, root) = Files::with_one();
    // nothing is told to be known from before
    let options = ServeOptions { cache_bytes: 0, ..ServeOptions::default() };
    let server = start(&files.read().expect("a pair"), options);
    assert!(server.addresses()[0].to_string().starts_with("https://127.0.0.1:"));
    let Address::Tcp(plain) = server.addresses()[1] else { panic!("{:?}", server.addresses()) };
    let long = json!({"prompt": "The dog ".repeat(20_000), "max_tokens": 1});
    let text = json!({"prompt": "The dog", "max_tokens": 40, "n": 2, "seed": 7, "logprobs": 3});
    let requests = [
        ("GET", "/", String::new(), "200 OK"),
        ("GET", "/openapi.json", String::new(), "200 OK"),
        ("GET", "/nothing", String::new(), "404 Not Found"),
        ("POST", "/v1/completions", text.to_string(), "200 OK"),
        ("POST", "/v1/completions", long.to_string(), "400 Bad Request"),
        ("POST", "/v1/embeddings", json!({"input": ["The dog", "A cat"]}).to_string(), "200 OK"),
    ];
    for version in [&TLS12, &TLS13] {
        let client = Arc::new(client(std::slice::from_ref(&root), &[version]));
        for (method, path, body, status) in &requests {
            let mut stream = connect(&client, &server).expect("a connection");
            assert_eq!(stream.conn.protocol_version(), Some(version.version));
            let found = ask(&mut stream, method, path, body).expect("a response");
            let mut stream = TcpStream::connect(plain).expect("it listens");
            let expected = ask(&mut stream, method, path, body).expect("a response");
            assert!(found.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{path}: {found}");
            assert_eq!(timeless(&found), timeless(&expected), "{path}");
        }
    }
    // a text as it is written, of which the first piece comes before the last is there
    let client = Arc::new(client(&[root], &[&TLS13]));
    let request = json!({"prompt": "The dog", "max_tokens": 3000, "ignore_eos": true, "stream": true, "seed": 1});
    let mut stream = connect(&client, &server).expect("a connection");
    let body = request.to_string();
    let asked = head("POST", "/v1/completions", "Connection: close\r\n", body.len()) + &body;
    stream.write_all(asked.as_bytes()).expect("sent");
    let began = Instant::now();
    let mut first = [0; 400];
    stream.read_exact(&mut first).expect("it begins");
    let until_first = began.elapsed();
    let events = rest(&mut stream).expect("it ends");
    assert!(until_first < began.elapsed() / 2, "{until_first:?} of {:?}", began.elapsed());
    let texts = |events: &str| -> String {
        let events = events.lines().filter_map(|line| line.strip_prefix("data: {"));
        let events = events.map(|event| serde_json::from_str(&format!("{{{event}")).expect("JSON"));
        events.map(|event: Value| event["choices"][0]["text"].as_str().expect("a text").to_owned()).collect()
    };
    let events = String::from_utf8_lossy(&first).into_owned() + &events;
    assert!(events.contains("data: [DONE]"));
    let mut whole = request.clone();
    whole["stream"] = json!(false);
    let mut stream = connect(&client, &server).expect("a connection");
    let whole = ask(&mut stream, "POST", "/v1/completions", &whole.to_string()).expect("a response");
    let whole: Value = serde_json::from_str(whole.split_once("\r\n\r\n").expect("a head").1).expect("JSON");
    assert_eq!(json!(texts(&events)), whole["choices"][0]["text"]);
}

/// The private key within PKCS #8, which begins `at` so many bytes.
fn inner(key: &KeyPair, at: usize) -> Vec<u8> {
    let inner = &key.serialized_der()[at..];
    assert_eq!(inner[0], 0x30, "a sequence");
    inner.to_vec()
}

#[test]
fn keys_of_every_kind_are_taken_and_chains_are_sent() {
    let p256 = KeyPair::generate().expect("a key");
    let rsa = KeyPair::from_pem(RSA).expect("a key");
    let files = Files::new();
    let params = CertificateParams::new(["localhost".to_owned()]).expect("parameters");
    let server = |files: &Files| start(&files.read().expect("a pair"), ServeOptions::default());
    let check = |root: &CertificateDer<'static>, server: &Server| {
        for version in [&TLS12, &TLS13] {
            let client = Arc::new(client(std::slice::from_ref(root), &[version]));
            let mut stream = connect(&client, server).expect("a connection");
            let response = ask(&mut stream, "GET", "/version", "").expect("a response");
            assert!(response.starts_with("HTTP/1.1 200 OK"), "{response}");
        }
    };
    let pkcs8 = |key: &KeyPair| key.serialize_pem();
    for (key, written) in [
        (&p256, pkcs8(&p256)),
        (
            &p256,
            pem("EC PARAMETERS", b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07")
                + &pem("EC PRIVATE KEY", &inner(&p256, 29)),
        ),
        (&rsa, pkcs8(&rsa)),
        (&rsa, pem("RSA PRIVATE KEY", &inner(&rsa, 26))),
        (&KeyPair::generate_for(&PKCS_ED25519).expect("a key"), String::new()),
        (&KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).expect("a key"), String::new()),
    ] {
        let certificate = params.self_signed(key).expect("a certificate");
        files.write(&certificate.pem(), if written.is_empty() { pkcs8(key) } else { written }.as_str());
        check(certificate.der(), &server(&files));
        // both in one file, the key first
        let both = fs::read_to_string(files.key()).expect("read") + &certificate.pem();
        files.write(&both, &both);
        files.read().expect("a pair");
    }

    // a root, whom clients know, has signed another, which has signed ours
    let signer = |params: &mut CertificateParams| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let mut of_root = CertificateParams::new(vec![]).expect("parameters");
    signer(&mut of_root);
    let root_key = KeyPair::generate().expect("a key");
    let root = of_root.self_signed(&root_key).expect("a certificate");
    let mut of_middle = CertificateParams::new(["middle".to_owned()]).expect("parameters");
    signer(&mut of_middle);
    let middle_key = KeyPair::generate().expect("a key");
    let middle = of_middle.signed_by(&middle_key, &Issuer::new(of_root, root_key)).expect("a certificate");
    let ours = params.signed_by(&p256, &Issuer::new(of_middle, middle_key)).expect("a certificate");
    files.write(&(ours.pem() + &middle.pem()), &pkcs8(&p256));
    check(root.der(), &server(&files));
    files.write(&(middle.pem() + &ours.pem()), &pkcs8(&p256));
    let error = chain(&files.read().expect_err("in the wrong order"));
    assert!(error.contains("is not that of the first certificate in"), "{error}");
}

#[test]
fn what_is_no_pair_is_refused_by_name() {
    let (files, _) = Files::with_one();
    let read = |path: PathBuf| fs::read_to_string(path).expect("read");
    let (certificate, key) = (read(files.certificate()), read(files.key()));
    let other = Files::with_one().0;
    let encrypted = pem("ENCRYPTED PRIVATE KEY", b"secret");
    let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,AB\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    let cut = &key[..key.len() / 2];
    let no_base64 = key.replace('M', "!");
    for (certificate, key, said) in [
        ("", &*key, "there is no certificate in "),
        (&*key, &key, "there is no certificate in "),
        (&certificate[..certificate.len() / 2], &key, "cert.pem is not valid PEM: "),
        (&pem("CERTIFICATE", b"none"), &key, "cannot use the certificate in "),
        (&certificate, "", "there is no private key in "),
        (&certificate, &certificate, "there is no private key in "),
        (&certificate, cut, "key.pem is not valid PEM: "),
        (&certificate, &no_base64, "key.pem is not valid PEM: "),
        (&certificate, &encrypted, "key.pem is encrypted"),
        (&certificate, old, "key.pem is encrypted"),
        (&certificate, &pem("PRIVATE KEY", b"none"), "cannot use the certificate in "),
        (&certificate, &read(other.key()), "is not that of the first certificate in "),
    ] {
        files.write(certificate, key);
        let error = chain(&files.read().expect_err(said));
        assert!(error.contains(said), "{said}: {error}");
        let secrets = key.lines().filter(|line| !line.starts_with('-') && line.len() > 20);
        assert!(secrets.into_iter().all(|line| !error.contains(line)), "a key is not told: {error}");
    }
    fs::remove_file(files.key()).expect("removed");
    let error = chain(&files.read().expect_err("no key"));
    assert!(error.contains("cannot read ") && error.contains("key.pem"), "{error}");
}

#[test]
fn what_is_spoken_is_agreed_on_and_who_comes_back_is_known() {
    let (files, root) = Files::with_one();
    let tls = files.read().expect("a pair");
    let server = start(&tls, ServeOptions::default());
    let roots = std::slice::from_ref(&root);
    let best = if cfg!(feature = "grpc") { "h2" } else { "http/1.1" };
    for (offered, spoken) in [(&["http/1.1", "h2"][..], Some(best)), (&["http/1.1"], Some("http/1.1")), (&[], None)] {
        let mut client = client(roots, &[&TLS13]);
        client.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
        let stream = connect(&Arc::new(client), &server).expect("a connection");
        assert_eq!(stream.conn.alpn_protocol(), spoken.map(str::as_bytes));
    }
    let mut other = client(roots, &[&TLS13]);
    other.alpn_protocols = vec![b"h3".to_vec()];
    let error = connect(&Arc::new(other), &server).expect_err("no such protocol").to_string();
    assert!(error.contains("NoApplicationProtocol"), "{error}");
    for version in [&TLS12, &TLS13] {
        let client = Arc::new(client(roots, &[version]));
        let kind = || {
            let mut stream = connect(&client, &server).expect("a connection");
            ask(&mut stream, "GET", "/version", "").expect("a response");
            stream.conn.handshake_kind()
        };
        assert_eq!((kind(), kind()), (Some(HandshakeKind::Full), Some(HandshakeKind::Resumed)), "{version:?}");
    }
    // who does not know the certificate ends the handshake, and the server goes on
    connect(&Arc::new(client(&[Files::with_one().1], &[&TLS13])), &server).expect_err("another root");
    connect(&Arc::new(client(roots, &[&TLS13])), &server).expect("a connection");
}
