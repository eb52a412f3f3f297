//! Events of a run → a progress bar on a terminal, plain lines in a log

use std::{error::Error, io::IsTerminal, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use itera_checkpoint::CheckpointError;
use itera_config::Objective;
use itera_trainer::{Event, Slow};

use crate::talk::{self, say};

/// Shows a run on standard error.
pub struct Progress {
    bar: Option<ProgressBar>,
    steps: u64,
    val_bpb: Option<f64>,
    /// What validations are of.
    objective: Objective,
    /// That of each rank, where there are several.
    hosts: Vec<String>,
}

impl Progress {
    pub fn new() -> Self {
        Self { bar: None, steps: 0, val_bpb: None, objective: Objective::NextToken, hosts: vec![] }
    }

    /// One that knows what is learned, and the host of each rank.
    pub fn of(objective: Objective, hosts: Vec<String>) -> Self {
        Self { objective, hosts, ..Self::new() }
    }

    pub fn show(&mut self, event: Event<'_>) {
        match event {
            Event::Started { step, steps } => self.start(step, steps),
            Event::Step { step, loss_nats, record } => self.step(step, loss_nats, record),
            Event::Skipped { step, consecutive, loss_scale } => {
                let scale = loss_scale.map_or(String::new(), |scale| format!("; the loss scale is {scale} now"));
                self.line(&format!(
                    "step {step}: loss or gradient is not finite, update skipped ({consecutive} in a row){scale}"
                ));
            }
            Event::Validated { step, score, best, samples } => {
                let (nats, bpb) = (score.nats_per_token(), score.bits_per_byte());
                let found = match self.objective {
                    Objective::NextToken => format!("{nats:.4} nats/token, {bpb:.4} bits/byte"),
                    Objective::Contrast => format!("{nats:.4} nats to find the other part of a document"),
                };
                self.val_bpb = Some(bpb).filter(|_| self.objective == Objective::NextToken);
                self.line(&format!("step {step}: validation {found}{}", if best { " (best so far)" } else { "" }));
                for sample in samples {
                    self.line(&format!("  > {}{}", sample.prompt, sample.text.trim_end()).replace('\n', "\n    "));
                }
            }
            Event::NoSamples { step, error } => {
                let causes = std::iter::successors(error.source(), |&error| error.source());
                let causes: String = causes.map(|cause| format!(": {cause}")).collect();
                self.line(&format!("step {step}: no samples: {error}{causes}"));
            }
            Event::Unlocked { dir, reason } => self.line(&format!(
                "warning: {} cannot be locked ({reason}): see to it that no other process trains there",
                dir.display()
            )),
            Event::Slow { step, slow: Slow { rank, takes, others, phase } } => {
                let host = self.hosts.get(rank).map_or(String::new(), |host| format!(" on {host}"));
                let ratio = takes.as_secs_f64() / others.as_secs_f64();
                self.line(&format!(
                    "step {step}: rank {rank}{host} is slow: a micro-batch takes it {takes:.0?}, {ratio:.1} times as long as \
                     the others ({others:.0?}), most of that in {phase}"
                ));
            }
            Event::PassedOver { error } => {
                self.line(&format!("warning: {error}"));
                if let CheckpointError::Damaged { whole: Some(whole), .. } = error {
                    self.line(&format!("going on from {}, which is whole", whole.display()));
                }
            }
            Event::Saved { path } => {
                if self.bar.is_none() {
                    self.line(&format!("saved {}", path.display()));
                }
            }
        }
    }

    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn start(&mut self, step: u64, steps: u64) {
        self.steps = steps;
        if talk::is_heard() && std::io::stderr().is_terminal() {
            let bar = ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::stderr_with_hz(4));
            let style = ProgressStyle::with_template("{bar:24} step {pos}/{len}  {msg}  ETA {eta}");
            bar.set_style(style.expect("the template is valid"));
            bar.set_position(step);
            bar.reset_eta();
            bar.enable_steady_tick(Duration::from_millis(500));
            self.bar = Some(bar);
        }
    }

    fn step(&mut self, step: u64, loss_nats: f64, record: Option<&itera_metrics::StepRecord>) {
        let bpb = self.val_bpb.map_or(String::new(), |bpb| format!("  val {bpb:.3} bits/byte"));
        match (&self.bar, record) {
            (Some(bar), record) => {
                bar.set_position(step);
                if let Some(record) = record {
                    let loss = record.loss_nats;
                    bar.set_message(format!("loss {loss:.3} nats{bpb}  {:.0} tokens/s", record.tokens_per_s));
                } else if bar.message().is_empty() {
                    bar.set_message(format!("loss {loss_nats:.3} nats"));
                }
            }
            (None, Some(record)) => {
                let left_s = (self.steps - step) as f64 * record.step_ms / 1e3;
                say!(
                    "step {step}/{}  loss {:.4} nats  lr {:.2e}  |grad| {:.3}  {:.0} tokens/s  ETA {:.0} s",
                    self.steps,
                    record.loss_nats,
                    record.lr,
                    record.grad_norm,
                    record.tokens_per_s,
                    left_s
                );
            }
            (None, None) => {}
        }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => say!("{text}"),
        }
    }
}
