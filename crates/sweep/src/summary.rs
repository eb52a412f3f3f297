//! records → what each cell is worth, and how it differs from the baseline
//!
//! Trials that are under way, failed or were stopped have no part in a mean; each row says how many there are.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::Serialize;

use crate::{
    error::{Result, SweepError},
    lease::{self, Newest, time_of},
    owner::Owner,
    plan::Plan,
    record::{End, Record, TrialDir},
    statistics::{Sample, Verdict},
};

/// How far a trial is.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// Nobody has begun it.
    Open,
    /// Somebody has begun it, and nobody has it now.
    Left {
        /// Completed steps, as far as its metrics say; some may have to be done again.
        step: u64,
    },
    /// Somebody has it.
    Running {
        /// As above.
        step: u64,
        /// Who; absent while that is just being written.
        owner: Option<Owner>,
    },
    /// It has ended.
    Ended(Record),
}

impl State {
    /// Of each trial of a plan. `lease` is how long a trial is believed to be someone's that says nothing of it.
    ///
    /// # Errors
    /// If the directory of the sweep, or a file in it, cannot be read.
    pub fn of_all(plan: &Plan, lease: Duration) -> Result<Vec<Self>> {
        // what is not there yet has no time
        let now = if plan.dir.is_dir() { Some(time_of(&plan.dir)?) } else { None };
        let here = Owner::here();
        let of = |trial| -> Result<Self> {
            let dir = TrialDir::new(&plan.dir, trial);
            if let Some(record) = dir.record()? {
                return Ok(Self::Ended(record));
            }
            let newest = now.map_or(Ok(Newest::None), |now| lease::newest(dir.path(), now, &here, lease))?;
            if let Newest::None = newest {
                return Ok(Self::Open);
            }
            let step = dir.rows()?.last().map_or(0, |row| row.step);
            Ok(match newest {
                Newest::Held => Self::Running { step, owner: dir.leases()?.pop().map(|terms| terms.owner) },
                _ => Self::Left { step },
            })
        };
        plan.trials.iter().map(of).collect()
    }
}

/// Trials by how far they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// At their end.
    pub done: usize,
    /// In somebody's hands.
    pub running: usize,
    /// In nobody's, begun or not.
    pub open: usize,
    /// Ended by an error.
    pub failed: usize,
    /// Ended by the limit of their time.
    pub minutes: usize,
    /// Ended by the rule of the median.
    pub median: usize,
}

impl Counts {
    /// Of some trials.
    pub fn of<'a>(states: impl IntoIterator<Item = &'a State>) -> Self {
        let mut counts = Self::default();
        for state in states {
            *match state {
                State::Open | State::Left { .. } => &mut counts.open,
                State::Running { .. } => &mut counts.running,
                State::Ended(Record { end: End::Done, .. }) => &mut counts.done,
                State::Ended(Record { end: End::Failed, .. }) => &mut counts.failed,
                State::Ended(Record { end: End::Minutes, .. }) => &mut counts.minutes,
                State::Ended(Record { end: End::Median, .. }) => &mut counts.median,
            } += 1;
        }
        counts
    }

    /// All but those that are done, in words; empty where all are.
    pub fn in_words(&self) -> String {
        let Self { running, open, failed, minutes, median, .. } = *self;
        let parts = [
            (running, "running"),
            (open, "to do"),
            (failed, "failed"),
            (minutes, "stopped by the limit of time"),
            (median, "stopped by the median"),
        ];
        let parts = parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
        parts.collect::<Vec<_>>().join(", ")
    }
}

/// What the trials of a cell are worth.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The value, as TOML, of each key that cells differ in.
    pub values: Vec<String>,
    /// The metric of each trial that is done, by seed; those without it are left out.
    pub by_seed: BTreeMap<u64, f64>,
    /// Mean and standard deviation over the seeds; absent while no trial is done.
    pub mean: Option<Sample>,
    /// 95 % of such intervals hold the true mean; absent for fewer than two seeds.
    pub interval: Option<(f64, f64)>,
    /// This cell less the baseline, over the seeds that both have; absent for the baseline, and where there are none.
    pub difference: Option<Sample>,
    /// 95 % of such intervals hold the true difference.
    pub difference_interval: Option<(f64, f64)>,
    /// What the difference is called; absent for the baseline.
    pub verdict: Option<Verdict>,
    /// How far its trials are.
    pub trials: Counts,
}

/// What a sweep has found so far.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// The column of the metrics that is compared.
    pub metric: String,
    /// Keys that cells differ in, `table.key`.
    pub keys: Vec<String>,
    /// A row a cell, in the order of the plan.
    pub rows: Vec<Row>,
    /// The row that others are compared with.
    pub baseline: usize,
    /// All trials.
    pub trials: Counts,
    /// Trials that have failed, and why.
    pub failures: Vec<String>,
    /// How many corpora trials that are done, and do not differ in what they read, were trained on: more than one where the
    /// text has changed in between.
    pub corpora: usize,
}

impl Summary {
    /// Of the trials of a plan, of which `states` tells, by `metric`.
    ///
    /// # Errors
    /// [`SweepError::NoMetric`] if trials are done, and none has it.
    pub fn new(plan: &Plan, states: &[State], metric: &str) -> Result<Self> {
        let done = |trial: usize| match &states[trial] {
            State::Ended(record) if record.end == End::Done => Some(record),
            _ => None,
        };
        let records: Vec<&Record> = (0..states.len()).filter_map(done).collect();
        if !records.is_empty() && !records.iter().any(|record| record.metrics.contains_key(metric)) {
            let there: BTreeSet<&str> =
                records.iter().flat_map(|record| record.metrics.keys().map(String::as_str)).collect();
            let there = there.into_iter().collect::<Vec<_>>().join(", ");
            return Err(SweepError::NoMetric { metric: metric.into(), there });
        }
        let by_seed = |cell: usize| -> BTreeMap<u64, f64> {
            let value = |trial: &usize| Some((plan.trials[*trial].seed, *done(*trial)?.metrics.get(metric)?));
            plan.cells[cell].trials.iter().filter_map(value).collect()
        };
        let baseline = by_seed(plan.baseline);
        let row = |cell: usize| {
            let by_seed = by_seed(cell);
            let mean = Sample::of(&by_seed.values().copied().collect::<Vec<_>>());
            let pairs = by_seed.iter().filter_map(|(seed, value)| Some(value - baseline.get(seed)?));
            let is_other = cell != plan.baseline;
            let difference = Sample::of(&pairs.collect::<Vec<_>>()).filter(|_| is_other);
            Row {
                values: plan.cells[cell].values.iter().map(ToString::to_string).collect(),
                interval: mean.and_then(|mean| mean.interval()),
                mean,
                difference_interval: difference.and_then(|difference| difference.interval()),
                verdict: is_other.then(|| Verdict::of(difference.as_ref())),
                difference,
                trials: Counts::of(plan.cells[cell].trials.iter().map(|trial| &states[*trial])),
                by_seed,
            }
        };
        let failure = |(trial, state): (usize, &State)| match state {
            State::Ended(Record { end: End::Failed, reason, trial: name, .. }) => Some(format!(
                "{name} ({}): {}",
                plan.trial_label(trial),
                reason.as_deref().unwrap_or("no reason is known")
            )),
            _ => None,
        };
        Ok(Self {
            metric: metric.into(),
            keys: plan.keys.clone(),
            rows: (0..plan.cells.len()).map(row).collect(),
            baseline: plan.baseline,
            trials: Counts::of(states),
            failures: states.iter().enumerate().filter_map(failure).collect(),
            corpora: if reads_one_text(plan) { corpora(&records) } else { 1 },
        })
    }
}

/// Whether trials differ in no key that decides what they read.
fn reads_one_text(plan: &Plan) -> bool {
    !plan.keys.iter().any(|key| ["data.", "tokenizer.", "model.vocab_size"].iter().any(|table| key.starts_with(table)))
}

fn corpora(records: &[&Record]) -> usize {
    records.iter().filter_map(|record| record.corpus.as_ref()).collect::<BTreeSet<_>>().len().max(1)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{fs, path::Path};

    use super::*;
    use crate::record::Work;

    fn plan(sweep: &str) -> Plan {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("base.toml"), "").expect("written");
        let path = dir.path().join("s.toml");
        fs::write(&path, format!("base = \"base.toml\"\n{sweep}")).expect("written");
        let mut plan = Plan::load(&path).expect("a plan");
        plan.dir = Path::new("no/such/directory").into();
        plan
    }

    fn ended(end: End, value: f64) -> State {
        State::Ended(Record {
            trial: "0123".into(),
            end,
            reason: (end != End::Done).then(|| "why".into()),
            step: 7,
            metrics: [("val_bpb".to_owned(), value), ("loss_nats".to_owned(), 2.0 * value)].into(),
            corpus: (end == End::Done).then(|| "text".into()),
            work: Work::default(),
        })
    }

    /// Three cells of three seeds, the second of which is the baseline.
    pub(crate) fn found() -> (Plan, Vec<State>) {
        let plan = plan("seeds = 3\n[grid]\ntrain.lr = [1e-3, 2e-3, 4e-3]\n");
        let done = |value| ended(End::Done, value);
        let states = vec![
            done(1.10),
            done(1.21),
            done(1.30),
            done(1.00),
            done(1.10),
            done(1.20),
            done(1.01),
            ended(End::Failed, 9.0),
            State::Open,
        ];
        (plan, states)
    }

    #[test]
    fn cells_are_compared_over_the_seeds_that_both_have() {
        let (plan, states) = found();
        let summary = Summary::new(&plan, &states, "val_bpb").expect("a summary");
        let [first, baseline, last] = &summary.rows[..] else { panic!("three cells") };
        let difference = first.difference.expect("pairs");
        assert!((difference.mean - 0.31 / 3.0).abs() < 1e-12 && difference.sd < 0.01, "{difference:?}");
        assert_eq!(first.verdict, Some(Verdict::Higher), "though the intervals of the means overlap");
        let ((low, _), (_, high)) = (first.interval.expect("seeds"), baseline.interval.expect("seeds"));
        assert!(low < high);
        assert_eq!((baseline.difference, baseline.verdict), (None, None));
        assert_eq!(
            (last.mean.map(|mean| mean.n), last.interval, last.verdict),
            (Some(1), None, Some(Verdict::TooFewSeeds))
        );
        assert_eq!(last.trials.in_words(), "1 to do, 1 failed");
        assert_eq!(summary.trials, Counts { done: 7, open: 1, failed: 1, ..Counts::default() });
        assert_eq!(summary.failures, ["0123 (train.lr = 0.004, seed 43): why"]);
        assert_eq!((summary.baseline, summary.corpora), (1, 1));
    }

    #[test]
    fn a_metric_is_one_that_there_is() {
        let (plan, mut states) = found();
        let loss = Summary::new(&plan, &states, "loss_nats").expect("a summary");
        assert!(loss.rows[1].mean.is_some_and(|mean| (mean.mean - 2.2).abs() < 1e-12));
        let error = Summary::new(&plan, &states, "bpb").expect_err("no such metric").to_string();
        assert_eq!(error, "no trial that is done has a metric `bpb`; there are: loss_nats, val_bpb");
        states.fill(State::Open);
        assert!(
            Summary::new(&plan, &states, "bpb").expect("nothing is done").rows.iter().all(|row| row.mean.is_none())
        );
        assert_eq!(State::of_all(&plan, Duration::from_secs(60)).expect("no directory"), states);
    }

    #[test]
    fn a_text_that_has_changed_is_seen() {
        let (plan, mut states) = found();
        let State::Ended(record) = &mut states[0] else { panic!("it is done") };
        record.corpus = Some("another".into());
        assert_eq!(Summary::new(&plan, &states, "val_bpb").expect("a summary").corpora, 2);
    }

    /// Of sweeps whose truth is known, in which some trials have failed.
    #[test]
    fn the_intervals_of_a_report_hold_the_truth_in_93_to_97_of_100_cases() {
        const SWEEPS: usize = 3000;
        let (plan, _) = found();
        let truth = [1.3, 1.2, 1.25];
        let mut normal = crate::statistics::tests::normal(11);
        let (mut intervals, mut held) = (0, 0);
        for sweep in 0..SWEEPS {
            let of_seed: Vec<f64> = (0..3).map(|_| 0.1 * normal()).collect();
            let mut states: Vec<State> = (plan.trials.iter().enumerate())
                .map(|(index, trial)| ended(End::Done, truth[trial.cell] + of_seed[index % 3] + 0.02 * normal()))
                .collect();
            if sweep % 3 > 0 {
                states[sweep % 9] = ended(End::Failed, 9.0);
            }
            let rows = Summary::new(&plan, &states, "val_bpb").expect("a summary").rows;
            for (row, truth_here) in rows.iter().zip(truth) {
                let found = [(row.interval, truth_here), (row.difference_interval, truth_here - truth[plan.baseline])];
                for ((low, high), truth) in found.into_iter().filter_map(|(interval, truth)| Some((interval?, truth))) {
                    intervals += 1;
                    held += usize::from(low <= truth && truth <= high);
                }
            }
        }
        let share = held as f64 / intervals as f64;
        println!("{held} of {intervals} intervals hold the truth: {:.2} %", 100.0 * share);
        assert!(intervals > 4 * SWEEPS && (0.93..=0.97).contains(&share), "{share}");
    }
}
