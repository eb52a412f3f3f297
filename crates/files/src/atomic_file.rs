//! contents → temporary sibling → fsync → rename → fsync of the directory

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, ErrorKind, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use crate::{
    atomic_dir::{parent_of, try_sync_dir},
    error::{FileError, failed_to},
};

/// Bytes collected before the system is asked to write them.
const BUFFER_BYTES: usize = 1 << 20;

/// Replace the contents of a file, whole or not at all.
///
/// # Errors
/// [`FileError`] if the directory does not exist or cannot be written; `path` is then as it was, and nothing is left
/// beside it.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    write_atomic_with(path, |file| file.write_all(bytes))
}

/// [`write_atomic`] for contents that `fill` produces piece by piece.
///
/// # Errors
/// As [`write_atomic`], and if `fill` fails.
pub fn write_atomic_with(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), FileError> {
    publish(path, fill).map_err(failed_to("write", path))
}

/// Create a file, whole, unless there is one of that name; returns whether it was created. Of several processes, on any hosts
/// that share the directory, one creates it.
///
/// A hard link gives the file its name, which no file system does twice, or, where there are no links, an exclusive creation:
/// then a reader may find it without its contents for a moment.
///
/// # Errors
/// [`FileError`] if the directory does not exist or cannot be written.
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<bool, FileError> {
    let create = || -> io::Result<bool> {
        let dir = parent_of(path);
        let mut sibling = Sibling::create_in(dir)?;
        sibling.file.write_all(bytes)?;
        sibling.file.sync_all()?;
        let is_new = match fs::hard_link(&sibling.path, path) {
            Ok(()) => true,
            // the answer of a server may be lost, and the question asked again
            Err(error) if error.kind() == ErrorKind::AlreadyExists => has_two_names(&sibling.file)?,
            Err(error) if has_no_links(&error) => create_new(path, bytes)?,
            Err(error) => return Err(error),
        };
        try_sync_dir(dir)?;
        Ok(is_new)
    };
    create().map_err(failed_to("create", path))
}

fn create_new(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(mut file) => file.write_all(bytes).and_then(|()| file.sync_all()).map(|()| true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(unix)]
fn has_two_names(file: &File) -> io::Result<bool> {
    Ok(std::os::unix::fs::MetadataExt::nlink(&file.metadata()?) == 2)
}

#[cfg(not(unix))]
fn has_two_names(_: &File) -> io::Result<bool> {
    Ok(false)
}

/// Whether a file system has no hard links, as FAT and some of FUSE have none.
fn has_no_links(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::PermissionDenied | ErrorKind::TooManyLinks)
}

fn publish(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let dir = parent_of(path);
    let sibling = Sibling::create_in(dir)?;
    let mut buffered = BufWriter::with_capacity(BUFFER_BYTES, &sibling.file);
    fill(&mut buffered)?;
    buffered.flush()?;
    drop(buffered);
    sibling.file.sync_all()?;
    sibling.rename_to(path)?;
    try_sync_dir(dir)
}

/// A new file that is removed unless it is renamed.
struct Sibling {
    file: File,
    /// Empty once the file has its final name.
    path: PathBuf,
}

impl Sibling {
    /// A file with a name that no other has: a machine that shares the directory may have a process of the same number,
    /// and an earlier one of that number may have been killed.
    fn create_in(dir: &Path) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        // WASI has no processes, and asking panics
        let process = if cfg!(target_family = "wasm") { 0 } else { std::process::id() };
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = dir.join(format!(".itera-{process}-{number}.part"));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok(Self { file, path }),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn rename_to(mut self, path: &Path) -> io::Result<()> {
        fs::rename(&self.path, path)?;
        self.path = PathBuf::new();
        Ok(())
    }
}

impl Drop for Sibling {
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty() {
            // the error that matters is the one that stopped the writing
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).expect("a directory");
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn replaces_the_whole_file_and_leaves_no_other() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        for contents in [&b"the first, longer one"[..], b"short", b""] {
            write_atomic(&path, contents).expect("written");
            assert_eq!(fs::read(&path).expect("read"), contents);
        }
        assert_eq!(names(dir.path()), ["file"]);
    }

    #[test]
    fn a_failure_leaves_the_old_file_and_no_other() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        write_atomic(&path, b"old").expect("written");
        let full = |file: &mut dyn Write| file.write_all(b"ne").and(Err(std::io::ErrorKind::StorageFull.into()));
        let error = write_atomic_with(&path, full).expect_err("no space").to_string();
        assert!(error.contains(&*path.to_string_lossy()), "{error}");
        assert_eq!(fs::read(&path).expect("read"), b"old");
        assert_eq!(names(dir.path()), ["file"]);
    }

    #[test]
    fn of_many_that_create_a_file_one_does() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        for create in
            [write_new, |path: &Path, bytes: &[u8]| create_new(path, bytes).map_err(failed_to("create", path))]
        {
            let path = &path;
            let created: Vec<u8> = std::thread::scope(|scope| {
                let threads: Vec<_> =
                    (0..8).map(|n| scope.spawn(move || create(path, &[n; 9]).expect("tried"))).collect();
                let created = threads.into_iter().map(|thread| thread.join().expect("no panic"));
                (0..8).zip(created).filter(|(_, created)| *created).map(|(n, _)| n).collect()
            });
            assert_eq!(created.len(), 1);
            assert_eq!(fs::read(path).expect("read"), [created[0]; 9]);
            assert_eq!(names(dir.path()), ["file"]);
            fs::remove_file(path).expect("removed");
        }
    }

    #[test]
    fn a_target_that_cannot_be_replaced_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let taken = dir.path().join("taken");
        fs::create_dir(&taken).expect("created");
        for path in [taken, dir.path().join("absent/file")] {
            let error = write_atomic(&path, b"new").expect_err("refused").to_string();
            assert!(error.contains(&*path.to_string_lossy()), "{error}");
        }
        assert_eq!(names(dir.path()), ["taken"]);
    }

    #[test]
    fn a_name_that_a_killed_process_left_is_passed_over() {
        let dir = tempfile::tempdir().expect("a directory");
        let left = |number: u64| dir.path().join(format!(".itera-{}-{number}.part", std::process::id()));
        (0..100).for_each(|number| fs::write(left(number), b"left").expect("written"));
        write_atomic(&dir.path().join("file"), b"new").expect("written");
        assert_eq!(fs::read(dir.path().join("file")).expect("read"), b"new");
        assert_eq!(names(dir.path()).len(), 101);
    }

    #[cfg(unix)]
    #[test]
    fn others_may_read_it_if_they_may_read_new_files() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a directory");
        let mode = |name: &str| fs::metadata(dir.path().join(name)).expect("metadata").permissions().mode();
        fs::write(dir.path().join("plain"), b"").expect("written");
        write_atomic(&dir.path().join("atomic"), b"").expect("written");
        assert_eq!(mode("atomic"), mode("plain"));
    }
}
