//! Bodies of requests that come compressed.

use std::io::Read;

use axum::body::Bytes;
use flate2::read::{MultiGzDecoder, ZlibDecoder};

use crate::refusal::Refusal;

/// What `body` is that came in `encoding` (`gzip`, `deflate`, or `identity`), of at most `most_bytes`.
pub(crate) fn decompressed(encoding: &[u8], body: &Bytes, most_bytes: usize) -> Result<Bytes, Refusal> {
    match encoding.to_ascii_lowercase().as_slice() {
        b"identity" | b"" => Ok(body.clone()),
        b"gzip" | b"x-gzip" => read(MultiGzDecoder::new(&body[..]), most_bytes),
        b"deflate" => read(ZlibDecoder::new(&body[..]), most_bytes),
        _ => Err(Refusal::foreign_encoding()),
    }
}

fn read(from: impl Read, most_bytes: usize) -> Result<Bytes, Refusal> {
    let mut bytes = vec![];
    let count = from.take(most_bytes as u64 + 1).read_to_end(&mut bytes);
    match count {
        Err(_) => Err(Refusal::bad("the body is not compressed as its content-encoding says")),
        Ok(count) if count > most_bytes => Err(Refusal::too_large(most_bytes)),
        Ok(_) => Ok(bytes.into()),
    }
}
