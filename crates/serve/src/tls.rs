//! A certificate and its key, by which connections are made secret.
//!
//! ```text
//! two files ─ PEM ─▶ chain, key ─ they belong together ─▶ Arc<ServerConfig>, which a reload exchanges
//! connection ─ handshake, by the one that is there now ─▶ connection
//! ```

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use itera_files::{FileError, failed_to};
use rustls::{
    InconsistentKeys, ServerConfig,
    crypto::ring,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// What is spoken over a connection (RFC 7301), best first.
#[cfg(feature = "grpc")]
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];
#[cfg(not(feature = "grpc"))]
const PROTOCOLS: [&[u8]; 1] = [b"http/1.1"];

/// Why a certificate and a key are of no use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file has parts that are no PEM.
    #[error("{} is not valid PEM", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// A file has no certificate as PEM.
    #[error("there is no certificate in {}", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// A file has no private key as PEM.
    #[error("there is no private key in {}", path.display())]
    NoPrivateKey {
        /// The file.
        path: PathBuf,
    },
    /// A private key has a passphrase.
    #[error("the private key in {} is encrypted", path.display())]
    Encrypted {
        /// The file.
        path: PathBuf,
    },
    /// The first certificate of its file is another key's.
    #[error("the private key in {} is not that of the first certificate in {}", key.display(), certificate.display())]
    Mismatch {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
    /// The certificate or the key is of a kind that is not known, or no bytes of one.
    #[error("cannot use the certificate in {} with the private key in {}", certificate.display(), key.display())]
    Unusable {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// What is wrong with them.
        source: rustls::Error,
    },
}

/// A certificate and its key as their files had them when they were last read. Copies are one: a reload is one of all.
#[derive(Clone, Debug)]
pub struct Tls(Arc<Current>);

#[derive(Debug)]
struct Current {
    certificate: PathBuf,
    key: PathBuf,
    config: RwLock<Arc<ServerConfig>>,
}

impl Tls {
    /// The certificate in one file of PEM, behind which stand those that signed it, and its private key in another, or in the
    /// same: as PKCS #8, PKCS #1 (RSA) or SEC 1 (elliptic curves), without a passphrase.
    ///
    /// # Errors
    /// If a file cannot be read, has no such thing, or has one that is not known, or the key is another's.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let config = RwLock::new(config(certificate, key)?);
        Ok(Self(Arc::new(Current { certificate: certificate.into(), key: key.into(), config })))
    }

    /// Read the files again, for connections that come from now on.
    ///
    /// # Errors
    /// As [`read`](Self::read). Certificate and key stay what they were then.
    pub fn reload(&self) -> Result<(), TlsError> {
        let config = config(&self.0.certificate, &self.0.key)?;
        *self.0.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    /// Agree with the other side of `connection` on a secret. Where that fails, it was told why.
    pub(crate) async fn secure<C: AsyncRead + AsyncWrite + Unpin>(&self, connection: C) -> io::Result<TlsStream<C>> {
        let config = self.0.config.read().unwrap_or_else(PoisonError::into_inner).clone();
        TlsAcceptor::from(config).accept(connection).await
    }
}

impl PartialEq for Tls {
    /// Whether both are the same.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Tls {}

/// How connections are made by a certificate: TLS 1.2 and 1.3, over which HTTP/1.1 is spoken.
fn config(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let (chain, private) = (chain(certificate)?, private_key(key)?);
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(chain, private));
    let mut config = config.map_err(|source| {
        let (certificate, key) = (certificate.into(), key.into());
        match source {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => TlsError::Mismatch { certificate, key },
            source => TlsError::Unusable { certificate, key, source },
        }
    })?;
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    Ok(Arc::new(config))
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let file = std::fs::read(path).map_err(failed_to("read", path))?;
    let chain = CertificateDer::pem_slice_iter(&file).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|source| TlsError::Pem { path: path.into(), source })?;
    if chain.is_empty() { Err(TlsError::NoCertificate { path: path.into() }) } else { Ok(chain) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let file = std::fs::read(path).map_err(failed_to("read", path))?;
    // of PKCS #8, and of what OpenSSL wrote before it
    let is_there = |words: &[u8]| file.windows(words.len()).any(|found| found == words);
    if is_there(b"BEGIN ENCRYPTED PRIVATE KEY") || is_there(b"Proc-Type: 4,ENCRYPTED") {
        return Err(TlsError::Encrypted { path: path.into() });
    }
    PrivateKeyDer::from_pem_slice(&file).map_err(|source| match source {
        pem::Error::NoItemsFound => TlsError::NoPrivateKey { path: path.into() },
        source => TlsError::Pem { path: path.into(), source },
    })
}
