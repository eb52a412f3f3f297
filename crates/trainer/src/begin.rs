//! checkpoint, given weights, or a seed → what a run begins with

use std::path::{Path, PathBuf};

use itera_checkpoint::{Checkpoint, CheckpointStore};
use itera_model::LanguageModel;

use crate::{
    error::TrainError,
    identity::{Difference, Identity},
    job::{Job, Resume},
    optimizer::Optimizer,
    state::TrainingState,
};

/// What a run begins with.
pub(crate) struct Beginning {
    pub model: LanguageModel,
    pub optimizer: Optimizer,
    /// The state of the checkpoint that the run goes on from.
    pub checkpoint: Option<TrainingState>,
}

/// Read the checkpoint that `job` asks for; without one, begin with the weights that it gives or with fresh ones.
pub(crate) fn begin(job: &Job<'_>, identity: &Identity) -> Result<Beginning, TrainError> {
    let store = CheckpointStore::new(Path::new(&job.config.run.dir));
    let config = &job.config.model;
    let device = job.device.clone().autodiff();
    let from = match &job.resume {
        Resume::No | Resume::Overwrite => None,
        Resume::Last => store.last()?.map(|last| last.path),
        Resume::From(path) => Some(path.clone()),
    };
    if let Some(path) = from {
        let checkpoint: Checkpoint<Identity, TrainingState> = store.open(&path)?;
        if let Some(difference) = checkpoint.identity.difference(identity, checkpoint.state.step) {
            return Err(refusal(&store, path, checkpoint.state.step, difference)?);
        }
        let tensors = checkpoint.tensors()?;
        let model = LanguageModel::from_values(config, &device, tensors.weights.into_iter().map(|w| w.data))?;
        let (first, second) = (tensors.first_moments, tensors.second_moments);
        let optimizer = Optimizer::from_values(&config.tensors(), &device, first, second);
        return Ok(Beginning { model, optimizer, checkpoint: Some(checkpoint.state) });
    }
    let model = match job.initial {
        Some(initial) => LanguageModel::from_values(config, &device, initial.iter().map(|weight| weight.data.clone()))?,
        None => LanguageModel::init(config, job.config.run.seed, &device),
    };
    Ok(Beginning { model, optimizer: Optimizer::new(&config.tensors(), &device), checkpoint: None })
}

/// Why the checkpoint at `path`, of `step`, cannot be gone on from.
fn refusal(store: &CheckpointStore, path: PathBuf, step: u64, is: Difference) -> Result<TrainError, TrainError> {
    Ok(match is {
        Difference::Other { what, difference } => TrainError::Foreign { path, what, difference },
        Difference::PastRates { changes, from_step } => {
            let before = store.list()?.into_iter().rfind(|found| found.step <= from_step).map(|found| found.path);
            TrainError::PastRates { path, step, changes, from_step, before }
        }
    })
}
