//! A connection, before HTTP is spoken over it: as it comes, or made secret.

use std::time::Duration;
#[cfg(feature = "tls")]
use std::{future::poll_fn, pin::pin, task::Poll};

#[cfg(feature = "tls")]
use tokio::time::{sleep, timeout};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
};

use crate::address::Address;
#[cfg(feature = "tls")]
use crate::tls::Tls;

/// How long a handshake that is under way when the server ends may take from then on.
#[cfg(feature = "tls")]
const LAST_HANDSHAKES: Duration = Duration::from_secs(1);

/// Both directions of a connection.
pub(crate) trait Connection: AsyncRead + AsyncWrite + Unpin + Send {}

impl<C: AsyncRead + AsyncWrite + Unpin + Send> Connection for C {}

/// What is done with a connection before HTTP is spoken over it.
#[derive(Clone, Debug)]
pub(crate) enum Security {
    /// Nothing.
    Plain,
    /// A handshake, by the certificate that is there then.
    #[cfg(feature = "tls")]
    Tls(Tls),
}

impl Security {
    /// What is done with connections that come to `address`.
    pub fn of(address: &Address) -> Self {
        match address {
            #[cfg(feature = "tls")]
            Address::Tls(_, tls) => Self::Tls(tls.clone()),
            _ => Self::Plain,
        }
    }

    /// The connection to speak over. `None` where both sides do not agree on a secret in `limit`, or soon after the server
    /// begins to end: the other side was told then, if it could be.
    pub async fn secure(
        self,
        connection: Box<dyn Connection>,
        limit: Duration,
        ending: watch::Receiver<bool>,
    ) -> Option<Box<dyn Connection>> {
        match self {
            Self::Plain => {
                let _ = (limit, ending);
                Some(connection)
            }
            // in memory that is free again once it is done
            #[cfg(feature = "tls")]
            Self::Tls(tls) => Box::pin(handshake(tls, connection, limit, ending)).await,
        }
    }
}

#[cfg(feature = "tls")]
async fn handshake(
    tls: Tls,
    connection: Box<dyn Connection>,
    limit: Duration,
    mut ending: watch::Receiver<bool>,
) -> Option<Box<dyn Connection>> {
    let mut secret = pin!(timeout(limit, tls.secure(connection)));
    let mut too_late = pin!(async {
        // an error is a sender that is gone, which ends the server too
        drop(ending.wait_for(|is_ending| *is_ending).await);
        sleep(LAST_HANDSHAKES).await;
    });
    let secret = poll_fn(|context| match secret.as_mut().poll(context) {
        Poll::Ready(secret) => Poll::Ready(secret.ok()),
        Poll::Pending => too_late.as_mut().poll(context).map(|()| None),
    });
    Some(Box::new(secret.await?.ok()?))
}
