//! file → UTF-8 lines, with the place of each

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

use crate::DataError;
use itera_files::failed_to;

const CONVERT: &str = "convert it, for example with `iconv -f LATIN1 -t UTF-8`";
const CONVERT_UTF16: &str = "it begins like UTF-16; convert it with `iconv -f UTF-16 -t UTF-8`";
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// Lines of a text file, their endings included, checked to be UTF-8; a byte order mark is dropped.
pub(super) struct Lines {
    path: PathBuf,
    reader: BufReader<File>,
    line: Vec<u8>,
    number: u64,
    /// Bytes before the current line.
    offset: u64,
}

impl Lines {
    pub(super) fn open(path: &Path) -> Result<Self, DataError> {
        let file = File::open(path).map_err(failed_to("read", path))?;
        let reader = BufReader::with_capacity(1 << 20, file);
        Ok(Self { path: path.into(), reader, line: Vec::new(), number: 0, offset: 0 })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The next line and its number from 1, or `None` at the end of the file.
    pub(super) fn next_line(&mut self) -> Result<Option<(u64, &str)>, DataError> {
        self.offset += self.line.len() as u64;
        self.number += 1;
        self.line.clear();
        self.reader.read_until(b'\n', &mut self.line).map_err(failed_to("read", &self.path))?;
        if self.line.is_empty() {
            return Ok(None);
        }
        let line = std::str::from_utf8(&self.line).map_err(|error| DataError::NotUtf8 {
            path: self.path.clone(),
            offset: self.offset + error.valid_up_to() as u64,
            hint: if self.number == 1 && matches!(self.line[..], [0xff, 0xfe, ..] | [0xfe, 0xff, ..]) {
                CONVERT_UTF16
            } else {
                CONVERT
            },
        })?;
        let line = if self.number == 1 { line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line) } else { line };
        Ok(Some((self.number, line)))
    }
}
