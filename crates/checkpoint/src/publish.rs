//! A directory appears whole or not at all.
//!
//! ```text
//! fill → .name.tmp → fsync → what is in the way → .name.replaced → rename → fsync of the parent → replaced is removed
//! ```

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use crate::error::{CheckpointError, io};

/// Makes `path` the directory that `fill` fills, in the place of what was there. If it fails, what was there stays.
pub(crate) fn publish_dir(
    path: &Path,
    fill: impl FnOnce(&Path) -> Result<(), CheckpointError>,
) -> Result<(), CheckpointError> {
    let staging = beside(path, "tmp");
    remove(&staging)?;
    let result = fill_and_rename(path, &staging, fill);
    if result.is_err() {
        // the error that matters is the one that stopped the writing
        let _ = fs::remove_dir_all(&staging);
    }
    result
}

fn fill_and_rename(
    path: &Path,
    staging: &Path,
    fill: impl FnOnce(&Path) -> Result<(), CheckpointError>,
) -> Result<(), CheckpointError> {
    fs::create_dir_all(staging).map_err(io("create", staging))?;
    fill(staging)?;
    sync_dir(staging)?;
    // what is already there stays whole until the new one can take its place
    let replaced = beside(path, "replaced");
    remove(&replaced)?;
    if path.exists() {
        fs::rename(path, &replaced).map_err(io("replace", path))?;
    }
    fs::rename(staging, path).map_err(io("publish", path))?;
    sync_dir(path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))?;
    remove(&replaced)
}

/// `.name.ending` in the same directory.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{ending}"))
}

/// Remove a file, or a directory and what is in it, if it is there.
pub(crate) fn remove(path: &Path) -> Result<(), CheckpointError> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Make renames in `dir` durable, where the system lets a directory be opened.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), CheckpointError> {
    if cfg!(not(unix)) {
        return Ok(());
    }
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(io("sync", dir))
}
