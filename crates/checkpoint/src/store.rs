//! The checkpoints of one run.

use std::{
    fs,
    path::{Path, PathBuf},
};

use burn::tensor::Device;
use itera_config::Precision;
use itera_formats::Kind;
use itera_model::LanguageModel;
use itera_tokenizer::Tokenizer;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    error::{CheckpointError, io},
    identity::Identity,
    model_dir::{open_model, write_model},
    publish::{publish_dir, remove, sync_dir},
    trainer_files::{read_master_weights, read_moments, write_master_weights, write_moments},
    verify::{self, TRAINER_DIR},
};

/// Begins the name of what is not published yet, or no longer.
const STAGING_PREFIX: &str = ".step-";

/// Everything that a checkpoint holds.
#[derive(Debug)]
pub struct Snapshot<'a, S> {
    /// Completed steps.
    pub step: u64,
    /// The model.
    pub model: &'a LanguageModel,
    /// How others get its weights. The run itself goes on from what they are.
    pub precision: Precision,
    /// Its tokenizer.
    pub tokenizer: &'a Tokenizer,
    /// First moments, in the order of the model's parameters.
    pub first_moments: &'a [Vec<f32>],
    /// Second moments, likewise.
    pub second_moments: &'a [Vec<f32>],
    /// The trainer's own state.
    pub state: &'a S,
    /// What the checkpoint belongs to.
    pub identity: &'a Identity,
}

/// A checkpoint read back.
#[derive(Debug)]
pub struct Loaded<S> {
    /// The model.
    pub model: LanguageModel,
    /// First moments.
    pub first_moments: Vec<Vec<f32>>,
    /// Second moments.
    pub second_moments: Vec<Vec<f32>>,
    /// The trainer's own state.
    pub state: S,
}

/// A checkpoint of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Completed steps, from its name.
    pub step: u64,
    /// Its directory.
    pub path: PathBuf,
}

/// The checkpoints of one run directory.
#[derive(Clone, Debug)]
pub struct CheckpointStore {
    run_dir: PathBuf,
}

impl CheckpointStore {
    /// The checkpoints under `run_dir`, which need not exist yet.
    pub fn new(run_dir: &Path) -> Self {
        Self { run_dir: run_dir.into() }
    }

    /// Publish a checkpoint and return its directory.
    ///
    /// # Errors
    /// A full disk or any other failure to write; what was there before stays.
    pub fn save<S: Serialize>(&self, snapshot: Snapshot<'_, S>) -> Result<PathBuf, CheckpointError> {
        let parent = self.dir();
        fs::create_dir_all(&parent).map_err(io("create", &parent))?;
        let path = self.path(snapshot.step);
        publish_dir(&path, |dir| write(dir, snapshot))?;
        Ok(path)
    }

    /// Read a checkpoint of this run back, if every byte of it is as written and it belongs to `identity`.
    ///
    /// # Errors
    /// [`CheckpointError::Damaged`] names the file and, if there is one, another checkpoint that is whole;
    /// [`CheckpointError::Foreign`] says what differs; [`CheckpointError::Elsewhere`] and
    /// [`CheckpointError::NotFound`] name the path.
    pub fn load<S: DeserializeOwned>(
        &self,
        path: &Path,
        identity: &Identity,
        device: &Device,
    ) -> Result<Loaded<S>, CheckpointError> {
        if !path.is_dir() {
            return Err(CheckpointError::NotFound { path: path.into() });
        }
        let (found, expected) = (path.canonicalize(), self.dir().canonicalize());
        if found.ok().as_deref().and_then(Path::parent) != expected.ok().as_deref() {
            return Err(CheckpointError::Elsewhere { path: path.into(), expected: self.dir() });
        }
        self.read(path, identity, device).map_err(|error| match error {
            CheckpointError::Damaged { path: file, reason, .. } => {
                CheckpointError::Damaged { path: file, reason, hint: self.hint(path) }
            }
            other => other,
        })
    }

    fn read<S: DeserializeOwned>(
        &self,
        path: &Path,
        identity: &Identity,
        device: &Device,
    ) -> Result<Loaded<S>, CheckpointError> {
        let (saved, state) = verify::verify::<S>(path)?;
        if let Some((what, difference)) = saved.difference(identity) {
            return Err(CheckpointError::Foreign { path: path.into(), what, difference });
        }
        let rounded = open_model(path, device)?;
        let specs = rounded.config().tensors();
        let (first_moments, second_moments) = read_moments(path, &specs)?;
        let model = match read_master_weights(path, &specs)? {
            Some(weights) => LanguageModel::from_values(rounded.config(), device, weights)?,
            None => rounded,
        };
        Ok(Loaded { model, first_moments, second_moments, state })
    }

    /// The newest checkpoint of the run: what `last` points to or, without it, the one with the highest step.
    ///
    /// # Errors
    /// The directory cannot be listed.
    pub fn last(&self) -> Result<Option<Found>, CheckpointError> {
        let all = self.list()?;
        let pointed = fs::canonicalize(self.run_dir.join("last")).ok();
        let pointed = pointed.and_then(|target| all.iter().find(|found| target.ends_with(name(found.step))).cloned());
        Ok(pointed.or_else(|| all.last().cloned()))
    }

    /// All checkpoints of the run, oldest first.
    ///
    /// # Errors
    /// The directory cannot be listed.
    pub fn list(&self) -> Result<Vec<Found>, CheckpointError> {
        let dir = self.dir();
        if !dir.exists() {
            return Ok(Vec::new());
        }
        let mut all = Vec::new();
        for entry in fs::read_dir(&dir).map_err(io("list", &dir))? {
            let entry = entry.map_err(io("list", &dir))?;
            let step = entry.file_name().to_string_lossy().strip_prefix("step-").and_then(|step| step.parse().ok());
            if let Some(step) = step {
                all.push(Found { step, path: entry.path() });
            }
        }
        all.sort_by_key(|found| found.step);
        Ok(all)
    }

    /// Make the checkpoint of `step` the last one, point `best` at the first of the steps in `best` (or nowhere), and
    /// remove all checkpoints up to `step` but the newest `keep_last` and those in `best`. May be repeated at will.
    ///
    /// # Errors
    /// A link cannot be replaced, or a directory not removed.
    pub fn settle(&self, step: u64, best: &[u64], keep_last: usize) -> Result<(), CheckpointError> {
        self.point("last", Some(step))?;
        self.point("best", best.iter().copied().find(|&step| self.path(step).is_dir()))?;
        let all: Vec<Found> = self.list()?.into_iter().filter(|found| found.step <= step).collect();
        let old = all.len().saturating_sub(keep_last);
        for found in all.iter().take(old).filter(|found| !best.contains(&found.step)) {
            remove(&found.path)?;
        }
        self.sweep()
    }

    /// Remove what an interrupted save left behind.
    fn sweep(&self) -> Result<(), CheckpointError> {
        let dir = self.dir();
        for entry in fs::read_dir(&dir).map_err(io("list", &dir))? {
            let entry = entry.map_err(io("list", &dir))?;
            if entry.file_name().to_string_lossy().starts_with(STAGING_PREFIX) {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Remove every checkpoint and link of the run.
    ///
    /// # Errors
    /// A directory cannot be removed.
    pub fn clear(&self) -> Result<(), CheckpointError> {
        self.point("last", None)?;
        self.point("best", None)?;
        remove(&self.dir())
    }

    /// What to do instead of opening `damaged`.
    fn hint(&self, damaged: &Path) -> String {
        let all = self.list().unwrap_or_default().into_iter().rev();
        let mut others = all.filter(|found| found.path.canonicalize().ok() != damaged.canonicalize().ok());
        match others.find(|found| verify::verify::<serde_json::Value>(&found.path).is_ok()) {
            Some(whole) => format!("\nhint: another checkpoint is whole: --resume {}", whole.path.display()),
            None => "\nhint: no other checkpoint of this run is whole; restore this one, or start anew".into(),
        }
    }

    fn dir(&self) -> PathBuf {
        self.run_dir.join("checkpoints")
    }

    fn path(&self, step: u64) -> PathBuf {
        self.dir().join(name(step))
    }

    /// Point a link of the run at the checkpoint of `step`, or remove it.
    fn point(&self, link: &str, step: Option<u64>) -> Result<(), CheckpointError> {
        let link = self.run_dir.join(link);
        let staging = link.with_extension("tmp");
        for old in [Some(&staging), step.is_none().then_some(&link)].into_iter().flatten() {
            if old.is_symlink() {
                fs::remove_file(old).map_err(io("remove", old))?;
            }
        }
        let Some(step) = step else { return Ok(()) };
        symlink(&Path::new("checkpoints").join(name(step)), &staging).map_err(io("link", &staging))?;
        fs::rename(&staging, &link).map_err(io("link", &link))?;
        sync_dir(&self.run_dir)
    }
}

fn name(step: u64) -> String {
    format!("step-{step:06}")
}

/// Write all files of a checkpoint into an empty directory.
fn write<S: Serialize>(dir: &Path, snapshot: Snapshot<'_, S>) -> Result<(), CheckpointError> {
    let trainer = dir.join(TRAINER_DIR);
    fs::create_dir_all(&trainer).map_err(io("create", &trainer))?;
    let kind = match snapshot.precision {
        Precision::F32 => Kind::F32,
        Precision::Bf16 => Kind::Bf16,
    };
    write_model(dir, snapshot.model, snapshot.tokenizer, kind)?;
    let parameters = snapshot.model.parameters();
    if kind != Kind::F32 {
        write_master_weights(dir, &parameters)?;
    }
    write_moments(dir, &parameters, snapshot.first_moments, snapshot.second_moments)?;
    verify::seal(dir, snapshot.identity, snapshot.state)?;
    sync_dir(&trainer)
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(windows)]
fn symlink(target: &Path, link: &Path) -> std::io::Result<()> {
    std::os::windows::fs::symlink_dir(target, link)
}
