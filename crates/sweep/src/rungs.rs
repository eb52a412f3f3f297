//! metrics and records of all trials → which may go on, and how far, where `median_stop` compares them

use crate::{
    error::Result,
    median::{Progress, decide},
    plan::Plan,
    record::{End, Record, TrialDir},
};

/// A trial that goes no further.
#[derive(Debug)]
pub(crate) struct Stop {
    pub trial: usize,
    /// The step at which it was compared.
    pub step: u64,
    pub reason: String,
}

/// How far trials have come.
#[derive(Debug)]
pub(crate) struct Rungs<'a> {
    plan: &'a Plan,
    progress: Vec<Progress>,
}

impl<'a> Rungs<'a> {
    pub(crate) fn new(plan: &'a Plan) -> Self {
        Self { plan, progress: vec![Progress::default(); plan.trials.len()] }
    }

    /// The rung that trials are to come to now, and those without a record that go no further. Without `median_stop`, the end.
    pub(crate) fn settle(&mut self, records: &[Option<Record>]) -> Result<(usize, Vec<Stop>)> {
        let steps = &self.plan.median_stop;
        if steps.is_empty() {
            return Ok((0, vec![]));
        }
        for (trial, record) in records.iter().enumerate() {
            self.look(trial, record.as_ref())?;
        }
        let (rung, stopped) = decide(&self.plan.cells, &self.progress, steps.len());
        let stops = stopped.iter().flat_map(|stopped| {
            let step = steps[stopped.rung];
            let (mean, median) = (stopped.mean, stopped.median);
            let open = self.plan.cells[stopped.cell].trials.iter().filter(|trial| records[**trial].is_none());
            open.map(move |&trial| Stop {
                trial,
                step,
                reason: format!(
                    "worse than the median at step {step}: its cell has {mean:.4}, the median is {median:.4}"
                ),
            })
        });
        Ok((rung, stops.collect()))
    }

    /// Whether a trial without a record may go on, to the step of this rung.
    pub(crate) fn may_run(&self, trial: usize, rung: usize) -> bool {
        self.progress[trial].scores.len() <= rung || rung == self.plan.median_stop.len()
    }

    /// Read how far a trial has come, unless that is known.
    fn look(&mut self, trial: usize, record: Option<&Record>) -> Result<()> {
        let steps = &self.plan.median_stop;
        let progress = &mut self.progress[trial];
        let end = record.map(|record| record.end);
        progress.has_ended = matches!(end, Some(End::Done | End::Minutes));
        progress.has_failed = end == Some(End::Failed);
        progress.stopped_at = record
            .filter(|record| record.end == End::Median)
            .and_then(|record| steps.iter().position(|step| *step == record.step));
        if progress.has_failed || progress.scores.len() == steps.len() {
            return Ok(());
        }
        let rows = TrialDir::new(&self.plan.dir, &self.plan.trials[trial]).rows()?;
        let last = rows.last().map_or(0, |row| row.step);
        progress.scores.clear();
        for step in steps.iter().take_while(|step| **step <= last || progress.has_ended) {
            let score = rows.iter().rev().filter(|row| row.step <= *step).find_map(|row| row.val_bpb);
            progress.scores.push(score.unwrap_or(f64::INFINITY));
        }
        Ok(())
    }
}
