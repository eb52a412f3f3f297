//! file → bytes in memory, read by the system page by page as they are touched.

use std::{fs::File, io::Read, path::Path};

#[cfg(any(unix, windows))]
use memmap2::Mmap;

use crate::error::{FileError, failed_to};

/// The contents of a file, without reading them all where the file system can map files, and read into memory where it
/// cannot (FUSE and network mounts, `/proc`, WebAssembly).
///
/// The file must stay as it is while it is mapped. Files published by [`write_atomic`](crate::write_atomic) do: they
/// are replaced as a whole, and a mapping keeps the file that it began with.
#[derive(Debug)]
pub struct MappedFile {
    contents: Contents,
}

#[derive(Debug)]
enum Contents {
    #[cfg(any(unix, windows))]
    Mapped(Mmap),
    Read(Vec<u8>),
}

/// [`MappedFile::open`] or [`MappedFile::read`].
pub type OpenFile = fn(&Path) -> Result<MappedFile, FileError>;

impl MappedFile {
    /// Open a file for reading.
    ///
    /// # Errors
    /// [`FileError`] if the file cannot be opened, or neither mapped nor read.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let mut file = File::open(path).map_err(failed_to("read", path))?;
        #[cfg(any(unix, windows))]
        if let Ok(map) = map(&file) {
            return Ok(Self { contents: Contents::Mapped(map) });
        }
        Self::all_of(&mut file, path)
    }

    /// Read a file into memory, whatever becomes of it later.
    ///
    /// # Errors
    /// [`FileError`] if the file cannot be read.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        Self::all_of(&mut File::open(path).map_err(failed_to("read", path))?, path)
    }

    fn all_of(file: &mut File, path: &Path) -> Result<Self, FileError> {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed_to("read", path))?;
        Ok(Self { contents: Contents::Read(bytes) })
    }

    /// The contents.
    pub fn bytes(&self) -> &[u8] {
        match &self.contents {
            #[cfg(any(unix, windows))]
            Contents::Mapped(map) => map,
            Contents::Read(bytes) => bytes,
        }
    }
}

/// Map a file whose length the system knows; the files of `/proc` and `/sys` say 0 or too much.
#[cfg(any(unix, windows))]
#[expect(unsafe_code, reason = "a mapping is memory that the operating system shares with other processes")]
fn map(file: &File) -> std::io::Result<Mmap> {
    if file.metadata()?.len() == 0 {
        return Err(std::io::ErrorKind::Unsupported.into());
    }
    // SAFETY: the bytes are valid for `map.len()`, which memmap2 takes from the open file, until the map is dropped,
    // provided nobody shortens or changes the file in place. That is the documented condition of `MappedFile`; this
    // program keeps it by only ever replacing files by rename, which leaves a mapped file alone.
    unsafe { Mmap::map(file) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write_atomic;

    #[test]
    fn a_mapping_outlives_the_replacement_of_its_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        write_atomic(&path, b"old").expect("written");
        let mapped = MappedFile::open(&path).expect("mapped");
        write_atomic(&path, b"").expect("written");
        assert_eq!(mapped.bytes(), b"old");
        assert_eq!(MappedFile::open(&path).expect("mapped").bytes(), b"");
    }

    #[test]
    fn what_was_read_outlives_a_change_in_place() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        std::fs::write(&path, b"old").expect("written");
        let read = MappedFile::read(&path).expect("read");
        std::fs::write(&path, b"").expect("written");
        assert_eq!(read.bytes(), b"old");
    }

    #[test]
    fn an_absent_file_is_named() {
        let error = MappedFile::open(Path::new("no/such/file")).expect_err("absent").to_string();
        assert!(error.contains("no/such/file"), "{error}");
    }

    /// Files of `/proc` cannot be mapped and have no length; those of `/sys` have one and cannot be mapped.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_that_cannot_be_mapped_is_read() {
        for path in ["/proc/self/cmdline", "/sys/devices/system/cpu/possible"] {
            let expected = std::fs::read(path).expect("read");
            assert!(!expected.is_empty());
            assert_eq!(MappedFile::open(Path::new(path)).expect("opened").bytes(), expected, "{path}");
        }
    }
}
