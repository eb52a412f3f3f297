//! trainer/state.json: what was written, byte for byte

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use crate::error::CheckpointError;
use itera_files::{FileError, Sha256Digest, failed_to, write_atomic};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

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
        let mut bytes = Vec::new();
        let mut file = File::open(&path).map_err(failed_to("open", &path))?;
        file.read_to_end(&mut bytes).map_err(failed_to("read", &path))?;
        file.sync_all().map_err(failed_to("sync", &path))?;
        files.insert(name, Sha256Digest::of(&bytes).to_string());
    }
    let body = to_json(&Body { files, identity, state });
    let text = to_json(&StateFile { body_sha256: Sha256Digest::of(body.as_bytes()).to_string(), body });
    write_atomic(&dir.join(STATE_FILE), text.as_bytes())
}

/// Check every byte of the checkpoint in `dir` and return what it is sealed with.
pub(crate) fn verify<I: DeserializeOwned, S: DeserializeOwned>(dir: &Path) -> Result<Body<I, S>, CheckpointError> {
    let path = dir.join(STATE_FILE);
    let text = fs::read_to_string(&path).map_err(|error| damaged(&path, format!("it cannot be read: {error}")))?;
    let file: StateFile = serde_json::from_str(&text).map_err(|error| damaged(&path, error.to_string()))?;
    expect_hash(&path, file.body.as_bytes(), &file.body_sha256)?;
    let body: Body<I, S> = serde_json::from_str(&file.body).map_err(|error| damaged(&path, error.to_string()))?;
    for (name, expected) in &body.files {
        let path = dir.join(name);
        let bytes = fs::read(&path).map_err(|error| damaged(&path, format!("it cannot be read: {error}")))?;
        expect_hash(&path, &bytes, expected)?;
    }
    Ok(body)
}

/// Whether `dir` carries a seal at all.
pub(crate) fn is_sealed(dir: &Path) -> bool {
    dir.join(STATE_FILE).is_file()
}

fn expect_hash(path: &Path, bytes: &[u8], expected: &str) -> Result<(), CheckpointError> {
    let found = Sha256Digest::of(bytes).to_string();
    if found == expected {
        return Ok(());
    }
    Err(damaged(path, format!("its sha256 should be {expected}, but its {} bytes have {found}", bytes.len())))
}

pub(crate) fn damaged(path: &Path, reason: String) -> CheckpointError {
    CheckpointError::Damaged { path: path.into(), reason, whole: None }
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
