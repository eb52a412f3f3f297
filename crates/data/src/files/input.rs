//! file or standard input → bytes, decompressed and without a byte order mark
//!
//! Compression is told by the first bytes, whatever the name. So is what can never be text, which is refused by its name.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Cursor, Read},
    path::{Path, PathBuf},
};

use flate2::bufread::MultiGzDecoder;
use itera_files::{failed_to, is_lfs_pointer};

use super::zstd::Zstd;
use crate::error::DataError;

/// Bytes looked at to tell what a file is.
pub(super) const HEAD_BYTES: u64 = 64;
const BUFFER_BYTES: usize = 1 << 20;
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
/// Beginnings of what is not text.
const FOREIGN: [(&[u8], &str); 5] = [
    (b"PAR1\x15", "a parquet file"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\xfd7zXZ\0", "xz-compressed"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"\x1f\x9d", "compressed by `compress`"),
];

/// Bytes of a file, from the first one of its text.
pub(super) struct Input {
    /// The file, or the words "standard input".
    pub(super) path: PathBuf,
    pub(super) reader: Box<dyn BufRead>,
    /// Bytes of a byte order mark, which is not part of the text.
    pub(super) mark_bytes: u64,
    /// What fails if reading does: `read` or `decompress`.
    pub(super) action: &'static str,
}

impl Input {
    pub(super) fn open(path: &Path) -> Result<Self, DataError> {
        if path == Path::new(super::STDIN) {
            return Self::of(Path::new("standard input"), io::stdin().lock());
        }
        let file = File::open(path).map_err(failed_to("read", path))?;
        Self::of(path, BufReader::with_capacity(BUFFER_BYTES, file))
    }

    fn of(path: &Path, reader: impl BufRead + 'static) -> Result<Self, DataError> {
        let (head, reader) = peek(reader).map_err(failed_to("read", path))?;
        let (head, reader, action): (_, Box<dyn BufRead>, _) = match &head[..] {
            [0x1f, 0x8b, ..] => unpacked(path, MultiGzDecoder::new(reader))?,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => unpacked(path, Zstd::new(reader))?,
            _ => (head, Box::new(reader), "read"),
        };
        refuse_foreign(path, &head)?;
        let mut input = Self { path: path.into(), reader, mark_bytes: 0, action };
        if head.starts_with(BYTE_ORDER_MARK) {
            input.mark_bytes = BYTE_ORDER_MARK.len() as u64;
            let skipped = io::copy(&mut input.reader.by_ref().take(input.mark_bytes), &mut io::sink());
            skipped.map_err(failed_to(action, path))?;
        }
        Ok(input)
    }

    /// The rest of the bytes.
    pub(super) fn read_to_end(&mut self) -> Result<Vec<u8>, DataError> {
        let mut bytes = Vec::new();
        self.reader.read_to_end(&mut bytes).map_err(failed_to(self.action, &self.path))?;
        Ok(bytes)
    }
}

type Unpacked = (Vec<u8>, Box<dyn BufRead>, &'static str);

fn unpacked(path: &Path, reader: impl Read + 'static) -> Result<Unpacked, DataError> {
    let reader = BufReader::with_capacity(BUFFER_BYTES, reader);
    let (head, reader) = peek(reader).map_err(failed_to("decompress", path))?;
    Ok((head, Box::new(reader), "decompress"))
}

/// The first bytes, and a reader that begins with them.
fn peek<R: BufRead>(mut reader: R) -> io::Result<(Vec<u8>, impl BufRead + use<R>)> {
    let mut head = Vec::new();
    reader.by_ref().take(HEAD_BYTES).read_to_end(&mut head)?;
    Ok((head.clone(), Cursor::new(head).chain(reader)))
}

fn refuse_foreign(path: &Path, head: &[u8]) -> Result<(), DataError> {
    if is_lfs_pointer(head) {
        return Err(DataError::LfsPointer { path: path.into() });
    }
    if let Some((_, what)) = FOREIGN.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Err(DataError::Foreign { path: path.into(), what });
    }
    if let [0xff, 0xfe, ..] | [0xfe, 0xff, ..] = head {
        return Err(DataError::NotUtf8 { path: path.into(), offset: 0, is_utf16: true });
    }
    Ok(())
}
