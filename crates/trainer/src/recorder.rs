//! rows, samples, checkpoints → the directory of a run

use std::{
    fs,
    path::{Path, PathBuf},
};

use burn::tensor::Tensor;
use itera_checkpoint::{CheckpointStore, Snapshot};
use itera_config::Config;
use itera_files::write_atomic;
use itera_metrics::{ExpertLayout, MetricsWriter, Sample, StepRecord, TensorBoard};
use itera_model::{LanguageModel, parameters::weights};
use itera_ops::{HostValues, host_values};
use itera_shape::{TensorRef, TensorSpec};
use itera_tokenizer::Tokenizer;

use crate::{
    average::{AVERAGE, Average},
    error::TrainError,
    identity::Identity,
    job::Resume,
    lock::RunLock,
    optimizer::Remembered,
    schedule::decay_start,
    state::TrainingState,
};

/// Files of a run besides its checkpoints. A directory with one of them and no run in it is somebody else's.
const CONFIG: &str = "config.toml";
const FILES: [&str; 4] = ["metrics.jsonl", "metrics.csv", "report.json", "report.html"];

/// A run directory that this process alone writes, before anything is written.
pub(crate) struct RunDir {
    store: CheckpointStore,
    path: PathBuf,
    pub(crate) lock: RunLock,
}

/// Writes what a run leaves behind. Of several processes that train together, one has it.
pub(crate) struct Recorder<'a> {
    config: &'a Config,
    tokenizer: &'a Tokenizer,
    identity: Identity,
    store: CheckpointStore,
    metrics: MetricsWriter,
    tensorboard: Option<TensorBoard>,
    _lock: RunLock,
}

impl RunDir {
    /// Make and lock the directory, and remove the checkpoints in it that are to be overwritten.
    pub(crate) fn open(path: &Path, resume: &Resume) -> Result<Self, TrainError> {
        fs::create_dir_all(path).map_err(|source| TrainError::RunDir { path: path.into(), source })?;
        let lock = RunLock::take(path)?;
        resume.check(path)?;
        let store = CheckpointStore::new(path);
        if store.last()?.is_none() {
            expect_nothing_of_others(path)?;
        }
        if *resume == Resume::Overwrite {
            store.clear()?;
        }
        Ok(Self { store, path: path.into(), lock })
    }

    /// Begin the files of a run in `state`, or continue those of the checkpoint that was `resumed`.
    pub(crate) fn record<'a>(
        self,
        config: &'a Config,
        tokenizer: &'a Tokenizer,
        identity: Identity,
        state: &TrainingState,
        resumed: bool,
    ) -> Result<Recorder<'a>, TrainError> {
        let Self { mut store, path, lock } = self;
        if !config.checkpoint.local_dir.is_empty() {
            store = store.by_way_of(Path::new(&config.checkpoint.local_dir));
        }
        if resumed {
            // before metrics rows after this step are dropped, so that nothing resumes past them
            settle(&store, state, config)?;
        }
        write_atomic(&path.join(CONFIG), config.to_toml().as_bytes())?;
        let experts = ExpertLayout { n_layers: config.model.n_layers, n_experts: config.model.n_experts };
        let board = path.join("tensorboard");
        let (metrics, board): (_, &dyn Fn() -> _) = match resumed {
            true => (MetricsWriter::resume(&path, experts, state.step)?, &|| TensorBoard::resume(&board, state.step)),
            false => (MetricsWriter::create(&path, experts)?, &|| TensorBoard::create(&board)),
        };
        let tensorboard = config.log.tensorboard.then(board).transpose()?;
        Ok(Recorder { config, tokenizer, identity, store, metrics, tensorboard, _lock: lock })
    }
}

impl Recorder<'_> {
    /// Write a row of metrics.
    pub(crate) fn row(&mut self, record: &StepRecord) -> Result<(), TrainError> {
        self.metrics.write(record)?;
        self.tensorboard.iter_mut().try_for_each(|board| Ok(board.write(record)?))
    }

    /// Show the samples of `step` in TensorBoard; other files get them with the state.
    pub(crate) fn samples(&mut self, step: u64, samples: &[Sample]) -> Result<(), TrainError> {
        let Some(board) = &mut self.tensorboard else { return Ok(()) };
        for (index, sample) in samples.iter().enumerate() {
            board.write_text(&format!("samples/{index}"), step, &format!("{}{}", sample.prompt, sample.text))?;
        }
        Ok(())
    }

    /// Publish a checkpoint, point `last` and `best` at theirs, and remove those that nobody keeps. What it holds is written
    /// from where training has it, unless that is a device with memory of its own.
    pub(crate) fn save(
        &mut self,
        state: &TrainingState,
        model: &LanguageModel,
        remembered: &[Remembered],
        average: Option<&Average>,
    ) -> Result<PathBuf, TrainError> {
        self.metrics.sync()?;
        let specs = self.config.model.tensors();
        let read = |tensors: &[Tensor<1>]| tensors.iter().map(host_values).collect::<Vec<HostValues>>();
        let weights = read(&weights(model));
        let average = average.map(|average| read(average.weights()));
        let names: Vec<String> = specs.iter().map(|spec| format!("{AVERAGE}{}", spec.name)).collect();
        let published = average.as_ref().map(|average| named(specs.iter().map(|spec| &spec.name[..]), &specs, average));
        let mut saved: Vec<TensorRef<'_>> = remembered.iter().map(Remembered::as_ref).collect();
        saved.extend(average.iter().flat_map(|average| named(names.iter().map(String::as_str), &specs, average)));
        let path = self.store.save(&Snapshot {
            step: state.step,
            config: &self.config.model,
            weights: &named(specs.iter().map(|spec| &spec.name[..]), &specs, &weights),
            published: published.as_deref(),
            published_as: self.config.train.precision,
            tokenizer: self.tokenizer,
            optimizer: &saved,
            state,
            identity: &self.identity,
        })?;
        settle(&self.store, state, self.config)?;
        Ok(path)
    }
}

/// Tensors of these names, with the shapes of a table.
fn named<'a>(
    names: impl Iterator<Item = &'a str>,
    table: &'a [TensorSpec],
    values: &'a [HostValues],
) -> Vec<TensorRef<'a>> {
    let tensors = names.zip(table).zip(values);
    tensors.map(|((name, spec), data)| TensorRef { name, shape: &spec.shape, data }).collect()
}

/// Keep the newest checkpoints, the best, and the last one before the learning rate decays, from which the run can be
/// trained longer.
fn settle(store: &CheckpointStore, state: &TrainingState, config: &Config) -> Result<(), TrainError> {
    let best: Vec<u64> = state.kept_best.iter().take(config.checkpoint.keep_best).map(|best| best.step).collect();
    let steps = store.list()?.into_iter().map(|found| found.step);
    let stable = decay_start(&config.train).and_then(|start| steps.filter(|step| *step <= start).max());
    Ok(store.settle(state.step, &best, stable.as_slice(), config.checkpoint.keep_last)?)
}

/// Whether a run may be begun in `dir`, which has no checkpoint: a file that it would replace must be a run's.
fn expect_nothing_of_others(dir: &Path) -> Result<(), TrainError> {
    let config = dir.join(CONFIG);
    let mut of_others = match fs::symlink_metadata(&config) {
        Ok(_) => vec![config.clone()].into_iter().filter(|path| Config::load(path, &[]).is_err()).collect(),
        Err(_) => FILES.map(|file| dir.join(file)).to_vec(),
    };
    of_others.retain(|path| fs::symlink_metadata(path).is_ok());
    match of_others.into_iter().next() {
        Some(path) => Err(TrainError::NotOfARun { path }),
        None => Ok(()),
    }
}
