//! The checkpoints of one run.

use std::{
    fs,
    path::{Path, PathBuf},
};

use itera_files::{failed_to, publish_dir, remove, sync_dir};
use itera_formats::{Kind, hf::read_model_dir};
use itera_shape::{ModelConfig, NamedTensor, Precision, TensorRef};
use itera_tokenizer::Tokenizer;
use serde::{
    Serialize,
    de::{DeserializeOwned, IgnoredAny},
};

use crate::{
    error::CheckpointError,
    model_dir::write_model,
    trainer_files::{read_master_weights, read_moments, write_master_weights, write_moments},
    verify::{self, Body, TRAINER_DIR},
};

/// Begins the name of what is not published yet, or no longer.
const STAGING_PREFIX: &str = ".step-";

/// Everything that a checkpoint holds.
#[derive(Debug)]
pub struct Snapshot<'a, I, S> {
    /// Completed steps.
    pub step: u64,
    /// The shape of the model.
    pub config: &'a ModelConfig,
    /// The weights that the run goes on from, in the order of [`ModelConfig::tensors`].
    pub weights: &'a [NamedTensor],
    /// How others get the weights.
    pub published_as: Precision,
    /// The tokenizer of the model.
    pub tokenizer: &'a Tokenizer,
    /// First moments, in the order of the weights.
    pub first_moments: &'a [&'a [f32]],
    /// Second moments, likewise.
    pub second_moments: &'a [&'a [f32]],
    /// What the checkpoint belongs to, for the trainer to compare.
    pub identity: &'a I,
    /// The trainer's own state.
    pub state: &'a S,
}

/// A checkpoint of which every byte is the one written; its tensors are still to be read.
#[derive(Debug)]
pub struct Checkpoint<I, S> {
    path: PathBuf,
    /// What it belongs to.
    pub identity: I,
    /// The trainer's own state.
    pub state: S,
}

/// The tensors of a checkpoint.
#[derive(Debug)]
pub struct Tensors {
    /// The shape of the model.
    pub config: ModelConfig,
    /// The weights that the run goes on from, in the order of [`ModelConfig::tensors`].
    pub weights: Vec<NamedTensor>,
    /// First moments, in the order of the weights.
    pub first_moments: Vec<Vec<f32>>,
    /// Second moments, likewise.
    pub second_moments: Vec<Vec<f32>>,
}

impl<I, S> Checkpoint<I, S> {
    /// Read the weights and moments.
    ///
    /// # Errors
    /// [`CheckpointError::Format`] or [`CheckpointError::Damaged`] if they do not fit together.
    pub fn tensors(&self) -> Result<Tensors, CheckpointError> {
        let published = read_model_dir(&self.path)?;
        let (config, mut weights) = (published.config, published.tensors);
        let specs = config.tensors();
        let (first_moments, second_moments) = read_moments(&self.path, &specs)?;
        if let Some(masters) = read_master_weights(&self.path, &specs)? {
            weights.iter_mut().zip(masters).for_each(|(weight, data)| weight.data = data);
        }
        Ok(Tensors { config, weights, first_moments, second_moments })
    }
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
    pub fn save(&self, snapshot: &Snapshot<'_, impl Serialize, impl Serialize>) -> Result<PathBuf, CheckpointError> {
        let parent = self.dir();
        fs::create_dir_all(&parent).map_err(failed_to("create", &parent))?;
        let path = self.path(snapshot.step);
        publish_dir(&path, |dir| write(dir, snapshot))?;
        Ok(path)
    }

    /// Open a checkpoint of this run, if every byte of it is as written.
    ///
    /// # Errors
    /// [`CheckpointError::Damaged`] names the file and, if there is one, another checkpoint that is whole;
    /// [`CheckpointError::Elsewhere`] and [`CheckpointError::NotFound`] name the path.
    pub fn open<I: DeserializeOwned, S: DeserializeOwned>(
        &self,
        path: &Path,
    ) -> Result<Checkpoint<I, S>, CheckpointError> {
        if !path.is_dir() {
            return Err(CheckpointError::NotFound { path: path.into() });
        }
        let (found, expected) = (path.canonicalize(), self.dir().canonicalize());
        if found.ok().as_deref().and_then(Path::parent) != expected.ok().as_deref() {
            return Err(CheckpointError::Elsewhere { path: path.into(), expected: self.dir() });
        }
        match verify::verify(path) {
            Ok(Body { identity, state, .. }) => Ok(Checkpoint { path: path.into(), identity, state }),
            Err(CheckpointError::Damaged { path: file, reason, .. }) => {
                Err(CheckpointError::Damaged { path: file, reason, whole: self.whole_beside(path) })
            }
            Err(other) => Err(other),
        }
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
        for entry in fs::read_dir(&dir).map_err(failed_to("list", &dir))? {
            let entry = entry.map_err(failed_to("list", &dir))?;
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
        for entry in fs::read_dir(&dir).map_err(failed_to("list", &dir))? {
            let entry = entry.map_err(failed_to("list", &dir))?;
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
        Ok(remove(&self.dir())?)
    }

    /// The newest checkpoint besides `damaged` that is whole.
    fn whole_beside(&self, damaged: &Path) -> Option<PathBuf> {
        let damaged = damaged.canonicalize().ok();
        let mut others = self.list().ok()?.into_iter().rev().filter(|found| found.path.canonicalize().ok() != damaged);
        others.find(|found| verify::verify::<IgnoredAny, IgnoredAny>(&found.path).is_ok()).map(|found| found.path)
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
                fs::remove_file(old).map_err(failed_to("remove", old))?;
            }
        }
        let Some(step) = step else { return Ok(()) };
        symlink(&Path::new("checkpoints").join(name(step)), &staging).map_err(failed_to("link", &staging))?;
        fs::rename(&staging, &link).map_err(failed_to("link", &link))?;
        Ok(sync_dir(&self.run_dir)?)
    }
}

fn name(step: u64) -> String {
    format!("step-{step:06}")
}

/// Write all files of a checkpoint into an empty directory.
fn write(dir: &Path, snapshot: &Snapshot<'_, impl Serialize, impl Serialize>) -> Result<(), CheckpointError> {
    let trainer = dir.join(TRAINER_DIR);
    fs::create_dir_all(&trainer).map_err(failed_to("create", &trainer))?;
    let kind = match snapshot.published_as {
        Precision::F32 => Kind::F32,
        Precision::Bf16 => Kind::Bf16,
    };
    let weights: Vec<TensorRef<'_>> = snapshot.weights.iter().map(NamedTensor::as_ref).collect();
    write_model(dir, snapshot.config, snapshot.tokenizer, &weights, kind)?;
    if kind != Kind::F32 {
        write_master_weights(dir, &weights)?;
    }
    write_moments(dir, snapshot.weights, snapshot.first_moments, snapshot.second_moments)?;
    verify::seal(dir, snapshot.identity, snapshot.state)?;
    Ok(sync_dir(&trainer)?)
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(windows)]
fn symlink(target: &Path, link: &Path) -> std::io::Result<()> {
    std::os::windows::fs::symlink_dir(target, link)
}
