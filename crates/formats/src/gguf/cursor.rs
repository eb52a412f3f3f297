//! untrusted bytes → numbers and texts, front to back; whatever is wrong is told with its field and its offset.

use std::fmt::Display;
use std::path::Path;

use crate::{
    error::{FormatError, Result},
    printable::printable,
    problem::GgufProblem,
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
    pub(super) fn invalid(&self, field: impl Display, offset: usize, problem: GgufProblem) -> FormatError {
        FormatError::Gguf { path: self.path.to_owned(), field: printable(field.to_string()), offset, problem }
    }

    pub(super) fn take(&mut self, n_bytes: usize, field: impl Display) -> Result<&'a [u8]> {
        let taken = self
            .rest()
            .get(..n_bytes)
            .ok_or_else(|| self.invalid(field, self.offset, GgufProblem::Cut { n_bytes, n_left: self.n_left() }))?;
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
        let fitting = usize::try_from(count).ok().filter(|count| *count <= room);
        fitting.ok_or_else(|| self.invalid(field, offset, GgufProblem::Count { count, room }))
    }

    /// A text: its length, then as many bytes of UTF-8.
    pub(super) fn text(&mut self, field: impl Display) -> Result<&'a str> {
        let length = self.count(1, format_args!("the length of {field}"))?;
        let (offset, bytes) = (self.offset, self.take(length, &field)?);
        std::str::from_utf8(bytes).map_err(|error| self.invalid(field, offset + error.valid_up_to(), GgufProblem::Utf8))
    }
}
