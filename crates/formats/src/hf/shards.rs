//! a directory → the files that hold its weights, mapped
//!
//! ```text
//! model.safetensors                                    ─▶ that one
//! model.safetensors.index.json: tensor → file ─ each file once ─▶ model-00001-of-00002.safetensors, …
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use itera_files::MappedFile;
use serde::Deserialize;

use super::json::{in_file, read_json};
use super::settings::unsupported;
use crate::{
    error::{FormatError, Result},
    tensors::{Indexed, index},
};

pub(crate) const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// Longest index that is read: a million tensors.
const MAX_INDEX_BYTES: u64 = 100 << 20;

/// A file of weights.
#[derive(Debug)]
pub(crate) struct Shard {
    path: PathBuf,
    file: MappedFile,
    /// The tensors that the index says are in it; `None` without an index.
    expected: Option<BTreeSet<String>>,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Shard {
    fn open(path: PathBuf, expected: Option<BTreeSet<String>>) -> Result<Self> {
        Ok(Self { file: MappedFile::open(&path)?, path, expected })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.file.bytes()
    }

    pub(crate) fn into_file(self) -> MappedFile {
        self.file
    }

    /// Its tensors in order of name, found to be those that the index says, and the bytes that they lie in.
    pub(super) fn tensors(&self) -> Result<(Vec<Indexed>, &[u8])> {
        let (tensors, numbers) = index(&self.path, self.bytes())?;
        if let Some(expected) = &self.expected {
            let found: BTreeSet<String> = tensors.iter().map(|tensor| tensor.name.clone()).collect();
            let only_in = |one: &BTreeSet<String>, other| one.difference(other).cloned().collect::<Vec<_>>();
            let (missing, unexpected) = (only_in(expected, &found), only_in(&found, expected));
            if !missing.is_empty() || !unexpected.is_empty() {
                return Err(FormatError::Names { path: self.path.clone(), missing, unexpected });
            }
        }
        Ok((tensors, numbers))
    }
}

/// The weights of a directory: one file, or those that an index names, which lie beside it.
pub(crate) fn open_weights(dir: &Path) -> Result<Vec<Shard>> {
    let (one, index) = (dir.join(WEIGHTS), dir.join(INDEX));
    if one.exists() || !index.exists() {
        return Ok(vec![Shard::open(one, None)?]);
    }
    let of_index = in_file(&index);
    let Index { weight_map } =
        serde_json::from_value(read_json(&index, MAX_INDEX_BYTES)?).map_err(|error| of_index(error.into()))?;
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
    files.into_iter().map(|(file, tensors)| Shard::open(dir.join(file), Some(tensors))).collect()
}

/// Whether a path stays in its directory: it is the name of a file and nothing else.
fn is_name(file: &str) -> bool {
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
