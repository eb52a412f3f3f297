//! checkpoint, given weights, a model, or a seed → what a run begins with

use std::path::Path;

use itera_checkpoint::{Checkpoint, CheckpointError, CheckpointStore, find_model, read_model};
use itera_config::Config;
use itera_model::LanguageModel;
use itera_shape::{ModelConfig, NamedTensor, TensorSpec};
use itera_tokenizer::Tokenizer;

use crate::{
    average::Average,
    error::TrainError,
    identity::{Difference, Identity},
    job::{Job, Resume},
    learner::Optimizers,
    optimizer::Optimizer,
    ranks::Ranks,
    replicas::{Replicas, is_together},
    state::TrainingState,
};

/// What a run begins with.
pub(crate) struct Beginning {
    pub model: LanguageModel,
    pub optimizer: Optimizers<LanguageModel>,
    pub average: Option<Average>,
    /// The state of the checkpoint that the run goes on from.
    pub checkpoint: Option<TrainingState>,
    /// Why that is not the newest one.
    pub passed_over: Option<CheckpointError>,
}

/// Read the checkpoint that `job` asks for; without one, begin with the weights that it gives, with those of
/// the model that is configured, or with fresh ones.
pub(crate) fn begin(job: &Job<'_>, identity: &Identity, ranks: &Ranks<'_>) -> Result<Beginning, TrainError> {
    let store = CheckpointStore::new(Path::new(&job.config.run.dir));
    let config = &job.config.model;
    let table = &config.tensors();
    let device = job.device.clone().autodiff();
    let train = &job.config.train;
    let decay = Some(train.ema).filter(|decay| *decay > 0.0);
    let replicas = (train.replicas > 1).then(|| ranks.share(ranks.rank(), train.replicas));
    let from = match &job.resume {
        Resume::No | Resume::Overwrite => None,
        Resume::Last => store.open_last()?,
        Resume::From(path) => Some((store.open(path)?, None)),
    };
    if let Some((checkpoint, passed_over)) = from {
        let checkpoint: Checkpoint<Identity, TrainingState> = checkpoint;
        if let Some(difference) = checkpoint.identity.difference(identity, checkpoint.state.step) {
            return Err(refusal(&store, checkpoint.path(), checkpoint.state.step, difference)?);
        }
        let mut tensors = checkpoint.tensors()?;
        let model = LanguageModel::from_values(config, &device, tensors.weights.into_iter().map(|w| w.data))?;
        let saved = &mut tensors.optimizer;
        let optimizer = match replicas {
            None => Optimizers::Of(Optimizer::restore(train, table, &device, |name, len| saved.take(name, len))?),
            Some(own) => {
                let from = (&model, !is_together(train, checkpoint.state.step));
                Optimizers::Replicas(Replicas::restore(train, table, &device, own, from, saved)?)
            }
        };
        let restore = |decay| Average::restore(decay, table, &device, saved);
        let average = decay.map(restore).transpose()?;
        return Ok(Beginning { model, optimizer, average, checkpoint: Some(checkpoint.state), passed_over });
    }
    let model = match job.initial {
        Some(initial) => LanguageModel::from_values(config, &device, initial.iter().map(|weight| weight.data.clone()))?,
        None if !train.init.is_empty() => {
            let initial = weights_of(Path::new(&train.init), job.config, &job.data.tokenizer)?;
            LanguageModel::from_values(config, &device, initial.into_iter().map(|weight| weight.data))?
        }
        None => LanguageModel::init(config, job.config.run.seed, &device),
    };
    let optimizer = match replicas {
        None => Optimizers::Of(Optimizer::new(train, table, &device)),
        Some(own) => Optimizers::Replicas(Replicas::new(train, table, &device, own, &model)),
    };
    let average = decay.map(|decay| Average::new(decay, &model));
    Ok(Beginning { model, optimizer, average, checkpoint: None, passed_over: None })
}

/// The weights of the model at `path`, in the order of the tensor table.
fn weights_of(path: &Path, config: &Config, tokenizer: &Tokenizer) -> Result<Vec<NamedTensor>, TrainError> {
    let model = read_model(path)?;
    let misfit = |what: &str, there, here| TrainError::Misfit { path: path.into(), what: what.into(), there, here };
    let [there, here] = [&model.config, &config.model].map(ModelConfig::tensors);
    if let Some((there, here)) =
        there.iter().zip(&here).find(|(there, here)| (&there.name, &there.shape) != (&here.name, &here.shape))
    {
        let in_words = |spec: &TensorSpec| format!("{} of {:?}", spec.name, spec.shape);
        return Err(misfit("first other tensor", in_words(there), in_words(here)));
    }
    if there.len() != here.len() {
        return Err(misfit("number of tensors", there.len().to_string(), here.len().to_string()));
    }
    let found = Tokenizer::load_dir(&find_model(path)?).map_err(CheckpointError::from)?.fingerprint();
    if found != tokenizer.fingerprint() {
        return Err(misfit("tokenizer", found, tokenizer.fingerprint()));
    }
    Ok(model.tensors)
}

/// Why the checkpoint at `path`, of `step`, cannot be gone on from.
fn refusal(store: &CheckpointStore, path: &Path, step: u64, is: Difference) -> Result<TrainError, TrainError> {
    let path = path.to_path_buf();
    Ok(match is {
        Difference::Other { what, difference } => TrainError::Foreign { path, what, difference },
        Difference::PastRates { changes, from_step } => {
            let before = store.list()?.into_iter().rfind(|found| found.step <= from_step).map(|found| found.path);
            TrainError::PastRates { path, step, changes, from_step, before }
        }
    })
}
