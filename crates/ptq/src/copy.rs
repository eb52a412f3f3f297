//! the other files of a directory → the same files, byte for byte.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use itera_files::{FileError, failed_to, sync_dir};

/// Directories that versions and downloads are managed in, weights again among them.
const MANAGED: [&str; 2] = [".git", ".cache"];

/// Directories within directories that are looked into, so that links in a circle end.
const MAX_DEPTH: usize = 16;

/// Every file below `dir` but those that `is_ours` names, relative to it, in order of name. A link is the file that it points to;
/// what is neither file nor directory is left out.
///
/// # Errors
/// What the system refuses.
pub(crate) fn others(dir: &Path, is_ours: impl Fn(&Path) -> bool) -> Result<Vec<PathBuf>, FileError> {
    let mut found = Vec::new();
    let mut open = vec![(PathBuf::new(), 0)];
    while let Some((within, depth)) = open.pop() {
        let here = dir.join(&within);
        for entry in fs::read_dir(&here).map_err(failed_to("list", &here))? {
            let entry = entry.map_err(failed_to("list", &here))?;
            let path = within.join(entry.file_name());
            let about = fs::metadata(entry.path()).map_err(failed_to("read", &entry.path()))?;
            if about.is_file() && !is_ours(&path) {
                found.push(path);
            } else if about.is_dir() && depth < MAX_DEPTH && !MANAGED.iter().any(|name| entry.file_name() == *name) {
                open.push((path, depth + 1));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Copy files of `dir`, named relative to it, to the same places in `out`, durably.
///
/// # Errors
/// What the system refuses.
pub(crate) fn copy(dir: &Path, out: &Path, files: &[PathBuf]) -> Result<(), FileError> {
    for file in files {
        let (from, to) = (dir.join(file), out.join(file));
        let parent = to.parent().unwrap_or(out);
        fs::create_dir_all(parent).map_err(failed_to("create", parent))?;
        let mut source = File::open(&from).map_err(failed_to("read", &from))?;
        let mut target = File::create(&to).map_err(failed_to("write", &to))?;
        io::copy(&mut source, &mut target).and_then(|_| target.sync_all()).map_err(failed_to("write", &to))?;
        sync_dir(parent)?;
    }
    Ok(())
}
