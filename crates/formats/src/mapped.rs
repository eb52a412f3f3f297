//! file → bytes in memory, read by the system page by page as they are touched.

use std::fs::File;
use std::path::Path;

use memmap2::Mmap;

use crate::Result;
use crate::error::io;

/// The contents of a file, without reading them all.
///
/// The file must stay as it is while it is mapped. Files published by [`write_atomic`](crate::write_atomic) do: they
/// are replaced as a whole, and a mapping keeps the file that it began with.
#[derive(Debug)]
pub struct MappedFile {
    map: Mmap,
}

impl MappedFile {
    /// Maps a file for reading.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened or mapped; the message names it.
    #[expect(unsafe_code, reason = "a mapping is memory that the operating system shares with other processes")]
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(io("read", path))?;
        // SAFETY: the bytes are valid for `map.len()`, which memmap2 takes from the open file, until the map is dropped,
        // provided nobody shortens or changes the file in place. That is the documented condition of this type; this
        // program keeps it by only ever replacing files by rename, which leaves a mapped file alone.
        let map = unsafe { Mmap::map(&file) }.map_err(io("map", path))?;
        Ok(Self { map })
    }

    /// The contents.
    pub fn bytes(&self) -> &[u8] {
        &self.map
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_outlives_the_replacement_of_its_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        crate::write_atomic(&path, b"old").expect("written");
        let mapped = MappedFile::open(&path).expect("mapped");
        crate::write_atomic(&path, b"").expect("written");
        assert_eq!(mapped.bytes(), b"old");
        assert_eq!(MappedFile::open(&path).expect("mapped").bytes(), b"");
    }

    #[test]
    fn an_absent_file_is_named() {
        let error = MappedFile::open(Path::new("no/such/file")).expect_err("absent").to_string();
        assert!(error.contains("no/such/file"), "{error}");
    }
}
