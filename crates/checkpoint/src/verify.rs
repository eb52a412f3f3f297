//! trainer/state.json: what was written, byte for byte

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use crate::{
    error::{CheckpointError, io},
    identity::Identity,
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

#[derive(Debug, Serialize, Deserialize)]
struct Body<S> {
    /// sha256 of every other file of the checkpoint, by path in it.
    files: BTreeMap<String, String>,
    identity: Identity,
    state: S,
}

/// Lower-case hex sha256.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Seal the checkpoint in `dir`: make every file already there durable, and record its hash and `state`.
pub(crate) fn seal<S: Serialize>(dir: &Path, identity: &Identity, state: &S) -> Result<(), CheckpointError> {
    let mut files = BTreeMap::new();
    for name in file_names(dir)? {
        let path = dir.join(&name);
        let mut bytes = Vec::new();
        let mut file = File::open(&path).map_err(io("open", &path))?;
        file.read_to_end(&mut bytes).map_err(io("read", &path))?;
        file.sync_all().map_err(io("sync", &path))?;
        files.insert(name, sha256(&bytes));
    }
    let body = to_json(&Body { files, identity: identity.clone(), state });
    let text = to_json(&StateFile { body_sha256: sha256(body.as_bytes()), body });
    itera_formats::write_atomic(&dir.join(STATE_FILE), text.as_bytes())?;
    Ok(())
}

/// Check every byte of the checkpoint in `dir` and return its state.
pub(crate) fn verify<S: DeserializeOwned>(dir: &Path) -> Result<(Identity, S), CheckpointError> {
    let path = dir.join(STATE_FILE);
    let text = fs::read_to_string(&path).map_err(|error| damaged(&path, format!("it cannot be read: {error}")))?;
    let file: StateFile = serde_json::from_str(&text).map_err(|error| damaged(&path, error.to_string()))?;
    expect_hash(&path, file.body.as_bytes(), &file.body_sha256)?;
    let body: Body<S> = serde_json::from_str(&file.body).map_err(|error| damaged(&path, error.to_string()))?;
    for (name, expected) in &body.files {
        let path = dir.join(name);
        let bytes = fs::read(&path).map_err(|error| damaged(&path, format!("it cannot be read: {error}")))?;
        expect_hash(&path, &bytes, expected)?;
    }
    Ok((body.identity, body.state))
}

/// Whether `dir` carries a seal at all.
pub(crate) fn is_sealed(dir: &Path) -> bool {
    dir.join(STATE_FILE).is_file()
}

fn expect_hash(path: &Path, bytes: &[u8], expected: &str) -> Result<(), CheckpointError> {
    let found = sha256(bytes);
    if found == *expected {
        return Ok(());
    }
    Err(damaged(path, format!("its sha256 should be {expected}, but its {} bytes have {found}", bytes.len())))
}

pub(crate) fn damaged(path: &Path, reason: String) -> CheckpointError {
    CheckpointError::Damaged { path: path.into(), reason, hint: String::new() }
}

/// Files of the checkpoint relative to `dir`, the seal itself apart, in a fixed order.
fn file_names(dir: &Path) -> Result<Vec<String>, CheckpointError> {
    let mut names = Vec::new();
    for (sub, prefix) in [(PathBuf::from(dir), String::new()), (dir.join(TRAINER_DIR), format!("{TRAINER_DIR}/"))] {
        for entry in fs::read_dir(&sub).map_err(io("list", &sub))? {
            let entry = entry.map_err(io("list", &sub))?;
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
