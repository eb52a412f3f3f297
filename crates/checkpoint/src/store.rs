//! The checkpoints of one run.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use burn::tensor::Device;
use itera_formats::TensorRef;
use itera_model::{LanguageModel, Parameter};
use itera_tokenizer::Tokenizer;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    error::{CheckpointError, io},
    identity::Identity,
    model_dir::{open_model, write_model},
    verify::{self, TRAINER_DIR, damaged},
};

const OPTIMIZER_FILE: &str = "trainer/optimizer.safetensors";

/// Everything that a checkpoint holds.
#[derive(Debug)]
pub struct Snapshot<'a, S> {
    /// Completed steps.
    pub step: u64,
    /// The model.
    pub model: &'a LanguageModel,
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
        let staging = parent.join(format!(".step-{:06}.tmp", snapshot.step));
        remove(&staging)?;
        let result = self.write_and_publish(&staging, snapshot);
        if result.is_err() {
            // the error that matters is the one that stopped the writing
            let _ = fs::remove_dir_all(&staging);
        }
        result
    }

    fn write_and_publish<S: Serialize>(
        &self,
        staging: &Path,
        snapshot: Snapshot<'_, S>,
    ) -> Result<PathBuf, CheckpointError> {
        let trainer = staging.join(TRAINER_DIR);
        fs::create_dir_all(&trainer).map_err(io("create", &trainer))?;
        write_model(staging, snapshot.model, snapshot.tokenizer)?;
        write_moments(staging, &snapshot)?;
        verify::seal(staging, snapshot.identity, snapshot.state)?;
        sync_dir(&trainer)?;
        sync_dir(staging)?;

        let path = self.path(snapshot.step);
        remove(&path)?;
        fs::rename(staging, &path).map_err(io("publish", &path))?;
        sync_dir(&self.dir())?;
        Ok(path)
    }

    /// Read a checkpoint back, if every byte of it is as written and it belongs to `identity`.
    ///
    /// # Errors
    /// [`CheckpointError::Damaged`] names the file and, if there is one, an older checkpoint that is whole;
    /// [`CheckpointError::Foreign`] says what differs.
    pub fn load<S: DeserializeOwned>(
        &self,
        path: &Path,
        identity: &Identity,
        device: &Device,
    ) -> Result<Loaded<S>, CheckpointError> {
        self.read(path, identity, device).map_err(|error| match error {
            CheckpointError::Damaged { path: file, reason, .. } => {
                CheckpointError::Damaged { path: file, reason, older: self.older_whole(path) }
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
        for (what, expected, found) in [
            ("tokenizer", &saved.tokenizer, &identity.tokenizer),
            ("corpus", &saved.data, &identity.data),
            ("configuration", &saved.config, &identity.config),
        ] {
            if expected != found {
                let (expected, found) = (format!("sha256 {expected}"), format!("sha256 {found}"));
                return Err(CheckpointError::Foreign { path: path.into(), what, expected, found });
            }
        }
        let model = open_model(path, device)?.model;
        let (first_moments, second_moments) = read_moments(path, &model.parameters())?;
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

    /// Point `last` at the checkpoint of `step`.
    ///
    /// # Errors
    /// The link cannot be replaced.
    pub fn point_last(&self, step: u64) -> Result<(), CheckpointError> {
        self.point("last", step)
    }

    /// Point `best` at the checkpoint of `step`, if it is there.
    ///
    /// # Errors
    /// The link cannot be replaced.
    pub fn point_best(&self, step: u64) -> Result<(), CheckpointError> {
        if self.path(step).is_dir() { self.point("best", step) } else { Ok(()) }
    }

    /// Remove all checkpoints up to the last one but the newest `keep_last` and those of the steps in `best`.
    ///
    /// # Errors
    /// A directory cannot be removed.
    pub fn prune(&self, keep_last: usize, best: &[u64]) -> Result<(), CheckpointError> {
        let Some(last) = self.last()? else { return Ok(()) };
        let all: Vec<Found> = self.list()?.into_iter().filter(|found| found.step <= last.step).collect();
        let old = all.len().saturating_sub(keep_last);
        for found in all.iter().take(old).filter(|found| !best.contains(&found.step)) {
            remove(&found.path)?;
        }
        Ok(())
    }

    /// Remove every checkpoint and link of the run.
    ///
    /// # Errors
    /// A directory cannot be removed.
    pub fn clear(&self) -> Result<(), CheckpointError> {
        for link in ["last", "best"] {
            let link = self.run_dir.join(link);
            if link.is_symlink() {
                fs::remove_file(&link).map_err(io("remove", &link))?;
            }
        }
        remove(&self.dir())
    }

    fn older_whole(&self, path: &Path) -> Option<PathBuf> {
        let step = path.canonicalize().ok()?.file_name()?.to_string_lossy().strip_prefix("step-")?.parse().ok()?;
        let older = self.list().ok()?.into_iter().rev().filter(|found| found.step < step);
        older.map(|found| found.path).find(|path| verify::verify::<serde_json::Value>(path).is_ok())
    }

    fn dir(&self) -> PathBuf {
        self.run_dir.join("checkpoints")
    }

    fn path(&self, step: u64) -> PathBuf {
        self.dir().join(name(step))
    }

    fn point(&self, link: &str, step: u64) -> Result<(), CheckpointError> {
        let link = self.run_dir.join(link);
        let staging = link.with_extension("tmp");
        if staging.is_symlink() {
            fs::remove_file(&staging).map_err(io("remove", &staging))?;
        }
        symlink(&Path::new("checkpoints").join(name(step)), &staging).map_err(io("link", &staging))?;
        fs::rename(&staging, &link).map_err(io("link", &link))?;
        sync_dir(&self.run_dir)
    }
}

fn name(step: u64) -> String {
    format!("step-{step:06}")
}

fn write_moments<S>(dir: &Path, snapshot: &Snapshot<'_, S>) -> Result<(), CheckpointError> {
    let parameters = snapshot.model.parameters();
    let names: Vec<(String, String)> =
        parameters.iter().map(|p| (format!("m.{}", p.name), format!("v.{}", p.name))).collect();
    let mut tensors = Vec::new();
    for ((parameter, (m, v)), (first, second)) in
        parameters.iter().zip(&names).zip(snapshot.first_moments.iter().zip(snapshot.second_moments))
    {
        tensors.push(TensorRef { name: m, shape: &parameter.shape, data: first });
        tensors.push(TensorRef { name: v, shape: &parameter.shape, data: second });
    }
    itera_formats::write_safetensors(&dir.join(OPTIMIZER_FILE), &tensors)?;
    Ok(())
}

type Moments = Vec<Vec<f32>>;

fn read_moments(dir: &Path, parameters: &[Parameter]) -> Result<(Moments, Moments), CheckpointError> {
    let path = dir.join(OPTIMIZER_FILE);
    let mut tensors: std::collections::HashMap<String, Vec<f32>> =
        itera_formats::read_safetensors(&path)?.into_iter().map(|tensor| (tensor.name, tensor.data)).collect();
    let mut take = |prefix: &str| -> Result<Moments, CheckpointError> {
        let moments = parameters.iter().map(|parameter| {
            let name = format!("{prefix}.{}", parameter.name);
            tensors
                .remove(&name)
                .filter(|moment| moment.len() == parameter.values.len())
                .ok_or_else(|| damaged(&path, format!("it has no `{name}` of {} values", parameter.values.len())))
        });
        moments.collect()
    };
    Ok((take("m")?, take("v")?))
}

fn remove(dir: &Path) -> Result<(), CheckpointError> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io("remove", dir)(error)),
        _ => Ok(()),
    }
}

fn sync_dir(dir: &Path) -> Result<(), CheckpointError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(io("sync", dir))
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(windows)]
fn symlink(target: &Path, link: &Path) -> std::io::Result<()> {
    std::os::windows::fs::symlink_dir(target, link)
}
