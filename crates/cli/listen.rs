//! where `itera serve` listens → addresses, or sockets that systemd has made

use std::{
    net::{AddrParseError, IpAddr, SocketAddr},
    path::PathBuf,
};

use anyhow::Result;
#[cfg(feature = "tls")]
use itera_serve::Tls;
use itera_serve::{Address, Inherited};

use crate::{
    hints::with_hint,
    systemd::{self, Socket},
};

/// The port, unless it is said.
const PORT: u16 = 8000;

#[derive(Debug, clap::Args)]
pub struct ListenArgs {
    /// Address to listen at (may be given again); 127.0.0.1 if there is no --unix.
    #[arg(long, value_name = "IP", value_parser = ip)]
    host: Vec<IpAddr>,
    /// Socket to listen at, a file (may be given again).
    #[cfg(unix)]
    #[arg(long, value_name = "FILE")]
    unix: Vec<PathBuf>,
    /// Port to listen at, at every --host; 0 is any free one [default: 8000].
    #[arg(short, long, value_name = "N")]
    port: Option<u16>,
    /// Certificate, as PEM, by which connections over TCP are TLS; those that signed it stand behind it. SIGHUP reads it again.
    #[cfg(feature = "tls")]
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Private key of --tls-cert, as PEM, without a passphrase.
    #[cfg(feature = "tls")]
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

/// Where to listen, with what was read for that.
pub struct Places {
    /// Sockets that listen already.
    pub sockets: Vec<Inherited>,
    /// Addresses to listen at; none where there are sockets.
    pub addresses: Vec<Address>,
    #[cfg(feature = "tls")]
    tls: Option<Tls>,
}

impl ListenArgs {
    /// Take the sockets that were handed over, and read the certificate and its key, if there are any. No thread runs yet.
    pub fn places(&self) -> Result<Places> {
        let sockets = systemd::sockets()?;
        if !sockets.is_empty() && self.names_a_place() {
            let problem = "systemd has handed sockets over, and --host, --port and --unix name others";
            return Err(with_hint(problem, "leave these out, or start the service without its .socket unit"));
        }
        #[cfg(feature = "tls")]
        let tls = match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => Some(Tls::read(certificate, key)?),
            _ => None,
        };
        let inherited = |socket| match socket {
            #[cfg(feature = "tls")]
            Socket::Tcp(socket) if let Some(tls) = &tls => Inherited::Tls(socket, tls.clone()),
            Socket::Tcp(socket) => Inherited::Tcp(socket),
            #[cfg(unix)]
            Socket::Unix(socket) => Inherited::Unix(socket),
        };
        let sockets: Vec<Inherited> = sockets.into_iter().map(inherited).collect();
        let tcp = |host: &IpAddr| {
            let at = SocketAddr::new(*host, self.port.unwrap_or(PORT));
            #[cfg(feature = "tls")]
            if let Some(tls) = &tls {
                return Address::Tls(at, tls.clone());
            }
            Address::Tcp(at)
        };
        let mut addresses: Vec<Address> = self.host.iter().map(tcp).collect();
        #[cfg(unix)]
        addresses.extend(self.unix.iter().cloned().map(Address::Unix));
        if addresses.is_empty() && sockets.is_empty() {
            addresses.push(tcp(&IpAddr::from([127, 0, 0, 1])));
        }
        Ok(Places {
            sockets,
            addresses,
            #[cfg(feature = "tls")]
            tls,
        })
    }

    /// Whether it is said where to listen.
    fn names_a_place(&self) -> bool {
        #[cfg(unix)]
        let has_unix = !self.unix.is_empty();
        #[cfg(not(unix))]
        let has_unix = false;
        has_unix || !self.host.is_empty() || self.port.is_some()
    }

    /// The file of a private key, which nobody else is to read.
    pub fn private_key(&self) -> Option<&PathBuf> {
        #[cfg(feature = "tls")]
        return self.tls_key.as_ref();
        #[cfg(not(feature = "tls"))]
        None
    }
}

impl Places {
    /// Read the certificate and its key again, for connections that come from now on; `None` if there are none.
    pub fn reload(&self) -> Option<Result<()>> {
        #[cfg(feature = "tls")]
        return self.tls.as_ref().map(|tls| Ok(tls.reload()?));
        #[cfg(not(feature = "tls"))]
        None
    }
}

/// An address of IPv4 or IPv6, the latter also as in a URL.
fn ip(text: &str) -> Result<IpAddr, AddrParseError> {
    text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text).parse()
}
