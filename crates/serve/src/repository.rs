//! a directory of models → their names, versions and files
//!
//! ```text
//! NAME.gguf                          version 1 of NAME
//! NAME/config.json …                 version 1: a Hugging Face directory
//! NAME/2/config.json …, NAME/3/x.gguf    versions 2 and 3: such a directory, or the only GGUF file in one
//! ```
//!
//! What is neither, or begins with a dot, is no model. Whether files are sound is seen when a model is loaded.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

use itera_files::{FileError, failed_to};

/// The version of a model that has no others.
pub(crate) const ONLY: u64 = 1;

/// A model, and where it lies. It is read when it is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelSource {
    /// What requests call it.
    pub name: String,
    /// From 1.
    pub version: u64,
    /// Its file, or Hugging Face directory.
    pub path: PathBuf,
}

impl ModelSource {
    /// A model without other versions.
    pub fn new(name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Self { name: name.into(), version: ONLY, path: path.into() }
    }
}

/// The models in `dir`, in order of names and versions.
///
/// # Errors
/// If `dir` cannot be read. A part of it that cannot has no models.
pub fn models_in(dir: &Path) -> Result<Vec<ModelSource>, FileError> {
    let mut found = Vec::new();
    for path in entries(dir).map_err(failed_to("read", dir))? {
        if is_gguf(&path) && path.is_file() {
            found.extend(name(path.file_stem()).map(|name| ModelSource { name, version: ONLY, path }));
        } else if let (true, Some(name)) = (path.is_dir(), name(path.file_name())) {
            let numbered =
                entries(&path).unwrap_or_default().into_iter().filter_map(|path| Some((number(&path)?, path)));
            let versions: Vec<_> = if is_model(&path) { vec![(ONLY, path)] } else { numbered.collect() };
            let of_version = |(version, path)| ModelSource { name: name.clone(), version, path: model_of(path) };
            found.extend(versions.into_iter().map(of_version));
        }
    }
    found.sort_by(|a, b| (&a.name, a.version).cmp(&(&b.name, b.version)));
    // a file and a directory may have one name: the directory is meant
    found.dedup_by(|later, first| {
        (&later.name, later.version) == (&first.name, first.version) && {
            if later.path.is_dir() {
                first.path = later.path.clone();
            }
            true
        }
    });
    Ok(found)
}

/// What is in `dir` and does not begin with a dot.
fn entries(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let all = fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()?;
    let is_shown = |path: &PathBuf| path.file_name().is_some_and(|name| !name.as_encoded_bytes().starts_with(b"."));
    Ok(all.into_iter().filter(is_shown).collect())
}

fn is_gguf(path: &Path) -> bool {
    path.extension() == Some(OsStr::new("gguf"))
}

fn is_model(dir: &Path) -> bool {
    dir.join("config.json").is_file() || only_gguf(dir).is_some()
}

fn only_gguf(dir: &Path) -> Option<PathBuf> {
    let mut files = entries(dir).ok()?.into_iter().filter(|path| is_gguf(path));
    files.next().filter(|_| files.next().is_none())
}

/// The file that `dir` holds, or itself.
fn model_of(path: PathBuf) -> PathBuf {
    match path.join("config.json").is_file() {
        true => path,
        false => only_gguf(&path).unwrap_or(path),
    }
}

/// A name that requests can ask for: of a path that is text, without control characters.
fn name(file: Option<&OsStr>) -> Option<String> {
    file?.to_str().filter(|name| !name.contains(char::is_control)).map(str::to_owned)
}

/// A version as Triton numbers them: from 1, without leading zeros.
fn number(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    let is_number = !name.starts_with('0') && name.bytes().all(|byte| byte.is_ascii_digit());
    name.parse().ok().filter(|_| is_number && path.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_files_directories_and_versions() {
        let dir = tempfile::tempdir().expect("a directory");
        let files = [
            "a.gguf",
            "b/config.json",
            "c/1/config.json",
            "c/10/x.gguf",
            "c/2/config.json",
            "c/02/config.json",
            "c/x/config.json",
            "d/one.gguf",
            "e/1/one.gguf",
            "e/1/two.gguf",
            ".hidden/config.json",
            "f.txt",
            "g/readme",
            "b.gguf",
            "c/3",
        ];
        for file in files {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().expect("a directory")).expect("made");
            fs::write(path, "").expect("written");
        }
        let found = models_in(dir.path()).expect("read");
        let found: Vec<_> = found
            .iter()
            .map(|found| {
                let path = found.path.strip_prefix(dir.path()).expect("within").display().to_string();
                (found.name.as_str(), found.version, path)
            })
            .collect();
        let expected = [
            ("a", 1, "a.gguf"),
            ("b", 1, "b"),
            ("c", 1, "c/1"),
            ("c", 2, "c/2"),
            ("c", 10, "c/10/x.gguf"),
            ("d", 1, "d/one.gguf"),
            ("e", 1, "e/1"),
        ];
        assert_eq!(found, expected.map(|(name, version, path)| (name, version, path.to_owned())));
        assert!(models_in(&dir.path().join("nowhere")).is_err());
    }
}
