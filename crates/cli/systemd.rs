//! systemd → sockets that it has made; ready, reloading, stopping → systemd
//!
//! Both are told by the environment: `LISTEN_FDS` and `LISTEN_PID`, `NOTIFY_SOCKET`. Where that says nothing, neither does this.

use std::net::TcpListener;

use anyhow::Result;

/// A socket that listens already.
pub enum Socket {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixListener),
}

/// The sockets that were handed over to this process, which begins no thread before.
#[cfg(unix)]
pub fn sockets() -> Result<Vec<Socket>> {
    use anyhow::Context;
    let mut all = listenfd::ListenFd::from_env();
    let count = all.len();
    let mut take = |index| {
        if let Ok(Some(socket)) = all.take_tcp_listener(index) {
            return listens(&socket).then_some(Socket::Tcp(socket));
        }
        let socket = all.take_unix_listener(index).ok().flatten()?;
        listens(&socket).then_some(Socket::Unix(socket))
    };
    let unusable = |index| format!("socket {} of those that were handed over is no stream that listens", index + 1);
    (0..count).map(|index| take(index).with_context(|| unusable(index))).collect()
}

#[cfg(not(unix))]
pub fn sockets() -> Result<Vec<Socket>> {
    Ok(vec![])
}

/// Whether connections come to a socket, which a connection itself is not, as of `Accept=yes`.
#[cfg(all(unix, not(target_vendor = "apple")))]
fn listens(socket: impl std::os::fd::AsFd) -> bool {
    rustix::net::sockopt::socket_acceptconn(socket).unwrap_or(false)
}

#[cfg(all(unix, target_vendor = "apple"))]
fn listens(_socket: impl std::os::fd::AsFd) -> bool {
    true
}

/// What a service does.
#[derive(Clone, Copy)]
pub enum Phase {
    /// It answers.
    Ready,
    /// It reads its files again, and says when it is ready.
    Reloading,
    /// It answers what was asked, and ends.
    Stopping,
}

/// Say what this service does, if somebody wants to know.
#[cfg(unix)]
pub fn tell(phase: Phase) {
    use sd_notify::NotifyState;
    let told = match phase {
        Phase::Ready => sd_notify::notify(&[NotifyState::Ready]),
        Phase::Reloading => {
            NotifyState::monotonic_usec_now().and_then(|now| sd_notify::notify(&[NotifyState::Reloading, now]))
        }
        Phase::Stopping => sd_notify::notify(&[NotifyState::Stopping]),
    };
    // work goes on without
    drop(told);
}

#[cfg(not(unix))]
pub fn tell(_phase: Phase) {}
