//! an error of `itera serve` → what its user can do about it

use std::{error::Error, io};

use itera_serve::ServeError;
#[cfg(feature = "tls")]
use itera_serve::TlsError;

/// What to do about `error`, if it is one of a server.
pub fn hint(error: &(dyn Error + 'static)) -> Option<String> {
    #[cfg(feature = "tls")]
    if let Some(error) = error.downcast_ref() {
        return tls(error);
    }
    server(error.downcast_ref()?)
}

fn server(error: &ServeError) -> Option<String> {
    let text = match error {
        ServeError::Bind { source, .. } => match source.kind() {
            io::ErrorKind::AddrInUse => "another program listens there; choose another --port, 0 for any",
            io::ErrorKind::PermissionDenied => "choose a --port from 1024",
            io::ErrorKind::AddrNotAvailable => "--host is an address of this machine; 0.0.0.0 is all of them",
            _ => return None,
        },
        ServeError::Key { .. } | ServeError::NoKey { .. } => "--new-key NAME makes a key and its line",
        ServeError::SameName { .. } => "name one of them: NAME=PATH",
        ServeError::NoRoom { .. } => {
            "raise --memory, or lower --max-batch and --cache, which each model has for itself"
        }
        _ => return None,
    };
    Some(text.into())
}

#[cfg(feature = "tls")]
fn tls(error: &TlsError) -> Option<String> {
    let text = match error {
        TlsError::NoCertificate { .. } => {
            "--tls-cert is a file with -----BEGIN CERTIFICATE----- in it; `openssl x509 -inform DER` makes one of DER"
        }
        TlsError::NoPrivateKey { .. } => {
            "--tls-key is a file with -----BEGIN PRIVATE KEY----- in it; `openssl pkey -inform DER` makes one of DER"
        }
        TlsError::Encrypted { path } => {
            let path = path.display();
            return Some(format!("`(umask 077; openssl pkey -in {path} -out NEW)` makes one without a passphrase"));
        }
        TlsError::Mismatch { .. } => {
            "take the key that the certificate was made for; the certificate itself stands before those that signed it"
        }
        TlsError::Pem { .. } => "the file may be incomplete; write it again",
        TlsError::Unusable { .. } => "keys of RSA (2048 bits and more), of P-256, P-384 and of Ed25519 can be used",
        _ => return None,
    };
    Some(text.into())
}
