//! Sockets, and the connections that come over them.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::Router;
use hyper::server::conn::http1;
#[cfg(feature = "grpc")]
use hyper::server::conn::http2;
#[cfg(feature = "grpc")]
use hyper_util::rt::TokioExecutor;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, sync::watch, time::sleep};

#[cfg(feature = "tls")]
use crate::tls::Tls;
#[cfg(feature = "grpc")]
use crate::version::is_http2;
use crate::{
    address::Address,
    connection::{Connection, Security},
    error::{Result, ServeError},
};

/// How long to wait where the system takes no more connections, as when it has no more files to open.
const BREATH: Duration = Duration::from_millis(50);

/// How long a request may take to follow the connection that it comes by, when the server ends.
const FIRST_WORDS: Duration = Duration::from_millis(50);

/// How often a connection of HTTP/2 is asked whether somebody is there.
#[cfg(feature = "grpc")]
const ARE_YOU_THERE: Duration = Duration::from_secs(20);

/// A socket that listens already, which whoever started this process has made and keeps.
#[derive(Debug)]
pub enum Inherited {
    /// Connections come over TCP.
    Tcp(std::net::TcpListener),
    /// The same, by TLS.
    #[cfg(feature = "tls")]
    Tls(std::net::TcpListener, Tls),
    /// Connections come over a file, or an abstract name.
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixListener),
}

/// A socket that listens.
#[derive(Debug)]
pub(crate) struct Listener {
    /// With the port that was found.
    address: Address,
    socket: Socket,
    /// Whether it listens on when this server has ended.
    is_inherited: bool,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(tokio::net::UnixListener),
}

impl Listener {
    /// Listen at `address`. A file that is a socket at which nobody listens any more is replaced.
    pub async fn bind(address: &Address) -> Result<Self> {
        let failed = |source| ServeError::Bind { address: address.clone(), source };
        let (address, socket) = match address {
            Address::Tcp(wanted) => {
                let (at, socket) = tcp(*wanted).await.map_err(failed)?;
                (Address::Tcp(at), socket)
            }
            #[cfg(feature = "tls")]
            Address::Tls(wanted, tls) => {
                let (at, socket) = tcp(*wanted).await.map_err(failed)?;
                (Address::Tls(at, tls.clone()), socket)
            }
            #[cfg(unix)]
            Address::Unix(path) => {
                remove_if_dead(path).map_err(failed)?;
                let socket = tokio::net::UnixListener::bind(path).map_err(failed)?;
                (address.clone(), Socket::Unix(socket))
            }
        };
        Ok(Self { address, socket, is_inherited: false })
    }

    /// Listen at a socket that is there.
    pub async fn inherit(socket: Inherited) -> Result<Self> {
        let (address, socket) = inherit(socket).map_err(ServeError::Inherit)?;
        Ok(Self { address, socket, is_inherited: true })
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<Box<dyn Connection>>> {
        match &self.socket {
            Socket::Tcp(socket) => socket.poll_accept(context).map_ok(|(stream, _)| {
                // events are written whole: to wait for more only delays them
                let _ = stream.set_nodelay(true);
                Box::new(stream) as Box<dyn Connection>
            }),
            #[cfg(unix)]
            Socket::Unix(socket) => {
                socket.poll_accept(context).map_ok(|(stream, _)| Box::new(stream) as Box<dyn Connection>)
            }
        }
    }

    /// Serve all connections by `router` until `ending` is true; then those that are open, each to the end of the request
    /// under way. A handshake that takes longer than `head_time`, or a head of a request, ends its connection.
    pub async fn serve(self, router: Router, head_time: Duration, mut ending: watch::Receiver<bool>) {
        let connections = GracefulShutdown::new();
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(head_time);
        let security = Security::of(&self.address);
        // a connection has one until it is secure
        let (handshakes, handshake) = watch::channel(());
        let is_ending = ending.clone();
        let serve = |stream| {
            let service = TowerToHyperService::new(router.clone());
            let (http, watcher, handshake) = (http.clone(), connections.watcher(), handshake.clone());
            let (security, is_ending) = (security.clone(), is_ending.clone());
            tokio::spawn(async move {
                let Some(stream) = security.secure(stream, head_time, is_ending.clone()).await else { return };
                #[cfg(feature = "grpc")]
                let stream = match is_http2(stream, head_time, is_ending, FIRST_WORDS).await {
                    (false, stream) => stream,
                    (true, stream) => {
                        drop(handshake);
                        drop(watcher.watch(http2().serve_connection(TokioIo::new(stream), service)).await);
                        return;
                    }
                };
                drop(handshake);
                // whoever is at the other end knows best what went wrong
                drop(watcher.watch(http.serve_connection(TokioIo::new(stream), service)).await);
            });
        };
        {
            // an error is a sender that is gone, which ends the server too
            let mut ended = pin!(ending.wait_for(|is_ending| *is_ending));
            loop {
                let next = poll_fn(|context| match ended.as_mut().poll(context) {
                    Poll::Ready(_) => Poll::Ready(None),
                    Poll::Pending => self.poll_accept(context).map(Some),
                });
                match next.await {
                    None => break,
                    Some(Err(_)) => sleep(BREATH).await,
                    Some(Ok(stream)) => serve(stream),
                }
            }
        }
        // who has connected by now is told that the server ends, which a connection that closes does not tell; it waits for
        // the next server where the socket stays
        let waiting = |context: &mut Context<'_>| Poll::Ready(self.poll_accept(context));
        while !self.is_inherited
            && let Poll::Ready(Ok(stream)) = poll_fn(waiting).await
        {
            serve(stream);
        }
        drop((self, handshake));
        handshakes.closed().await;
        sleep(FIRST_WORDS).await;
        connections.shutdown().await;
    }
}

/// HTTP/2 as it is served: a client that is gone without a word is found out.
#[cfg(feature = "grpc")]
fn http2() -> http2::Builder<TokioExecutor> {
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new()).keep_alive_interval(ARE_YOU_THERE);
    http
}

async fn tcp(wanted: SocketAddr) -> io::Result<(SocketAddr, Socket)> {
    let socket = TcpListener::bind(wanted).await?;
    Ok((socket.local_addr()?, Socket::Tcp(socket)))
}

/// A socket that is there, for this runtime, and where it listens.
fn inherit(socket: Inherited) -> io::Result<(Address, Socket)> {
    let tcp = |socket: std::net::TcpListener| {
        socket.set_nonblocking(true)?;
        io::Result::Ok((socket.local_addr()?, Socket::Tcp(TcpListener::from_std(socket)?)))
    };
    Ok(match socket {
        Inherited::Tcp(socket) => {
            let (at, socket) = tcp(socket)?;
            (Address::Tcp(at), socket)
        }
        #[cfg(feature = "tls")]
        Inherited::Tls(socket, tls) => {
            let (at, socket) = tcp(socket)?;
            (Address::Tls(at, tls), socket)
        }
        #[cfg(unix)]
        Inherited::Unix(socket) => {
            socket.set_nonblocking(true)?;
            let path = socket.local_addr()?.as_pathname().map(Into::into);
            // what has no file has a name of another kind, or none
            let address = Address::Unix(path.unwrap_or_else(|| "@".into()));
            (address, Socket::Unix(tokio::net::UnixListener::from_std(socket)?))
        }
    })
}

#[cfg(unix)]
fn remove_if_dead(path: &std::path::Path) -> io::Result<()> {
    use std::os::unix::{fs::FileTypeExt, net::UnixStream};
    let is_socket = path.symlink_metadata().is_ok_and(|found| found.file_type().is_socket());
    let is_dead = || UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
    if is_socket && is_dead() { std::fs::remove_file(path) } else { Ok(()) }
}

impl Drop for Listener {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Address::Unix(path) = &self.address
            && !self.is_inherited
        {
            let _ = std::fs::remove_file(path);
        }
    }
}
