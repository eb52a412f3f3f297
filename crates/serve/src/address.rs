//! Where a server listens.

use std::{fmt, net::SocketAddr, path::PathBuf};

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// An address and a port; port 0 is any free one.
    Tcp(SocketAddr),
    /// A file that is a socket, which goes when the server ends.
    #[cfg(unix)]
    Unix(PathBuf),
}

impl fmt::Display for Address {
    /// As a URL; of a file as `unix:` and its path.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "http://{address}"),
            #[cfg(unix)]
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
