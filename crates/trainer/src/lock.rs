//! run directory → the one process that writes it

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, ErrorKind},
    path::Path,
};

#[cfg(unix)]
use rustix::io::Errno;

use crate::error::TrainError;

/// Keeps other processes out of a run directory for as long as it lives; the system lets go of the lock when the process
/// ends, however it ends.
#[derive(Debug)]
pub(crate) struct RunLock {
    _file: File,
    /// Why nobody is kept out, where the file system has no locks.
    pub(crate) missing: Option<io::Error>,
}

impl RunLock {
    /// Lock `dir`, which exists.
    pub(crate) fn take(dir: &Path) -> Result<Self, TrainError> {
        Self::take_by(File::try_lock, dir)
    }

    fn take_by(try_lock: impl Fn(&File) -> Result<(), TryLockError>, dir: &Path) -> Result<Self, TrainError> {
        let unwritable = |source| TrainError::RunDir { path: dir.into(), source };
        let options = OpenOptions::new().write(true).create(true).truncate(false).open(dir.join(".lock"));
        let file = options.map_err(unwritable)?;
        let missing = match try_lock(&file) {
            Ok(()) => None,
            Err(TryLockError::WouldBlock) => return Err(TrainError::RunBusy { dir: dir.into() }),
            Err(TryLockError::Error(error)) if has_no_locks(&error) => Some(error),
            Err(TryLockError::Error(error)) => return Err(unwritable(error)),
        };
        Ok(Self { _file: file, missing })
    }
}

/// Whether a file system has no locks (Lustre without `-o flock`, FUSE) or its lock service does not answer (NFS).
fn has_no_locks(error: &io::Error) -> bool {
    #[cfg(unix)]
    if Errno::from_io_error(error) == Some(Errno::NOLCK) {
        return true;
    }
    error.kind() == ErrorKind::Unsupported
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_without_locks_is_told_from_a_lock_that_is_taken_and_from_a_failure() {
        let dir = tempfile::tempdir().expect("a directory");
        let refuse = |code: i32| move |_: &File| Err(TryLockError::Error(io::Error::from_raw_os_error(code)));
        #[cfg(unix)]
        for code in [Errno::NOSYS, Errno::OPNOTSUPP, Errno::NOTSUP, Errno::NOLCK].map(Errno::raw_os_error) {
            let lock = RunLock::take_by(refuse(code), dir.path()).expect("it goes on");
            assert_eq!(lock.missing.and_then(|error| error.raw_os_error()), Some(code));
        }
        #[cfg(unix)]
        for code in [Errno::IO, Errno::BADF].map(Errno::raw_os_error) {
            let error = RunLock::take_by(refuse(code), dir.path()).expect_err("a failure");
            assert!(matches!(error, TrainError::RunDir { .. }), "{error}");
        }
        let held = RunLock::take(dir.path()).expect("free");
        assert!(held.missing.is_none());
        let error = RunLock::take(dir.path()).expect_err("it is taken");
        assert!(matches!(error, TrainError::RunBusy { .. }), "{error}");
    }

    #[test]
    fn a_file_of_that_name_keeps_its_contents() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join(".lock"), "mine").expect("written");
        drop(RunLock::take(dir.path()).expect("locked"));
        assert_eq!(std::fs::read(dir.path().join(".lock")).expect("read"), b"mine");
    }
}
