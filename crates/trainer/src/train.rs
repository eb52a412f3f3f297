//! The loop: start or resume, step, validate, log, save, stop.

use std::{path::Path, time::Instant};

use itera_checkpoint::CheckpointStore;
use itera_config::{Config, Objective, TrainConfig};
use itera_metrics::{StepRecord, resident_bytes};
use itera_tokenizer::{TokenId, Tokenizer};

use crate::{
    agree::agree,
    begin::{Beginning, begin},
    error::TrainError,
    identity::Identity,
    job::{Event, Job, Outcome, RunEnd},
    learner::Learner,
    pace::Pace,
    progress::{Progress, Validation},
    ranks::Ranks,
    recorder::{Recorder, RunDir},
    samples::samples,
    schedule::rates,
    stop::StopCause,
    text::Text,
    update::StepTimes,
    validation::{Part, validate, validate_together},
};

/// Train until the steps are done, validation stops improving, or someone asks to stop.
///
/// # Errors
/// A checkpoint that cannot be trusted, a run directory in use, files that cannot be written, or too many non-finite
/// steps in a row.
pub fn train(job: Job<'_>, on_event: &mut dyn FnMut(Event<'_>)) -> Result<Outcome, TrainError> {
    let mut run = Run::start(job, on_event)?;
    on_event(Event::Started { step: run.progress.state.step, steps: run.job.config.train.steps });
    let end = loop {
        if let Some(end) = run.progress.end().or_else(|| run.asked_to_stop().map(RunEnd::Interrupted)) {
            break end;
        }
        run.step(on_event)?;
    };
    run.save_last(on_event)?;
    Ok(Outcome { end, state: run.progress.state })
}

/// A run between two steps.
pub(crate) struct Run<'a> {
    job: Job<'a>,
    learner: Learner<'a, Text<'a>>,
    progress: Progress<'a>,
    /// Weight decay of the first step.
    weight_decay: f64,
    /// `None` where another process writes the files of the run.
    recorder: Option<Recorder<'a>>,
    /// What the last step took.
    pub(crate) times: StepTimes,
    /// Step of the newest checkpoint of this state.
    saved_step: Option<u64>,
}

impl<'a> Run<'a> {
    /// Begin, or continue from a checkpoint.
    pub(crate) fn start(job: Job<'a>, on_event: &mut dyn FnMut(Event<'_>)) -> Result<Self, TrainError> {
        let (config, data) = (job.config, job.data);
        check_prompts(config, &data.tokenizer)?;
        let dir = Path::new(&config.run.dir);
        let identity = Identity::new(config, &data.tokenizer, &data.summary, job.method.identity());
        let ranks = Ranks::new(job.world, job.stop.clone());
        let records = ranks.rank() == 0;
        let run_dir = records.then(|| RunDir::open(dir, &job.resume)).transpose()?;
        if let Some(reason) = run_dir.as_ref().and_then(|run_dir| run_dir.lock.missing.as_ref()) {
            on_event(Event::Unlocked { dir, reason });
        }
        let beginning = begin(&job, &identity, &ranks)?;
        if let Some(error) = &beginning.passed_over {
            on_event(Event::PassedOver { error });
        }
        // and every rank has read its checkpoint before rank 0 removes any
        agree(&ranks, config, &identity, &beginning)?;
        let Beginning { model, optimizer, average, checkpoint, .. } = beginning;
        let saved_step = checkpoint.as_ref().map(|state| state.step);
        let progress = Progress::new(config, checkpoint);
        let record = |dir: RunDir| dir.record(config, &data.tokenizer, identity, &progress.state, saved_step.is_some());
        let recorder = run_dir.map(record).transpose()?;
        let task = Text::new(config, data, job.method);
        let pace = Pace::default();
        let learner = Learner { task, train: &config.train, ranks, model, optimizer, average, pace };
        let weight_decay =
            config.train.weight_decay.resolved(config.model.total_params() as u64, data.summary.train.tokens);
        Ok(Self { learner, progress, weight_decay, recorder, times: StepTimes::default(), saved_step, job })
    }

    /// What asks to stop. Of several processes, all know of it once they have done something together since.
    fn asked_to_stop(&self) -> Option<StopCause> {
        self.learner.ranks.asked_to_stop()
    }

    /// One step, and what is due after it.
    pub(crate) fn step(&mut self, on_event: &mut dyn FnMut(Event<'_>)) -> Result<(), TrainError> {
        let started = Instant::now();
        let before = &self.progress.state;
        let rates = rates(&self.job.config.train, self.weight_decay, before.step);
        let update = self.learner.update(before, rates)?;
        let due = self.progress.after_step(&update, started.elapsed());
        self.times = update.times;
        let step = self.progress.state.step;
        if !update.is_finite() {
            let state = &self.progress.state;
            let loss_scale = state.loss_scale.map(|scale| scale.scale);
            on_event(Event::Skipped { step, consecutive: state.consecutive_skipped, loss_scale });
        }

        if let Some(slow) = update.slow {
            on_event(Event::Slow { step, slow });
        }

        let validation = due.validate.then(|| self.validate(on_event)).transpose()?;
        self.learner.ranks.begin("the records", step);
        let validated = Instant::now();
        let record = due.record.then(|| StepRecord {
            resident_mb: resident_bytes().map(|bytes| bytes as f64 / 1e6),
            ..self.progress.record(&update, rates.lr, validation.map(|v| v.score))
        });
        if let (Some(recorder), Some(record)) = (&mut self.recorder, &record) {
            recorder.row(record)?;
        }
        self.times.log = validated.elapsed();
        on_event(Event::Step { step, loss_nats: update.losses.nats, record: record.as_ref() });
        if let Some(Validation { score, best, .. }) = validation {
            let samples = &self.progress.state.samples;
            self.recorder.iter_mut().try_for_each(|recorder| recorder.samples(step, samples))?;
            on_event(Event::Validated { step, score, best, samples });
        }

        if due.stop {
            return Err(self.non_finite()?);
        }
        if (due.save || validation.is_some_and(|v| v.is_kept)) && self.is_healthy(validation)? {
            self.save(on_event)?;
        }
        Ok(())
    }

    /// Save the state that the run ends with, if it is not saved yet.
    fn save_last(&mut self, on_event: &mut dyn FnMut(Event<'_>)) -> Result<(), TrainError> {
        if self.saved_step == Some(self.progress.state.step) {
            return Ok(());
        }
        if !self.is_healthy(None)? {
            return Err(self.non_finite()?);
        }
        self.save(on_event)
    }

    fn save(&mut self, on_event: &mut dyn FnMut(Event<'_>)) -> Result<(), TrainError> {
        self.progress.tick();
        let state = &self.progress.state;
        self.learner.ranks.begin("the save", state.step);
        let remembered = self.learner.remembered(state.step)?;
        let Learner { model, average, .. } = &self.learner;
        if let Some(recorder) = &mut self.recorder {
            let path = recorder.save(state, model, &remembered, average.as_ref())?;
            on_event(Event::Saved { path: &path });
        }
        self.saved_step = Some(state.step);
        Ok(())
    }

    fn non_finite(&self) -> Result<TrainError, TrainError> {
        let last_good = CheckpointStore::new(Path::new(&self.job.config.run.dir)).last()?;
        Ok(TrainError::NonFinite {
            step: self.progress.state.step,
            consecutive: self.progress.state.consecutive_skipped,
            last_good: last_good.map(|last| last.path),
        })
    }

    /// Whether the model after this step still predicts anything: a checkpoint that does not is no use to resume from.
    fn is_healthy(&self, validation: Option<Validation>) -> Result<bool, TrainError> {
        let score = match validation {
            Some(validation) => validation.score,
            None => {
                let config = self.job.config;
                let TrainConfig { batch_size, seq_len, .. } = config.train;
                let one = self.job.data.validation_batches(config, batch_size * seq_len).take(1);
                validate(&self.learner.valid(), one, |_| 0, |_| false)?
            }
        };
        Ok(score.nats.is_finite())
    }

    /// Score the model after this step, and, on the rank that records, let it write. That it cannot write is told and ends
    /// nothing.
    fn validate(&mut self, on_event: &mut dyn FnMut(Event<'_>)) -> Result<Validation, TrainError> {
        let (config, data) = (self.job.config, self.job.data);
        let model = self.learner.valid();
        let (ranks, step) = (&self.learner.ranks, self.progress.state.step);
        let token_bytes = |id| data.tokenizer.token_bytes(TokenId(id as u32));
        let TrainConfig { objective, batch_size, contrast_temperature, .. } = config.train;
        let score = match objective {
            Objective::NextToken => {
                let batches = data.validation_batches(config, config.eval.tokens);
                let is_unknown = |position| data.valid.is_unknown(position);
                validate_together(ranks, step, batches, |batch| Part::of_text(&model, batch, token_bytes, is_unknown))?
            }
            Objective::Contrast => {
                let pairs = data.validation_pairs(config);
                let cost = |batch: &_| Part::of_pairs(&model, batch, contrast_temperature, token_bytes);
                validate_together(ranks, step, pairs.batches(config.eval.tokens, batch_size), cost)?
            }
        };
        if self.recorder.is_some() && objective == Objective::NextToken {
            self.learner.ranks.begin("the samples", step);
            self.progress.state.samples = samples(&model, step, config, &data.tokenizer).unwrap_or_else(|error| {
                on_event(Event::NoSamples { step, error: &error });
                vec![]
            });
        }
        Ok(self.progress.after_validation(score))
    }
}

/// Whether the model will be able to read the configured prompts. Without attention it reads texts of any length.
fn check_prompts(config: &Config, tokenizer: &Tokenizer) -> Result<(), TrainError> {
    let max_seq_len = config.model.max_seq_len;
    let has_context = !config.model.attention_layers.is_empty();
    for prompt in config.eval.prompts.iter().filter(|_| has_context) {
        let n_tokens = 1 + tokenizer.encode(prompt).len(); // behind bos
        if n_tokens > max_seq_len {
            return Err(TrainError::LongPrompt { prompt: prompt.clone(), n_tokens, max_seq_len });
        }
    }
    Ok(())
}
