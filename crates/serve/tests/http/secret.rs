//! Certificates, and clients by TLS.

use std::{
    fs,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    sync::Arc,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use itera_serve::{Address, ServeOptions, Server, Tls, TlsError};
use rcgen::generate_simple_self_signed;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
    crypto::ring,
    pki_types::{CertificateDer, ServerName},
};
use tempfile::TempDir;

use crate::support::stories;

/// The two files, and how to write them.
pub struct Files {
    dir: TempDir,
}

impl Files {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a directory") }
    }

    /// With a certificate of its own for `localhost`, which is returned.
    pub fn with_one() -> (Self, CertificateDer<'static>) {
        let files = Self::new();
        let certificate = files.write_another();
        (files, certificate)
    }

    /// A new certificate and its key in the place of those before.
    pub fn write_another(&self) -> CertificateDer<'static> {
        let made = generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        self.write(&made.cert.pem(), &made.signing_key.serialize_pem());
        made.cert.into()
    }

    pub fn write(&self, certificate: &str, key: &str) {
        fs::write(self.certificate(), certificate).expect("written");
        fs::write(self.key(), key).expect("written");
    }

    pub fn certificate(&self) -> PathBuf {
        self.dir.path().join("cert.pem")
    }

    pub fn key(&self) -> PathBuf {
        self.dir.path().join("key.pem")
    }

    pub fn read(&self) -> Result<Tls, TlsError> {
        Tls::read(&self.certificate(), &self.key())
    }
}

pub fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

/// A server at any free port, by TLS first, and then without.
pub fn start(tls: &Tls, options: ServeOptions) -> Server {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let addresses = vec![Address::Tls(any, tls.clone()), Address::Tcp(any)];
    Server::start(stories(), &ServeOptions { addresses, ..options }).expect("it starts")
}

/// Where connections are by TLS.
pub fn secret(server: &Server) -> SocketAddr {
    let Address::Tls(address, _) = server.addresses()[0] else { panic!("{:?}", server.addresses()) };
    address
}

/// What a client knows that trusts `roots` alone.
pub fn client(roots: &[CertificateDer<'static>], versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    let mut store = RootCertStore::empty();
    roots.iter().for_each(|root| store.add(root.clone()).expect("a root"));
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(store)
        .with_no_client_auth()
}

pub type Stream = StreamOwned<ClientConnection, TcpStream>;

/// A connection that the handshake is done of.
pub fn handshake(client: &Arc<ClientConfig>, socket: TcpStream) -> io::Result<Stream> {
    let name = ServerName::try_from("localhost").expect("a name");
    let mut stream = Stream::new(ClientConnection::new(client.clone(), name).expect("a client"), socket);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

pub fn connect(client: &Arc<ClientConfig>, server: &Server) -> io::Result<Stream> {
    handshake(client, TcpStream::connect(secret(server))?)
}

pub fn head(method: &str, path: &str, more: &str, len: usize) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{more}Content-Length: {len}\r\n\r\n")
}

/// All of the response to a request, after which the connection ends as TLS has it.
pub fn ask(stream: &mut (impl Read + Write), method: &str, path: &str, body: &str) -> io::Result<String> {
    let head = head(method, path, "Connection: close\r\n", body.len());
    stream.write_all(&[head.as_bytes(), body.as_bytes()].concat())?;
    rest(stream)
}

pub fn rest(stream: &mut impl Read) -> io::Result<String> {
    let mut response = vec![];
    stream.read_to_end(&mut response)?;
    Ok(String::from_utf8_lossy(&response).into_owned())
}
