//! a model file or directory → what its files hold, in a few bytes

use std::{
    ffi::OsStr,
    fs::{self, File},
    path::{Path, PathBuf},
};

use itera_files::{Sha256Digest, failed_to};

use crate::error::Result;

/// Name and sha256 of each file that a model is read from, in order of names: the file itself, or those of a directory that
/// end with `json`, `safetensors` or `jinja`.
///
/// # Errors
/// If one cannot be read.
pub fn file_hashes(path: &Path) -> Result<Vec<String>> {
    let hashed = |file: PathBuf| {
        let hash = File::open(&file).and_then(Sha256Digest::of_reader).map_err(failed_to("read", &file))?;
        Ok(format!("{} {}", file.file_name().unwrap_or_default().display(), hash.0))
    };
    if !path.is_dir() {
        return Ok(vec![hashed(path.into())?]);
    }
    let entries =
        fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(failed_to("read", path))?;
    let is_meant = |path: &PathBuf| {
        let ending = path.extension().and_then(OsStr::to_str);
        ending.is_some_and(|ending| ["json", "safetensors", "jinja"].contains(&ending))
    };
    let mut files: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).filter(is_meant).collect();
    files.sort();
    files.into_iter().map(hashed).collect()
}
