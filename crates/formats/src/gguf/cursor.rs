//! untrusted bytes → numbers and texts, front to back; whatever is wrong is told with its field and its offset.

use std::fmt::Display;
use std::path::Path;

use crate::{
    error::{FormatError, Result},
    printable::printable,
};

/// A place in a file that is being read.
pub(super) struct Cursor<'a> {
    path: &'a Path,
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(path: &'a Path, bytes: &'a [u8]) -> Self {
        Self { path, bytes, offset: 0 }
    }

    /// Bytes read so far.
    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    /// What is not read yet.
    pub(super) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.offset..]
    }

    /// Bytes not read yet.
    pub(super) fn n_left(&self) -> usize {
        self.bytes.len() - self.offset
    }

    /// An error about the field that begins at `offset`.
    pub(super) fn invalid(&self, field: impl Display, offset: usize, problem: impl Into<String>) -> FormatError {
        let (path, field, problem) = (self.path.to_owned(), printable(field.to_string()), problem.into());
        FormatError::Gguf { path, field, offset, problem }
    }

    pub(super) fn take(&mut self, n_bytes: usize, field: impl Display) -> Result<&'a [u8]> {
        let taken = self.rest().get(..n_bytes).ok_or_else(|| {
            let problem = format!("takes {n_bytes} bytes, but {} are left; the file may have been cut", self.n_left());
            self.invalid(field, self.offset, problem)
        })?;
        self.offset += n_bytes;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, field: impl Display) -> Result<[u8; N]> {
        Ok(*self.take(N, field)?.first_chunk().expect("as many bytes as were asked for"))
    }

    pub(super) fn u32(&mut self, field: impl Display) -> Result<u32> {
        self.array(field).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, field: impl Display) -> Result<u64> {
        self.array(field).map(u64::from_le_bytes)
    }

    /// How many things follow that take `item_bytes` at least: never more than there is room for.
    pub(super) fn count(&mut self, item_bytes: usize, field: impl Display) -> Result<usize> {
        let (offset, count) = (self.offset, self.u64(&field)?);
        let room = self.n_left() / item_bytes;
        usize::try_from(count).ok().filter(|count| *count <= room).ok_or_else(|| {
            let problem = format!("is {count}, but the rest of the file has room for {room}; it may have been cut");
            self.invalid(field, offset, problem)
        })
    }

    /// A text: its length, then as many bytes of UTF-8.
    pub(super) fn text(&mut self, field: impl Display) -> Result<&'a str> {
        let length = self.count(1, format_args!("the length of {field}"))?;
        let (offset, bytes) = (self.offset, self.take(length, &field)?);
        std::str::from_utf8(bytes)
            .map_err(|error| self.invalid(field, offset + error.valid_up_to(), "is not valid UTF-8"))
    }
}
