//! trainer/state.json: what was written, byte for byte

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
};

use crate::error::{CheckpointError, Damage};
use itera_files::{FileError, Sha256Digest, failed_to, sync_dir, write_atomic};
use serde::{
    Deserialize, Serialize,
    de::{DeserializeOwned, IgnoredAny},
};

/// Where a checkpoint keeps what only a trainer reads.
pub(crate) const TRAINER_DIR: &str = "trainer";
const STATE_FILE: &str = "trainer/state.json";

/// `trainer/state.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StateFile {
    /// sha256 of the text of `body`.
    body_sha256: String,
    /// [`Body`] as JSON text, so that its bytes are exactly those hashed.
    body: String,
}

/// What the hashes of a checkpoint are sealed with.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Body<I, S> {
    /// sha256 of every other file of the checkpoint, by path in it.
    files: BTreeMap<String, String>,
    pub(crate) identity: I,
    pub(crate) state: S,
}

/// Seal the checkpoint in `dir`: make every file already there durable, and record its hash, `identity` and `state`.
pub(crate) fn seal(dir: &Path, identity: &impl Serialize, state: &impl Serialize) -> Result<(), FileError> {
    let mut files = BTreeMap::new();
    for name in file_names(dir)? {
        let path = dir.join(&name);
        let file = File::open(&path).map_err(failed_to("open", &path))?;
        let (digest, _) = Sha256Digest::of_reader(&file).map_err(failed_to("read", &path))?;
        file.sync_all().map_err(failed_to("sync", &path))?;
        files.insert(name, digest.to_string());
    }
    let body = to_json(&Body { files, identity, state });
    let text = to_json(&StateFile { body_sha256: Sha256Digest::of(body.as_bytes()).to_string(), body });
    write_atomic(&dir.join(STATE_FILE), text.as_bytes())
}

/// Copy the sealed checkpoint in `from` into the empty directory `to`, durably, and check every byte of the copy.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<(), CheckpointError> {
    let trainer = to.join(TRAINER_DIR);
    fs::create_dir_all(&trainer).map_err(failed_to("create", &trainer))?;
    for name in file_names(from)?.iter().map(String::as_str).chain([STATE_FILE]) {
        let path = to.join(name);
        fs::copy(from.join(name), &path).map_err(failed_to("copy", &path))?;
        File::open(&path).and_then(|file| file.sync_all()).map_err(failed_to("sync", &path))?;
    }
    sync_dir(&trainer)?;
    verify::<IgnoredAny, IgnoredAny>(to)?;
    Ok(())
}

/// Check every byte of the checkpoint in `dir` and return what it is sealed with.
pub(crate) fn verify<I: DeserializeOwned, S: DeserializeOwned>(dir: &Path) -> Result<Body<I, S>, CheckpointError> {
    let body: Body<I, S> = read_seal(dir)?;
    for (name, expected) in &body.files {
        let path = dir.join(name);
        let unreadable = |error| damaged(&path, Damage::Unreadable(error));
        let (found, size_bytes) = File::open(&path).and_then(Sha256Digest::of_reader).map_err(unreadable)?;
        expect_hash(&path, (found, size_bytes), expected)?;
    }
    Ok(body)
}

/// What the checkpoint in `dir` is sealed with. The seal itself is whole; nothing is said of the other files.
pub(crate) fn read_seal<I: DeserializeOwned, S: DeserializeOwned>(dir: &Path) -> Result<Body<I, S>, CheckpointError> {
    let path = dir.join(STATE_FILE);
    let text = fs::read_to_string(&path).map_err(|error| damaged(&path, Damage::Unreadable(error)))?;
    let file: StateFile = serde_json::from_str(&text).map_err(|error| damaged(&path, error.into()))?;
    let body = file.body.as_bytes();
    expect_hash(&path, (Sha256Digest::of(body), body.len() as u64), &file.body_sha256)?;
    serde_json::from_str(&file.body).map_err(|error| damaged(&path, error.into()))
}

/// The text of the seal of `dir`, if it has one. Two checkpoints with the same have the same files.
pub(crate) fn seal_text(dir: &Path) -> Option<String> {
    fs::read_to_string(dir.join(STATE_FILE)).ok()
}

/// Whether `dir` carries a seal at all.
pub(crate) fn is_sealed(dir: &Path) -> bool {
    dir.join(STATE_FILE).is_file()
}

fn expect_hash(path: &Path, (found, size_bytes): (Sha256Digest, u64), expected: &str) -> Result<(), CheckpointError> {
    if found.to_string() == expected {
        return Ok(());
    }
    Err(damaged(path, Damage::Hash { expected: expected.into(), found, size_bytes }))
}

pub(crate) fn damaged(path: &Path, damage: Damage) -> CheckpointError {
    CheckpointError::Damaged { path: path.into(), damage, whole: None }
}

/// Files of the checkpoint relative to `dir`, the seal itself apart, in a fixed order.
fn file_names(dir: &Path) -> Result<Vec<String>, FileError> {
    let mut names = Vec::new();
    for (sub, prefix) in [(PathBuf::from(dir), String::new()), (dir.join(TRAINER_DIR), format!("{TRAINER_DIR}/"))] {
        for entry in fs::read_dir(&sub).map_err(failed_to("list", &sub))? {
            let entry = entry.map_err(failed_to("list", &sub))?;
            if entry.path().is_file() {
                names.push(format!("{prefix}{}", entry.file_name().to_string_lossy()));
            }
        }
    }
    names.retain(|name| name != STATE_FILE);
    names.sort();
    Ok(names)
}

fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("states are plain data")
}
