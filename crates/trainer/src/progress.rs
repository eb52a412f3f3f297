//! One step after another: what a run counts, and what is due when.
//!
//! ```text
//! Update ─ after_step ─▶ TrainingState, Due ─┬ validate ─▶ Score ─ after_validation ─▶ best, patience, what is kept
//!                                            ├ record ───▶ StepRecord of the window
//!                                            └ save
//! ```
//!
//! No model and no file: [`Run`](crate::train::Run) has those.

use std::time::{Duration, Instant};

use itera_config::{Config, EvalConfig};
use itera_metrics::StepRecord;
use itera_runtime::Score;

use crate::{
    job::RunEnd,
    loss_scale::LossScale,
    schedule::decay_start,
    state::{Best, TrainingState, add_counts},
    update::Update,
};

/// Where a run stands.
#[derive(Debug)]
pub(crate) struct Progress<'a> {
    config: &'a Config,
    pub state: TrainingState,
    /// Steps of the window so far and the time they took; unlike the window itself, a matter of this process alone.
    window_steps: u64,
    window_time: Duration,
    /// Up to when `state.elapsed_s` counts.
    clock: Instant,
}

/// What is to be done after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    pub validate: bool,
    /// Write a row of metrics.
    pub record: bool,
    /// Save, whatever a validation says.
    pub save: bool,
    /// Give up: too many steps in a row changed nothing.
    pub stop: bool,
}

/// What a validation was worth.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Validation {
    pub score: Score,
    /// The lowest so far.
    pub best: bool,
    /// Among those whose checkpoints `keep_best` keeps.
    pub is_kept: bool,
}

impl<'a> Progress<'a> {
    /// A run at its beginning, or where its checkpoint was made. Patience may have changed since.
    pub(crate) fn new(config: &'a Config, checkpoint: Option<TrainingState>) -> Self {
        let mut state = checkpoint
            .map_or_else(TrainingState::default, |state| TrainingState { resumes: state.resumes + 1, ..state });
        state.early_stopped = is_out_of_patience(&state, &config.eval);
        state.loss_scale = state.loss_scale.or_else(|| LossScale::of(config.train.precision));
        Self { config, state, window_steps: 0, window_time: Duration::ZERO, clock: Instant::now() }
    }

    /// Why the run is at its end; `None` if another step follows.
    pub(crate) fn end(&self) -> Option<RunEnd> {
        if self.state.early_stopped {
            return Some(RunEnd::EarlyStopped);
        }
        (self.state.step >= self.config.train.steps).then_some(RunEnd::Finished)
    }

    /// Count a step that took `took`.
    pub(crate) fn after_step(&mut self, update: &Update, took: Duration) -> Due {
        let Self { config, state, .. } = self;
        state.step += 1;
        state.tokens += config.train.tokens_per_step();
        self.window_steps += 1;
        self.window_time += took;
        let losses = &update.losses;
        let is_smaller = state.loss_scale.as_mut().is_some_and(|scale| scale.after_step(update.is_finite()));
        add_counts(&mut state.window.tokens_per_expert, &losses.tokens_per_expert);
        if update.is_finite() {
            state.consecutive_skipped = 0;
            state.window.steps += 1;
            state.window.loss_nats += losses.nats;
            state.window.load_balance += losses.load_balance.unwrap_or(0.0);
            state.window.z += losses.z.unwrap_or(0.0);
        } else {
            state.skipped += 1;
            state.consecutive_skipped += u64::from(!is_smaller);
        }
        let last = state.step == config.train.steps;
        let validate = last || state.step.is_multiple_of(config.eval.every_steps);
        Due {
            validate,
            record: validate || state.step.is_multiple_of(config.log.every_steps),
            save: state.step.is_multiple_of(config.checkpoint.every_steps)
                || decay_start(&config.train) == Some(state.step),
            stop: state.consecutive_skipped >= config.train.max_skipped_steps,
        }
    }

    /// Count a validation of the model after this step.
    pub(crate) fn after_validation(&mut self, score: Score) -> Validation {
        let Self { config, state, .. } = self;
        let here = Best { val_bpb: score.bits_per_byte(), step: state.step };
        if !here.val_bpb.is_finite() {
            return Validation { score, best: false, is_kept: false };
        }
        let best = state.best.is_none_or(|best| here.val_bpb < best.val_bpb);
        if best {
            state.best = Some(here);
        }
        if state.patience_bpb.is_none_or(|bpb| here.val_bpb < bpb - config.eval.min_delta) {
            state.patience_bpb = Some(here.val_bpb);
            state.validations_without_improvement = 0;
        } else {
            state.validations_without_improvement += 1;
            state.early_stopped = is_out_of_patience(state, &config.eval);
        }
        state.kept_best.push(here);
        state.kept_best.sort_by(|a, b| a.val_bpb.total_cmp(&b.val_bpb).then(a.step.cmp(&b.step)));
        state.kept_best.truncate(config.checkpoint.keep_best);
        Validation { score, best, is_kept: state.kept_best.contains(&here) }
    }

    /// The metrics row of the window that ends here, and a fresh window. Memory is for the caller to fill in.
    pub(crate) fn record(&mut self, update: &Update, lr: f64, validation: Option<Score>) -> StepRecord {
        let window = std::mem::take(&mut self.state.window);
        let steps = std::mem::take(&mut self.window_steps);
        let seconds = std::mem::take(&mut self.window_time).as_secs_f64();
        let has_experts = self.config.model.n_experts > 0;
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
            loss_scale: self.state.loss_scale.map(|scale| scale.scale),
            tokens_per_s: (steps * self.config.train.tokens_per_step()) as f64 / seconds,
            step_ms: 1e3 * seconds / steps as f64,
            resident_mb: None,
        }
    }

    /// Count the time that has passed.
    pub(crate) fn tick(&mut self) {
        self.state.elapsed_s += std::mem::replace(&mut self.clock, Instant::now()).elapsed().as_secs_f64();
    }
}

fn is_out_of_patience(state: &TrainingState, config: &EvalConfig) -> bool {
    config.patience > 0 && state.validations_without_improvement >= config.patience
}

#[cfg(test)]
mod tests;
