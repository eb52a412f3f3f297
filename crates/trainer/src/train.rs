//! The loop: start or resume, step, validate, log, save, stop.

use std::{
    fs::{self, File, TryLockError},
    path::Path,
    time::{Duration, Instant},
};

use itera_checkpoint::{CheckpointStore, Snapshot};
use itera_config::{Config, TrainConfig};
use itera_data::validation_batches;
use itera_files::write_atomic;
use itera_metrics::{ExpertLayout, MetricsWriter, StepRecord, TensorBoard, resident_bytes};
use itera_model::LanguageModel;
use itera_runtime::Score;
use itera_tokenizer::TokenId;

use crate::{
    error::TrainError,
    identity::Identity,
    job::{Event, Job, Outcome, Resume, RunEnd},
    learner::Learner,
    optimizer::Optimizer,
    reduce::Local,
    samples::samples,
    schedule::learning_rate,
    state::{Best, TrainingState, add_counts},
    text::Text,
    update::{StepTimes, Update},
    validation::validate,
};

/// Train until the steps are done, validation stops improving, or someone asks to stop.
///
/// # Errors
/// A checkpoint that cannot be trusted, a run directory in use, files that cannot be written, or too many non-finite
/// steps in a row.
pub fn train(job: Job<'_>, on_event: &mut dyn FnMut(Event<'_>)) -> Result<Outcome, TrainError> {
    let mut run = Run::start(job)?;
    on_event(Event::Started { step: run.state.step, steps: run.job.config.train.steps });
    let end = loop {
        if run.state.early_stopped {
            break RunEnd::EarlyStopped;
        }
        if run.state.step >= run.job.config.train.steps {
            break RunEnd::Finished;
        }
        if let Some(signal) = run.job.stop.signal() {
            break RunEnd::Interrupted(signal);
        }
        run.step(on_event)?;
    };
    run.save_last(on_event)?;
    Ok(Outcome { end, state: run.state })
}

/// A run between two steps.
pub(crate) struct Run<'a> {
    job: Job<'a>,
    store: CheckpointStore,
    identity: Identity,
    metrics: MetricsWriter,
    tensorboard: Option<TensorBoard>,
    learner: Learner<'a, Text<'a>>,
    state: TrainingState,
    /// What the last step took.
    pub(crate) times: StepTimes,
    /// Step of the newest checkpoint of this state.
    saved_step: Option<u64>,
    /// Steps of the window so far and the time they took; unlike the window itself, a matter of this process alone.
    window_steps: u64,
    window_time: Duration,
    /// Up to when `state.elapsed_s` counts.
    clock: Instant,
    /// Held for as long as the run lasts.
    _lock: File,
}

impl<'a> Run<'a> {
    /// Begin, or continue from a checkpoint.
    pub(crate) fn start(job: Job<'a>) -> Result<Self, TrainError> {
        let config = job.config;
        let dir = Path::new(&config.run.dir);
        let store = CheckpointStore::new(dir);
        let identity =
            Identity::new(config, &job.data.tokenizer, job.data.summary.content_hash(), job.method.identity());
        let device = job.device.clone().autodiff();

        fs::create_dir_all(dir).map_err(|source| TrainError::RunDir { path: dir.into(), source })?;
        let lock = lock(dir)?;
        job.resume.check(dir)?;
        let from = match &job.resume {
            Resume::No => None,
            Resume::Overwrite => {
                store.clear()?;
                None
            }
            Resume::Last => store.last()?.map(|last| last.path),
            Resume::From(path) => Some(path.clone()),
        };
        let saved_step;
        let (model, optimizer, state) = match from {
            Some(path) => {
                let checkpoint = store.open::<Identity, TrainingState>(&path)?;
                if let Some((what, difference)) = checkpoint.identity.difference(&identity) {
                    return Err(TrainError::Foreign { path, what, difference });
                }
                let tensors = checkpoint.tensors()?;
                let model =
                    LanguageModel::from_values(&config.model, &device, tensors.weights.into_iter().map(|w| w.data))?;
                let (first, second) = (tensors.first_moments, tensors.second_moments);
                let optimizer = Optimizer::from_values(&config.model.tensors(), &device, first, second);
                let state = TrainingState { resumes: checkpoint.state.resumes + 1, ..checkpoint.state };
                // before metrics rows after this step are dropped, so that nothing resumes past them
                settle(&store, &state, config)?;
                saved_step = Some(state.step);
                (model, optimizer, state)
            }
            None => {
                let model = match job.initial {
                    Some(initial) => {
                        let values = initial.iter().map(|weight| weight.data.clone());
                        LanguageModel::from_values(&config.model, &device, values)?
                    }
                    None => LanguageModel::init(&config.model, config.run.seed, &device),
                };
                saved_step = None;
                (model, Optimizer::new(&config.model.tensors(), &device), TrainingState::default())
            }
        };
        write_atomic(&dir.join("config.toml"), config.to_toml().as_bytes())?;
        let experts = ExpertLayout { n_layers: config.model.n_layers, n_experts: config.model.n_experts };
        let (metrics, board): (_, fn(&Path, u64) -> _) = match saved_step {
            Some(step) => (MetricsWriter::resume(dir, experts, step)?, TensorBoard::resume),
            None => (MetricsWriter::create(dir, experts)?, |dir, _| TensorBoard::create(dir)),
        };
        let tensorboard = config.log.tensorboard.then(|| board(&dir.join("tensorboard"), state.step)).transpose()?;
        let task = Text::new(config, job.data, job.method);
        Ok(Self {
            store,
            identity,
            metrics,
            tensorboard,
            learner: Learner { task, train: &config.train, reduce: &Local, model, optimizer },
            times: StepTimes::default(),
            saved_step,
            window_steps: 0,
            window_time: Duration::ZERO,
            clock: Instant::now(),
            _lock: lock,
            state,
            job,
        })
    }

    /// One step, and what is due after it.
    pub(crate) fn step(&mut self, on_event: &mut dyn FnMut(Event<'_>)) -> Result<(), TrainError> {
        let config = self.job.config;
        let started = Instant::now();
        let lr = learning_rate(&config.train, self.state.step);
        let update = self.learner.update(self.state.step, self.state.skipped, lr);

        self.state.step += 1;
        self.state.tokens += config.train.tokens_per_step();
        self.window_steps += 1;
        self.window_time += started.elapsed();
        self.times = update.times;
        let step = self.state.step;
        if update.is_finite() {
            self.state.consecutive_skipped = 0;
            let window = &mut self.state.window;
            window.steps += 1;
            window.loss_nats += update.losses.nats;
            window.load_balance += update.losses.load_balance.unwrap_or(0.0);
            window.z += update.losses.z.unwrap_or(0.0);
        } else {
            self.state.skipped += 1;
            self.state.consecutive_skipped += 1;
            on_event(Event::Skipped { step, consecutive: self.state.consecutive_skipped });
        }
        add_counts(&mut self.state.window.tokens_per_expert, &update.losses.tokens_per_expert);

        let last = step == config.train.steps;
        let validation = (last || step.is_multiple_of(config.eval.every_steps)).then(|| self.validate()).transpose()?;
        let validated = Instant::now();
        let record = (last || step.is_multiple_of(config.log.every_steps) || validation.is_some())
            .then(|| self.record(&update, lr, validation.map(|v| v.score)));
        if let Some(record) = &record {
            self.metrics.write(record)?;
            if let Some(board) = &mut self.tensorboard {
                board.write(record)?;
            }
        }
        self.times.log = validated.elapsed();
        on_event(Event::Step { step, loss_nats: update.losses.nats, record: record.as_ref() });
        if let Some(Validation { score, best, .. }) = validation {
            if let Some(board) = &mut self.tensorboard {
                for (index, sample) in self.state.samples.iter().enumerate() {
                    board.write_text(
                        &format!("samples/{index}"),
                        step,
                        &format!("{}{}", sample.prompt, sample.text),
                    )?;
                }
            }
            on_event(Event::Validated { step, score, best, samples: &self.state.samples });
        }

        if self.state.consecutive_skipped >= config.train.max_skipped_steps {
            return Err(self.non_finite()?);
        }
        let due = step.is_multiple_of(config.checkpoint.every_steps) || validation.is_some_and(|v| v.is_kept);
        if due && self.is_healthy(validation) {
            self.save(on_event)?;
        }
        Ok(())
    }

    /// Save the state that the run ends with, if it is not saved yet.
    fn save_last(&mut self, on_event: &mut dyn FnMut(Event<'_>)) -> Result<(), TrainError> {
        if self.saved_step == Some(self.state.step) {
            return Ok(());
        }
        if !self.is_healthy(None) {
            return Err(self.non_finite()?);
        }
        self.save(on_event)
    }

    fn non_finite(&self) -> Result<TrainError, TrainError> {
        let last_good = self.store.last()?;
        Ok(TrainError::NonFinite {
            step: self.state.step,
            consecutive: self.state.consecutive_skipped,
            last_good: last_good.map(|last| last.path),
        })
    }

    /// Whether the model after this step still predicts anything: a checkpoint that does not is no use to resume from.
    fn is_healthy(&self, validation: Option<Validation>) -> bool {
        let score = match validation {
            Some(validation) => validation.score,
            None => {
                let TrainConfig { batch_size, seq_len, .. } = self.job.config.train;
                let data = self.job.data;
                let one = validation_batches(&data.valid, batch_size * seq_len, batch_size, seq_len).take(1);
                validate(&self.learner.valid(), one, |_| 0)
            }
        };
        score.nats.is_finite()
    }

    fn validate(&mut self) -> Result<Validation, TrainError> {
        let config = self.job.config;
        let data = self.job.data;
        let model = self.learner.valid();
        let batches =
            validation_batches(&data.valid, config.eval.tokens, config.train.batch_size, config.train.seq_len);
        let score = validate(&model, batches, |id| data.tokenizer.token_bytes(TokenId(id as u32)));
        self.state.samples = samples(&model, self.state.step, config, &data.tokenizer)?;

        let here = Best { val_bpb: score.bits_per_byte(), step: self.state.step };
        if !here.val_bpb.is_finite() {
            return Ok(Validation { score, best: false, is_kept: false });
        }
        let state = &mut self.state;
        let best = state.best.is_none_or(|best| here.val_bpb < best.val_bpb);
        if best {
            state.best = Some(here);
        }
        if state.patience_bpb.is_none_or(|bpb| here.val_bpb < bpb - config.eval.min_delta) {
            state.patience_bpb = Some(here.val_bpb);
            state.validations_without_improvement = 0;
        } else {
            state.validations_without_improvement += 1;
            let patience = config.eval.patience;
            state.early_stopped = patience > 0 && state.validations_without_improvement >= patience;
        }
        state.kept_best.push(here);
        state.kept_best.sort_by(|a, b| a.val_bpb.total_cmp(&b.val_bpb).then(a.step.cmp(&b.step)));
        state.kept_best.truncate(config.checkpoint.keep_best);
        Ok(Validation { score, best, is_kept: state.kept_best.contains(&here) })
    }

    /// The metrics row of the window that ends here, and a fresh window.
    fn record(&mut self, update: &Update, lr: f64, validation: Option<Score>) -> StepRecord {
        let window = std::mem::take(&mut self.state.window);
        let steps = std::mem::take(&mut self.window_steps);
        let seconds = std::mem::take(&mut self.window_time).as_secs_f64();
        let has_experts = self.job.config.model.n_experts > 0;
        StepRecord {
            step: self.state.step,
            tokens: self.state.tokens,
            loss_nats: window.mean(window.loss_nats).unwrap_or(f64::NAN),
            val_loss_nats: validation.map(|score| score.nats_per_token()),
            val_bpb: validation.map(|score| score.bits_per_byte()),
            val_perplexity: validation.map(|score| score.perplexity()),
            lr,
            grad_norm: update.grad_norm,
            load_balance_loss: window.mean(window.load_balance).filter(|_| has_experts),
            z_loss: window.mean(window.z).filter(|_| has_experts),
            tokens_per_expert: window.tokens_per_expert,
            skipped: self.state.skipped,
            tokens_per_s: (steps * self.job.config.train.tokens_per_step()) as f64 / seconds,
            step_ms: 1e3 * seconds / steps as f64,
            resident_mb: resident_bytes().map(|bytes| bytes as f64 / 1e6),
        }
    }

    /// Publish a checkpoint, point `last` and `best` at theirs, and remove those that nobody keeps.
    fn save(&mut self, on_event: &mut dyn FnMut(Event<'_>)) -> Result<(), TrainError> {
        self.metrics.sync()?;
        self.state.elapsed_s += self.clock.elapsed().as_secs_f64();
        self.clock = Instant::now();
        let moments = self.learner.optimizer.moments();
        let [first_moments, second_moments] =
            moments.each_ref().map(|all| all.iter().map(|of| &of[..]).collect::<Vec<&[f32]>>());
        let path = self.store.save(&Snapshot {
            step: self.state.step,
            config: &self.job.config.model,
            weights: &self.learner.model.parameters(),
            published_as: self.job.config.train.precision,
            tokenizer: &self.job.data.tokenizer,
            first_moments: &first_moments,
            second_moments: &second_moments,
            state: &self.state,
            identity: &self.identity,
        })?;
        settle(&self.store, &self.state, self.job.config)?;
        self.saved_step = Some(self.state.step);
        on_event(Event::Saved { path: &path });
        Ok(())
    }
}

fn settle(store: &CheckpointStore, state: &TrainingState, config: &Config) -> Result<(), TrainError> {
    let best: Vec<u64> = state.kept_best.iter().take(config.checkpoint.keep_best).map(|best| best.step).collect();
    Ok(store.settle(state.step, &best, config.checkpoint.keep_last)?)
}

/// Keep other processes out of the run directory; the system lets go of the lock when this one ends, however it ends.
fn lock(dir: &Path) -> Result<File, TrainError> {
    let path = dir.join(".lock");
    let file = File::create(&path).map_err(|source| TrainError::RunDir { path: path.clone(), source })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(TrainError::RunBusy { dir: dir.into() }),
        Err(TryLockError::Error(source)) => Err(TrainError::RunDir { path, source }),
    }
}

#[derive(Clone, Copy)]
struct Validation {
    score: Score,
    /// The lowest so far.
    best: bool,
    /// Among those whose checkpoints `keep_best` keeps.
    is_kept: bool,
}
