//! The steps of a run, timed.

use std::path::Path;

use itera_config::{CheckpointConfig, Config, EvalConfig, LogConfig, RunConfig, TrainConfig};

use crate::{error::TrainError, job::Job, train::Run, update::StepTimes};

/// Do `steps` steps of `job` in the empty directory `dir`, as [`train`](crate::train()) does, and tell what each took.
///
/// Nothing is validated or saved meanwhile, and a row of metrics is written every step, which is more often than runs
/// do it.
///
/// # Errors
/// Files that cannot be written, or too many non-finite steps in a row.
pub fn time_steps(job: Job<'_>, dir: &Path, steps: u64) -> Result<Vec<StepTimes>, TrainError> {
    let config = job.config;
    let config = Config {
        run: RunConfig { dir: dir.to_string_lossy().into_owned(), ..config.run.clone() },
        // one more than are made, because the last one validates and saves
        train: TrainConfig { steps: config.train.steps.max(steps + 1), ..config.train.clone() },
        eval: EvalConfig { every_steps: u64::MAX, ..config.eval.clone() },
        checkpoint: CheckpointConfig { every_steps: u64::MAX, ..config.checkpoint.clone() },
        log: LogConfig { every_steps: 1, ..config.log.clone() },
        ..config.clone()
    };
    let mut run = Run::start(Job { config: &config, ..job }, &mut |_| {})?;
    let time_step = |_| {
        run.step(&mut |_| {})?;
        Ok(run.times)
    };
    (0..steps).map(time_step).collect()
}
