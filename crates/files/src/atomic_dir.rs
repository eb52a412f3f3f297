//! A directory appears whole or not at all.
//!
//! ```text
//! fill → .name.itera-tmp → fsync → it and what is in the way exchange names → fsync of the parent → what was there is removed
//! ```

use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use crate::error::{FileError, failed_to};

/// Endings of the hidden names beside a directory under which it is made, and kept until its successor has its place. No
/// other program gives them, so that what an interrupted one left can be removed.
pub const STAGING_ENDINGS: [&str; 2] = [STAGING, REPLACED];
const STAGING: &str = "itera-tmp";
const REPLACED: &str = "itera-replaced";

/// Replace what is at `path`, if anything, by the directory that `fill` fills. If that fails, the old contents stay.
///
/// `fill` makes the files that it writes durable; their names in the directory are made so here.
///
/// # Errors
/// Those of `fill`, and what the system refuses.
pub fn publish_dir<E: From<FileError>>(path: &Path, fill: impl FnOnce(&Path) -> Result<(), E>) -> Result<(), E> {
    let staging = beside(path, STAGING);
    remove(&staging)?;
    let result = fill_and_rename(path, &staging, fill);
    if result.is_err() {
        // the error that matters is the one that stopped the writing
        let _ = fs::remove_dir_all(&staging);
    }
    result
}

fn fill_and_rename<E: From<FileError>>(
    path: &Path,
    staging: &Path,
    fill: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    fs::create_dir_all(staging).map_err(failed_to("create", staging))?;
    fill(staging)?;
    sync_dir(staging)?;
    Ok(publish(staging, path)?)
}

/// Rename the durable file or directory `from` to `path`, on the same file system, and remove what was there. At every moment
/// `path` is the old or the new, whole. One exception: if the system cannot exchange two names, a directory is missing for an
/// instant, and the old one is beside it until `from` is in place.
///
/// # Errors
/// [`FileError`] if a name cannot be changed.
pub fn publish(from: &Path, path: &Path) -> Result<(), FileError> {
    let is_dir = |path: &Path| fs::symlink_metadata(path).is_ok_and(|about| about.is_dir());
    let replaced = beside(path, REPLACED);
    if fs::symlink_metadata(path).is_ok() && (is_dir(path) || is_dir(from)) {
        if exchange(from, path).is_ok() {
            sync_dir(parent_of(path))?;
            return remove(from);
        }
        remove(&replaced)?;
        fs::rename(path, &replaced).map_err(failed_to("replace", path))?;
    }
    fs::rename(from, path).map_err(failed_to("publish", path))?;
    sync_dir(parent_of(path))?;
    remove(&replaced)
}

/// Let two names change places in one step.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn exchange(a: &Path, b: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    Ok(renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE)?)
}

/// This system has no such call.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn exchange(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// `.name.ending` in the same directory.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".");
    name.push(ending);
    path.with_file_name(name)
}

/// Remove a file, or a directory and all in it, if it is there.
///
/// # Errors
/// [`FileError`] if it is there and cannot be removed.
pub fn remove(path: &Path) -> Result<(), FileError> {
    let is_dir = fs::symlink_metadata(path).is_ok_and(|about| about.is_dir());
    let removed = if is_dir { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed_to("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Make renames in `dir` durable, where the system lets a directory be synced.
///
/// # Errors
/// [`FileError`] if the directory cannot be opened, or the disk fails.
pub fn sync_dir(dir: &Path) -> Result<(), FileError> {
    try_sync_dir(dir).map_err(failed_to("sync", dir))
}

/// Systems other than Unix have no such call on a directory, and order renames themselves; neither have some file systems
/// of Unix (FUSE, SMB), which answer that the argument is invalid.
pub(crate) fn try_sync_dir(dir: &Path) -> io::Result<()> {
    if cfg!(not(unix)) {
        return Ok(());
    }
    match File::open(dir)?.sync_all() {
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        synced => synced,
    }
}

/// The directory that `path` is in.
pub(crate) fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill_with(text: &str) -> impl FnOnce(&Path) -> Result<(), FileError> {
        move |dir| crate::write_atomic(&dir.join("file"), text.as_bytes())
    }

    #[test]
    fn a_directory_is_replaced_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("model");
        for text in ["first", "second"] {
            publish_dir(&path, fill_with(text)).expect("published");
            assert_eq!(fs::read_to_string(path.join("file")).expect("read"), text);
        }
        assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 1);
    }

    /// So a program that is killed at any moment leaves one of them.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_reader_finds_the_old_or_the_new_at_every_moment() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("model");
        publish_dir(&path, fill_with("0")).expect("published");
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    assert!(path.is_dir(), "nothing is there");
                }
            });
            for _ in 0..300 {
                let next = dir.path().join("next");
                fs::create_dir(&next).expect("created");
                publish(&next, &path).expect("published");
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            reader.join().expect("a whole directory every time");
        });
        assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 1);
    }

    #[test]
    fn a_file_and_a_directory_replace_each_other() {
        let dir = tempfile::tempdir().expect("a directory");
        let (path, from) = (dir.path().join("model"), dir.path().join("next"));
        fs::write(&path, "old").expect("written");
        fs::create_dir(&from).expect("created");
        publish(&from, &path).expect("published");
        assert!(path.is_dir() && !from.exists());
        fs::write(&from, "new").expect("written");
        publish(&from, &path).expect("published");
        assert_eq!(fs::read_to_string(&path).expect("read"), "new");
        assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 1);
    }

    #[test]
    fn a_failure_leaves_what_was_there() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("model");
        publish_dir(&path, fill_with("old")).expect("published");
        let failing = |dir: &Path| fs::read(dir.join("absent")).map(drop).map_err(failed_to("read", dir));
        publish_dir(&path, failing).expect_err("refused");
        assert_eq!(fs::read_to_string(path.join("file")).expect("read"), "old");
        assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_removed_and_not_what_it_points_to() {
        let dir = tempfile::tempdir().expect("a directory");
        let (target, link) = (dir.path().join("target"), dir.path().join("link"));
        fs::create_dir(&target).expect("created");
        std::os::unix::fs::symlink(&target, &link).expect("linked");
        remove(&link).expect("removed");
        assert!(target.is_dir() && !link.is_symlink());
    }

    #[cfg(unix)]
    #[test]
    fn a_name_that_is_not_unicode_is_kept() {
        use std::os::unix::ffi::OsStrExt;
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join(std::ffi::OsStr::from_bytes(b"mod\xffel"));
        publish_dir(&path, fill_with("text")).expect("published");
        assert!(path.is_dir());
    }

    /// `/proc` answers a sync as some network file systems do.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_system_without_directory_sync_is_no_failure() {
        let proc = Path::new("/proc");
        assert!(File::open(proc).expect("opened").sync_all().is_err(), "nothing is tested otherwise");
        sync_dir(proc).expect("passed over");
    }
}
