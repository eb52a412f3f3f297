//! bytes → UTF-8 lines, with the place of each

use std::{
    io::BufRead,
    path::{Path, PathBuf},
};

use itera_files::failed_to;

use super::input::Input;
use crate::error::DataError;

/// Lines of a text file, their endings included, checked to be UTF-8. `\n`, `\r\n` and a bare `\r` end a line.
pub(super) struct Lines {
    input: Input,
    /// What was read up to `\n`; it holds several lines if there are bare `\r`.
    bytes: Vec<u8>,
    /// Bytes of it that were given out.
    taken: usize,
    number: u64,
    /// Bytes of the file before `bytes`.
    offset: u64,
}

impl Lines {
    pub(super) fn open(path: &Path) -> Result<Self, DataError> {
        let input = Input::open(path)?;
        Ok(Self { offset: input.mark_bytes, input, bytes: Vec::new(), taken: 0, number: 0 })
    }

    pub(super) fn path(&self) -> PathBuf {
        self.input.path.clone()
    }

    /// Number of the line last taken, from 1.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The next line, or `None` at the end of the file. After a line that is not UTF-8 they go on.
    pub(super) fn next_line(&mut self) -> Result<Option<&str>, DataError> {
        if self.taken == self.bytes.len() {
            self.offset += self.bytes.len() as u64;
            self.bytes.clear();
            self.taken = 0;
            let read = self.input.reader.read_until(b'\n', &mut self.bytes);
            read.map_err(failed_to(self.input.action, &self.input.path))?;
            if self.bytes.is_empty() {
                return Ok(None);
            }
        }
        let line = &self.bytes[self.taken..];
        let content = line.iter().rposition(|byte| !b"\r\n".contains(byte)).map_or(0, |last| last + 1);
        let len = line[..content].iter().position(|byte| *byte == b'\r').map_or(line.len(), |at| at + 1);
        let offset = self.offset + self.taken as u64;
        self.taken += len;
        self.number += 1;
        let line = std::str::from_utf8(&line[..len]).map_err(|error| DataError::NotUtf8 {
            path: self.input.path.clone(),
            offset: offset + error.valid_up_to() as u64,
            is_utf16: false,
        })?;
        Ok(Some(line))
    }
}
