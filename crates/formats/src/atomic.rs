//! contents → temporary sibling → fsync → rename → fsync of the directory
//!
//! A reader, or a machine that loses power, sees the old file or the new one, never a part.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use crate::Result;
use crate::error::io;

/// Bytes collected before the system is asked to write them.
const BUFFER_BYTES: usize = 1 << 20;

/// Replaces the contents of a file, whole or not at all.
///
/// # Errors
///
/// If the directory does not exist or cannot be written; `path` is then as it was, and nothing is left beside it.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    publish(path, |file| file.write_all(bytes))
}

/// [`write_atomic`] for contents that `fill` produces piece by piece.
pub(crate) fn publish(path: &Path, fill: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<()> {
    try_publish(path, fill).map_err(io("write", path))
}

fn try_publish(path: &Path, fill: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> std::io::Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut sibling = temporary_in(dir)?;
    let mut buffered = BufWriter::with_capacity(BUFFER_BYTES, sibling.as_file_mut());
    fill(&mut buffered)?;
    buffered.flush()?;
    drop(buffered);
    sibling.as_file().sync_all()?;
    sibling.persist(path)?;
    sync_dir(dir)
}

/// A file that disappears unless it is renamed, with the permissions of any other new file.
fn temporary_in(dir: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".").suffix(".part");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(dir)
}

/// Makes the rename itself durable. Other systems have no such call on a directory, and order renames themselves.
fn sync_dir(dir: &Path) -> std::io::Result<()> {
    if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
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
        let error = publish(&path, full).expect_err("no space").to_string();
        assert!(error.contains(&*path.to_string_lossy()), "{error}");
        assert_eq!(fs::read(&path).expect("read"), b"old");
        assert_eq!(names(dir.path()), ["file"]);
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
