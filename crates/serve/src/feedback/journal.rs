//! A file of lines that only grows, up to a size.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
};

/// A journal under way.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    size_bytes: u64,
    most_bytes: u64,
}

impl Journal {
    /// The journal at `path`, which is made if it is not there. A line that a crash has cut is ended.
    pub fn open(path: &Path, most_bytes: u64) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let size_bytes = file.seek(SeekFrom::End(0))?;
        let mut journal = Self { file, size_bytes, most_bytes };
        if size_bytes > 0 {
            let mut last = [0];
            journal.file.seek(SeekFrom::End(-1))?;
            journal.file.read_exact(&mut last)?;
            if last != *b"\n" {
                journal.append(b"\n")?;
            }
        }
        Ok(journal)
    }

    /// Add a line, which is on disk then.
    pub fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let size = self.size_bytes.saturating_add(line.len() as u64);
        if size > self.most_bytes {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let written = self.file.write_all(line).and_then(|()| self.file.sync_data());
        match written {
            Ok(()) => self.size_bytes = size,
            // no half of a line, which the next would go on
            Err(_) => self.file.set_len(self.size_bytes)?,
        }
        written
    }
}
