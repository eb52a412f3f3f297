//! Sockets, and the connections that come over them.

use std::{
    future::poll_fn,
    io,
    pin::pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::watch,
    time::sleep,
};

use crate::{
    address::Address,
    error::{Result, ServeError},
};

/// How long to wait where the system takes no more connections, as when it has no more files to open.
const BREATH: Duration = Duration::from_millis(50);

/// How long a request may take to follow the connection that it comes by, when the server ends.
const FIRST_WORDS: Duration = Duration::from_millis(50);

/// A socket that listens.
#[derive(Debug)]
pub(crate) struct Listener {
    /// With the port that was found.
    address: Address,
    socket: Socket,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(tokio::net::UnixListener),
}

/// Both directions of a connection.
trait Connection: AsyncRead + AsyncWrite + Unpin + Send {}

impl<C: AsyncRead + AsyncWrite + Unpin + Send> Connection for C {}

impl Listener {
    /// Listen at `address`. A file that is a socket at which nobody listens any more is replaced.
    pub async fn bind(address: &Address) -> Result<Self> {
        let failed = |source| ServeError::Bind { address: address.clone(), source };
        match address {
            Address::Tcp(wanted) => {
                let socket = TcpListener::bind(wanted).await.map_err(failed)?;
                let address = Address::Tcp(socket.local_addr().map_err(failed)?);
                Ok(Self { address, socket: Socket::Tcp(socket) })
            }
            #[cfg(unix)]
            Address::Unix(path) => {
                remove_if_dead(path).map_err(failed)?;
                let socket = Socket::Unix(tokio::net::UnixListener::bind(path).map_err(failed)?);
                Ok(Self { address: address.clone(), socket })
            }
        }
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
    /// under way. A request whose head does not arrive within `head_time` ends its connection.
    pub async fn serve(self, router: Router, head_time: Duration, mut ending: watch::Receiver<bool>) {
        let connections = GracefulShutdown::new();
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(head_time);
        let serve = |stream| {
            let service = TowerToHyperService::new(router.clone());
            let connection = connections.watch(http.serve_connection(TokioIo::new(stream), service));
            // whoever is at the other end knows best what went wrong
            tokio::spawn(async { drop(connection.await) });
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
        // who has connected by now is told that the server ends, which a connection that closes does not tell
        let waiting = |context: &mut Context<'_>| Poll::Ready(self.poll_accept(context));
        while let Poll::Ready(Ok(stream)) = poll_fn(waiting).await {
            serve(stream);
        }
        drop(self);
        sleep(FIRST_WORDS).await;
        connections.shutdown().await;
    }
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
        if let Address::Unix(path) = &self.address {
            let _ = std::fs::remove_file(path);
        }
    }
}
