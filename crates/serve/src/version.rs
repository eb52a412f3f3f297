//! Which HTTP a connection speaks: 2, as gRPC does, begins with words of its own (RFC 9113, section 3.4).

use std::{io::Cursor, pin::pin, time::Duration};

use futures_util::future::select;
use tokio::{
    io::{AsyncReadExt, join, split},
    sync::watch,
    time::{sleep, timeout},
};

use crate::connection::Connection;

/// What a connection of HTTP/2 begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Whether `connection` begins as HTTP/2 does, and the connection as it came. What sends too little in `limit` does not, nor what
/// has not sent enough when the server has been ending for `last_words`.
pub(crate) async fn is_http2(
    connection: Box<dyn Connection>,
    limit: Duration,
    mut ending: watch::Receiver<bool>,
    last_words: Duration,
) -> (bool, Box<dyn Connection>) {
    let (mut read, write) = split(connection);
    let mut begun = vec![];
    let too_late = async {
        // an error is a sender that is gone, which ends the server too
        drop(ending.wait_for(|is_ending| *is_ending).await);
        sleep(last_words).await;
    };
    {
        let begin = async {
            // a byte that is not there yet may be all that tells; what stands behind these words is left where it is
            while begun.len() < PREFACE.len() && PREFACE.starts_with(&begun) {
                let mut more = [0; PREFACE.len()];
                match read.read(&mut more[begun.len()..]).await {
                    Ok(len @ 1..) => begun.extend_from_slice(&more[begun.len()..begun.len() + len]),
                    // whoever reads next finds the same
                    Ok(0) | Err(_) => break,
                }
            }
        };
        select(pin!(timeout(limit, begin)), pin!(too_late)).await;
    }
    let is_http2 = begun == PREFACE;
    (is_http2, Box::new(join(Cursor::new(begun).chain(read), write)))
}
