//! Where a server listens.

use std::{fmt, net::SocketAddr, path::PathBuf};

#[cfg(feature = "tls")]
use crate::tls::Tls;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// An address and a port; port 0 is any free one.
    Tcp(SocketAddr),
    /// The same, for connections by TLS.
    #[cfg(feature = "tls")]
    Tls(SocketAddr, Tls),
    /// A file that is a socket, which goes when the server ends.
    #[cfg(unix)]
    Unix(PathBuf),
}

impl fmt::Display for Address {
    /// As a URL; of a file as `unix:` and its path.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "http://{address}"),
            #[cfg(feature = "tls")]
            Self::Tls(address, _) => write!(f, "https://{address}"),
            #[cfg(unix)]
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
