//! a directory → the files that hold its weights, mapped
//!
//! ```text
//! model.safetensors                                    ─▶ that one
//! model.safetensors.index.json: tensor → file ─ each file once ─▶ model-00001-of-00002.safetensors, …
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use itera_files::{MappedFile, OpenFile};
use serde::{Deserialize, de::DeserializeOwned};

use super::json::{in_file, read_json};
use super::settings::unsupported;
use crate::{
    error::{FormatError, Result},
    tensors::{Indexed, index},
};

pub(crate) const WEIGHTS: &str = "model.safetensors";
/// The name of the file that says which tensor is in which file.
pub const INDEX: &str = "model.safetensors.index.json";

/// Longest index that is read: a million tensors.
const MAX_INDEX_BYTES: u64 = 100 << 20;

/// A file that holds weights of a directory, not opened yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightFile {
    /// Where it is.
    pub path: PathBuf,
    /// The tensors that the index says are in it; `None` without an index.
    pub expected: Option<BTreeSet<String>>,
}

impl WeightFile {
    /// An error unless the tensors found in it are those that the index says.
    ///
    /// # Errors
    /// [`FormatError::Names`] with the tensors that are missing and those that the index does not know.
    pub fn check<'a>(&self, found: impl Iterator<Item = &'a str>) -> Result<()> {
        let Some(expected) = &self.expected else { return Ok(()) };
        let found: BTreeSet<String> = found.map(str::to_owned).collect();
        let only_in = |one: &BTreeSet<String>, other| one.difference(other).cloned().collect::<Vec<_>>();
        let (missing, unexpected) = (only_in(expected, &found), only_in(&found, expected));
        if missing.is_empty() && unexpected.is_empty() {
            return Ok(());
        }
        Err(FormatError::Names { path: self.path.clone(), missing, unexpected })
    }
}

/// A file of weights, mapped or in memory.
#[derive(Debug)]
pub(crate) struct Shard {
    about: WeightFile,
    file: MappedFile,
}

impl Shard {
    pub(crate) fn path(&self) -> &Path {
        &self.about.path
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.file.bytes()
    }

    pub(crate) fn into_file(self) -> MappedFile {
        self.file
    }

    /// Its tensors in order of name, found to be those that the index says, and the bytes that they lie in.
    pub(super) fn tensors(&self) -> Result<(Vec<Indexed>, &[u8])> {
        let (tensors, numbers) = index(self.path(), self.bytes())?;
        self.about.check(tensors.iter().map(|tensor| tensor.name.as_str()))?;
        Ok((tensors, numbers))
    }
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The files of weights of a directory, each opened by `open`.
pub(crate) fn open_weights(dir: &Path, open: OpenFile) -> Result<Vec<Shard>> {
    let shard = |about: WeightFile| Ok(Shard { file: open(&about.path)?, about });
    weight_files(dir)?.into_iter().map(shard).collect()
}

/// The files of weights of a directory: `model.safetensors`, or those that `model.safetensors.index.json` names, which lie
/// beside it, in order of name.
///
/// # Errors
/// If the index cannot be read, is too long, or names a file elsewhere.
pub fn weight_files(dir: &Path) -> Result<Vec<WeightFile>> {
    let (one, index) = (dir.join(WEIGHTS), dir.join(INDEX));
    if one.exists() || !index.exists() {
        return Ok(vec![WeightFile { path: one, expected: None }]);
    }
    let of_index = in_file(&index);
    let Index { weight_map } = read_index(dir)?;
    let mut files: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (tensor, file) in weight_map {
        if !is_name(&file) {
            let supported = "the name of a file in the same directory";
            return Err(of_index(unsupported(&format!("weight_map.{tensor}"), Some(&file.into()), supported)));
        }
        files.entry(file).or_default().insert(tensor);
    }
    if files.is_empty() {
        return Err(of_index(unsupported("weight_map", None, "the files of the tensors, by name")));
    }
    let file = |(file, tensors)| WeightFile { path: dir.join::<String>(file), expected: Some(tensors) };
    Ok(files.into_iter().map(file).collect())
}

/// What the index of a directory says.
///
/// # Errors
/// If it cannot be read, is too long, or does not say that.
pub fn read_index<T: DeserializeOwned>(dir: &Path) -> Result<T> {
    let path = dir.join(INDEX);
    let json = read_json(&path, MAX_INDEX_BYTES)?;
    serde_json::from_value(json).map_err(|error| in_file(&path)(error.into()))
}

/// Whether a path stays in its directory: it is the name of a file and nothing else.
pub(super) fn is_name(file: &str) -> bool {
    let mut parts = Path::new(file).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(name)), None) if name == file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_files_stay_in_their_directory() {
        for name in ["model-00001-of-00002.safetensors", "ä b", "..a"] {
            assert!(is_name(name), "{name}");
        }
        for path in ["", ".", "..", "/", "/etc/passwd", "../a", "a/../b", "a/b", "a/", "./a"] {
            assert!(!is_name(path), "{path}");
        }
    }
}
