//! The checkpoints of one run.

use std::{
    fs,
    path::{Path, PathBuf},
    process,
};

use itera_files::{STAGING_ENDINGS, failed_to, publish_dir, sync_dir};
use itera_formats::{Kind, hf::read_model_dir};
use itera_shape::{ModelConfig, NamedTensor, Precision, TensorRef};
use itera_tokenizer::Tokenizer;
use serde::{
    Deserialize, Serialize,
    de::{DeserializeOwned, IgnoredAny},
};

use crate::{
    contents::{is_checkpoint, is_checkpoint_alone, remove_checkpoint},
    error::CheckpointError,
    model_dir::write_model,
    pointer::{BEST, CHECKPOINTS, LAST, name, point, step_of, target},
    trainer_files::{SavedTensors, read_master_weights, read_optimizer, write_master_weights, write_optimizer},
    verify::{self, Body, TRAINER_DIR},
};

/// Everything that a checkpoint holds.
#[derive(Debug)]
pub struct Snapshot<'a, I, S> {
    /// Completed steps.
    pub step: u64,
    /// The shape of the model.
    pub config: &'a ModelConfig,
    /// The weights that the run goes on from, in the order of [`ModelConfig::tensors`].
    pub weights: &'a [TensorRef<'a>],
    /// The weights that others get, in the same order, where those are not the ones the run goes on from.
    pub published: Option<&'a [TensorRef<'a>]>,
    /// What others get the weights as.
    pub published_as: Precision,
    /// The tokenizer of the model.
    pub tokenizer: &'a Tokenizer,
    /// What the optimizer remembers, under names of its own.
    pub optimizer: &'a [TensorRef<'a>],
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

/// A checkpoint, and what is wrong with a newer one, if that was passed over.
pub type Opened<I, S> = (Checkpoint<I, S>, Option<CheckpointError>);

/// The tensors of a checkpoint.
#[derive(Debug)]
pub struct Tensors {
    /// The shape of the model.
    pub config: ModelConfig,
    /// The weights that the run goes on from, in the order of [`ModelConfig::tensors`].
    pub weights: Vec<NamedTensor>,
    /// What the optimizer remembered.
    pub optimizer: SavedTensors,
}

impl<I, S> Checkpoint<I, S> {
    /// Its directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Read the weights, and what the optimizer remembered.
    ///
    /// # Errors
    /// [`CheckpointError::Format`] or [`CheckpointError::Damaged`] if they do not fit together.
    pub fn tensors(&self) -> Result<Tensors, CheckpointError> {
        let published = read_model_dir(&self.path)?;
        let (config, mut weights) = (published.config, published.tensors);
        let specs = config.tensors();
        if let Some(masters) = read_master_weights(&self.path, &specs)? {
            weights.iter_mut().zip(masters).for_each(|(weight, data)| weight.data = data);
        }
        Ok(Tensors { config, weights, optimizer: read_optimizer(&self.path)? })
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
    /// Where checkpoints are written before they are copied into the run.
    local_dir: Option<PathBuf>,
}

impl CheckpointStore {
    /// The checkpoints under `run_dir`, which need not exist yet.
    pub fn new(run_dir: &Path) -> Self {
        Self { run_dir: run_dir.into(), local_dir: None }
    }

    /// The same checkpoints, each of which is written in `local_dir` first, on a disk that is near, then copied, and read back
    /// before it is published: a file system that many share is asked for nothing but whole files, one after the other.
    #[must_use]
    pub fn by_way_of(self, local_dir: &Path) -> Self {
        Self { local_dir: Some(local_dir.into()), ..self }
    }

    /// Publish a checkpoint and return its directory. What has its name and is not a checkpoint alone is given another.
    ///
    /// # Errors
    /// A full disk or any other failure to write; what was there before stays. [`CheckpointError::Damaged`] if a copy reads back
    /// as something else.
    pub fn save(&self, snapshot: &Snapshot<'_, impl Serialize, impl Serialize>) -> Result<PathBuf, CheckpointError> {
        let parent = self.dir();
        fs::create_dir_all(&parent).map_err(failed_to("create", &parent))?;
        let path = self.path(snapshot.step);
        set_aside(&path)?;
        let Some(local_dir) = &self.local_dir else {
            publish_dir(&path, |dir| write(dir, snapshot))?;
            return Ok(path);
        };
        let local = local_dir.join(format!(".itera-{}-{}", process::id(), name(snapshot.step)));
        // a killed process of this number may have left something
        remove_checkpoint(&local)?;
        let copied = write(&local, snapshot).and_then(|()| publish_dir(&path, |dir| verify::copy(&local, dir)));
        let removed = remove_checkpoint(&local);
        copied?;
        removed?;
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
            Err(CheckpointError::Damaged { path: file, damage, .. }) => {
                Err(CheckpointError::Damaged { path: file, damage, whole: self.whole_beside(path) })
            }
            Err(other) => Err(other),
        }
    }

    /// Open the newest checkpoint of the run; if that is damaged, the newest that is whole, with what is wrong with the other.
    ///
    /// # Errors
    /// As [`CheckpointStore::open`], if none is whole.
    pub fn open_last<I: DeserializeOwned, S: DeserializeOwned>(&self) -> Result<Option<Opened<I, S>>, CheckpointError> {
        // one that has lost its seal is in no list, and no less damaged
        let pointed = target(&self.run_dir, LAST, &[]).map(|step| self.path(step)).filter(|path| path.is_dir());
        let Some(path) = pointed.or(self.last()?.map(|last| last.path)) else { return Ok(None) };
        Ok(Some(match self.open(&path) {
            Err(CheckpointError::Damaged { path, damage, whole: Some(whole) }) => {
                let opened = self.open(&whole)?;
                (opened, Some(CheckpointError::Damaged { path, damage, whole: Some(whole) }))
            }
            opened => (opened?, None),
        }))
    }

    /// The newest checkpoint of the run: what `last` points to or, without it, the one with the highest step.
    ///
    /// # Errors
    /// The directory cannot be listed.
    pub fn last(&self) -> Result<Option<Found>, CheckpointError> {
        let all = self.list()?;
        Ok(self.pointed(LAST, &all).or_else(|| all.last().cloned()))
    }

    /// The checkpoint of the lowest validation: what `best` points to or, without it, what the last checkpoint says;
    /// `None` if nothing was validated or it is not kept.
    ///
    /// # Errors
    /// The directory cannot be listed.
    pub fn best(&self) -> Result<Option<Found>, CheckpointError> {
        let all = self.list()?;
        if let Some(best) = self.pointed(BEST, &all) {
            return Ok(Some(best));
        }
        let Some(last) = self.pointed(LAST, &all).or_else(|| all.last().cloned()) else { return Ok(None) };
        let step = verify::read_seal::<IgnoredAny, Validated>(&last.path).ok().and_then(|body| body.state.best);
        Ok(step.and_then(|best| all.into_iter().find(|found| found.step == best.step)))
    }

    /// What the run is opened as: its best checkpoint, else its last one, else a copy of either that is all there is.
    pub(crate) fn model(&self) -> Result<Option<PathBuf>, CheckpointError> {
        let links = [BEST, LAST].map(|link| self.run_dir.join(link));
        let is_model = |dir: &&PathBuf| dir.join("config.json").is_file();
        if let Some(link) = links.iter().filter(|link| link.is_symlink()).find(is_model) {
            return Ok(Some(link.clone()));
        }
        let found = self.best()?.or(self.last()?).map(|found| found.path);
        Ok(found.or_else(|| links.iter().find(is_model).cloned()))
    }

    /// All checkpoints of the run, oldest first. Directories of other programs do not count.
    ///
    /// # Errors
    /// The directory cannot be listed.
    pub fn list(&self) -> Result<Vec<Found>, CheckpointError> {
        let found = |path: PathBuf| step_of(path.file_name()?.to_str()?).map(|step| Found { step, path });
        let mut all: Vec<Found> = self.entries()?.into_iter().filter_map(found).collect();
        all.retain(|found| is_checkpoint(&found.path));
        all.sort_by_key(|found| found.step);
        Ok(all)
    }

    /// Make the checkpoint of `step` the last one, point `best` at the first of the steps in `best` (or nowhere), and
    /// remove all checkpoints up to `step` but the newest `keep_last`, those in `best` and those in `keep`. May be
    /// repeated at will.
    ///
    /// A file or directory in the place of a pointer stays if it is no pointer. Files that were added to a checkpoint stay
    /// when it is removed.
    ///
    /// # Errors
    /// A pointer cannot be replaced, or a file not removed.
    pub fn settle(&self, step: u64, best: &[u64], keep: &[u64], keep_last: usize) -> Result<(), CheckpointError> {
        let all = self.list()?;
        let steps: Vec<u64> = all.iter().map(|found| found.step).collect();
        point(&self.run_dir, LAST, Some(step), &steps)?;
        point(&self.run_dir, BEST, best.iter().copied().find(|step| steps.contains(step)), &steps)?;
        let all: Vec<Found> = all.into_iter().filter(|found| found.step <= step).collect();
        let old = all.len().saturating_sub(keep_last);
        let is_kept = |found: &&Found| best.contains(&found.step) || keep.contains(&found.step);
        for found in all.iter().take(old).filter(|found| !is_kept(found)) {
            self.discard(found)?;
        }
        self.sweep()
    }

    /// Remove what an interrupted save left behind.
    fn sweep(&self) -> Result<(), CheckpointError> {
        let is_staging = |path: &&PathBuf| path.file_name().and_then(|name| name.to_str()).is_some_and(is_staging);
        self.entries()?.iter().filter(is_staging).try_for_each(|path| Ok(remove_checkpoint(path)?))
    }

    /// Remove every checkpoint and pointer of the run. What else is there stays.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn clear(&self) -> Result<(), CheckpointError> {
        let all = self.list()?;
        let steps: Vec<u64> = all.iter().map(|found| found.step).collect();
        [LAST, BEST].into_iter().try_for_each(|link| point(&self.run_dir, link, None, &steps))?;
        all.iter().try_for_each(|found| self.discard(found))?;
        self.sweep()
    }

    /// Remove a checkpoint, under another name first: one that is half removed is none. Where there is something else in it, that
    /// keeps its place.
    fn discard(&self, found: &Found) -> Result<(), CheckpointError> {
        if !is_checkpoint_alone(&found.path)? {
            return Ok(remove_checkpoint(&found.path)?);
        }
        let staging = self.dir().join(format!(".{}.{}", name(found.step), STAGING_ENDINGS[0]));
        remove_checkpoint(&staging)?;
        fs::rename(&found.path, &staging).map_err(failed_to("remove", &found.path))?;
        Ok(remove_checkpoint(&staging)?)
    }

    /// The newest checkpoint besides `damaged` that is whole.
    fn whole_beside(&self, damaged: &Path) -> Option<PathBuf> {
        let damaged = damaged.canonicalize().ok();
        let mut others = self.list().ok()?.into_iter().rev().filter(|found| found.path.canonicalize().ok() != damaged);
        others.find(|found| verify::verify::<IgnoredAny, IgnoredAny>(&found.path).is_ok()).map(|found| found.path)
    }

    /// The checkpoint that a pointer of the run means, if it is there.
    fn pointed(&self, link: &str, all: &[Found]) -> Option<Found> {
        let steps: Vec<u64> = all.iter().map(|found| found.step).collect();
        let step = target(&self.run_dir, link, &steps)?;
        all.iter().find(|found| found.step == step).cloned()
    }

    /// Paths of all that is in the directory of the checkpoints, in no order.
    fn entries(&self) -> Result<Vec<PathBuf>, CheckpointError> {
        let dir = self.dir();
        if !dir.is_dir() {
            return Ok(vec![]);
        }
        let entries = fs::read_dir(&dir).map_err(failed_to("list", &dir))?;
        let paths = entries.map(|entry| entry.map(|entry| entry.path()).map_err(failed_to("list", &dir)));
        Ok(paths.collect::<Result<_, _>>()?)
    }

    fn dir(&self) -> PathBuf {
        self.run_dir.join(CHECKPOINTS)
    }

    fn path(&self, step: u64) -> PathBuf {
        self.dir().join(name(step))
    }
}

/// What the state of a trainer says of its validations. The rest of it is the trainer's own.
#[derive(Deserialize)]
struct Validated {
    best: Option<ValidatedAt>,
}

#[derive(Deserialize)]
struct ValidatedAt {
    step: u64,
}

/// Whether a name is one under which a checkpoint is made or replaced, of this program or an earlier one of it.
fn is_staging(file_name: &str) -> bool {
    let parts = file_name.strip_prefix('.').and_then(|name| name.split_once('.'));
    let is_ending = |ending: &str| STAGING_ENDINGS.contains(&ending) || ["tmp", "replaced"].contains(&ending);
    parts.is_some_and(|(step, ending)| step_of(step).is_some() && is_ending(ending))
}

/// Give what is at `path`, unless it is nothing or a checkpoint alone, another name: `step-000010.kept`.
fn set_aside(path: &Path) -> Result<(), CheckpointError> {
    if fs::symlink_metadata(path).is_err() || is_checkpoint_alone(path)? {
        return Ok(());
    }
    let mut endings = (1..).map(|number| if number == 1 { "kept".into() } else { format!("kept-{number}") });
    let free =
        endings.find_map(|ending| Some(path.with_extension(ending)).filter(|to| fs::symlink_metadata(to).is_err()));
    let to = free.expect("there is always another number");
    Ok(fs::rename(path, &to).map_err(failed_to("move away", path))?)
}

/// Write all files of a checkpoint into an empty directory.
fn write(dir: &Path, snapshot: &Snapshot<'_, impl Serialize, impl Serialize>) -> Result<(), CheckpointError> {
    let trainer = dir.join(TRAINER_DIR);
    fs::create_dir_all(&trainer).map_err(failed_to("create", &trainer))?;
    let kind = match snapshot.published_as {
        Precision::F32 => Kind::F32,
        Precision::Bf16 => Kind::Bf16,
        Precision::F16 => Kind::F16,
    };
    let published = snapshot.published.unwrap_or(snapshot.weights);
    write_model(dir, snapshot.config, snapshot.tokenizer, published, kind)?;
    if kind != Kind::F32 || snapshot.published.is_some() {
        write_master_weights(dir, snapshot.weights)?;
    }
    write_optimizer(dir, snapshot.optimizer)?;
    verify::seal(dir, snapshot.identity, snapshot.state)?;
    Ok(sync_dir(&trainer)?)
}
