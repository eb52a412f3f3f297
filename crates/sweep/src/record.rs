//! a trial that has ended → one file that says how, which is never written again

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use itera_config::Config;
use itera_files::{failed_to, write_atomic, write_new};
use itera_metrics::{StepRecord, TIMING_COLUMNS, read_records};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    error::{Result, SweepError},
    lease::{self, Terms},
    plan::Trial,
};

/// The metric that trials are compared by where nobody names another.
pub const DEFAULT_METRIC: &str = "val_bpb";

/// How a trial ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// All its steps are done, or its patience has ended it.
    Done,
    /// Its minutes are over.
    Minutes,
    /// It was worse than the median, as `median_stop` has it.
    Median,
    /// With an error.
    Failed,
}

/// What is left of a trial. All but `work` is the same however often it was interrupted, unless time has stopped it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The name of the trial.
    pub trial: String,
    /// How it ended.
    pub end: End,
    /// Why, unless it is done.
    pub reason: Option<String>,
    /// Completed steps, as far as they count.
    pub step: u64,
    /// The last value of each column of its metrics that does not tell of the machine, and `best_val_bpb`, the lowest
    /// `val_bpb`. Numbers that are not finite are absent.
    pub metrics: BTreeMap<String, f64>,
    /// The hash of its tokenised corpus; absent unless it is done.
    pub corpus: Option<String>,
    /// What it took.
    pub work: Work,
}

/// What a trial took, which differs from time to time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Work {
    /// The number of the lease under which it ended: how often somebody has begun it, or gone on with it.
    pub lease: u64,
    /// Seconds that somebody had it.
    pub held_s: f64,
    /// Where it ended.
    pub host: String,
}

/// The directory of a trial.
#[derive(Clone, Debug)]
pub struct TrialDir {
    path: PathBuf,
}

impl TrialDir {
    /// In the directory of a sweep; nothing is created.
    pub fn new(sweep: &Path, trial: &Trial) -> Self {
        Self { path: sweep.join(&trial.name) }
    }

    /// The directory itself, which has the leases.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The configuration, but for the directory of the run.
    pub fn config(&self) -> PathBuf {
        self.path.join("config.toml")
    }

    /// The directory of the run.
    pub fn run(&self) -> PathBuf {
        self.path.join("run")
    }

    /// What the run has said, over all interruptions.
    pub fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    fn record_path(&self) -> PathBuf {
        self.path.join("record.json")
    }

    /// Create it, or see that it is the trial's.
    pub(crate) fn prepare(&self, trial: &Trial) -> Result<()> {
        fs::create_dir_all(&self.path).map_err(failed_to("create", &self.path))?;
        let config = self.config();
        if !config.exists() {
            return Ok(write_atomic(&config, trial.config.to_toml().as_bytes())?);
        }
        // data may be cached elsewhere since
        let mut there = Config::load(&config, &[])
            .map_err(|source| SweepError::NoConfig { dir: self.path.clone(), source: source.into() })?;
        there.data.cache_dir.clone_from(&trial.config.data.cache_dir);
        match there == trial.config {
            true => Ok(()),
            false => Err(SweepError::OtherTrial { dir: self.path.clone() }),
        }
    }

    /// How the trial ended; `None` until it has.
    ///
    /// # Errors
    /// If there is a record that cannot be read.
    pub fn record(&self) -> Result<Option<Record>> {
        let path = self.record_path();
        match fs::read(&path) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).map(Some).map_err(|source| SweepError::Damaged { path, source })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed_to("read", &path)(error).into()),
        }
    }

    /// Write the record, unless there is one.
    pub(crate) fn write_record(&self, record: &Record) -> Result<()> {
        let text = serde_json::to_string_pretty(record).expect("a record is JSON") + "\n";
        write_new(&self.record_path(), text.as_bytes())?;
        Ok(())
    }

    /// Put away the record of a failure, so that the trial can go on.
    pub(crate) fn put_away(&self, record: &Record) -> Result<()> {
        let path = self.path.join(format!("failed-{:04}.json", record.work.lease));
        Ok(fs::rename(self.record_path(), &path).map_err(failed_to("rename", self.record_path()))?)
    }

    /// The rows of the run, none if it has not begun to write them.
    pub(crate) fn rows(&self) -> Result<Vec<StepRecord>> {
        let path = self.run().join("metrics.jsonl");
        Ok(if path.exists() { read_records(&path)? } else { vec![] })
    }

    /// Who had the trial, and has it, oldest first.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub fn leases(&self) -> Result<Vec<Terms>> {
        lease::history(&self.path)
    }

    /// What the run, as far as a step, is worth.
    pub(crate) fn to_record(
        &self,
        trial: &Trial,
        end: End,
        reason: Option<String>,
        up_to: u64,
        work: Work,
    ) -> Result<Record> {
        let rows: Vec<StepRecord> = self.rows()?.into_iter().filter(|row| row.step <= up_to).collect();
        let corpus = (end == End::Done).then(|| self.corpus()).flatten();
        let (trial, step) = (trial.name.clone(), rows.last().map_or(0, |row| row.step));
        Ok(Record { trial, end, reason, step, metrics: metrics(&rows), corpus, work })
    }

    /// From the report of the run.
    fn corpus(&self) -> Option<String> {
        let report: Value = serde_json::from_slice(&fs::read(self.run().join("report.json")).ok()?).ok()?;
        Some(report["data"]["content_hash"].as_str()?.to_owned())
    }
}

/// The last value of each column, and the best validation.
fn metrics(rows: &[StepRecord]) -> BTreeMap<String, f64> {
    let mut metrics = BTreeMap::new();
    for row in rows {
        let Ok(Value::Object(columns)) = serde_json::to_value(row) else { continue };
        let numbers = columns.into_iter().filter_map(|(name, value)| Some((name, value.as_f64()?)));
        metrics.extend(numbers.filter(|(name, _)| !TIMING_COLUMNS.contains(&name.as_str())));
    }
    metrics.remove("step");
    let best = rows.iter().filter_map(|row| row.val_bpb).min_by(f64::total_cmp);
    metrics.extend(best.map(|best| ("best_val_bpb".to_owned(), best)));
    metrics
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(step: u64, loss_nats: f64, val_bpb: Option<f64>) -> StepRecord {
        StepRecord { step, loss_nats, val_bpb, step_ms: 7.0, tokens: step * 10, ..StepRecord::default() }
    }

    #[test]
    fn a_metric_is_the_last_value_of_its_column() {
        let rows = [row(1, 3.0, Some(2.0)), row(2, 2.0, Some(1.0)), row(3, 1.5, Some(1.25)), row(4, f64::NAN, None)];
        let metrics = metrics(&rows);
        let of = |name: &str| metrics.get(name).copied();
        assert_eq!(
            (of("val_bpb"), of("best_val_bpb"), of("loss_nats"), of("tokens")),
            (Some(1.25), Some(1.0), Some(1.5), Some(40.0))
        );
        assert_eq!((of("step"), of("step_ms"), of("tokens_per_s"), of("z_loss")), (None, None, None, None));
    }

    #[test]
    fn a_record_is_written_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let trial_dir = TrialDir { path: dir.path().into() };
        assert!(trial_dir.record().expect("read").is_none());
        let record = |step| Record {
            trial: "t".into(),
            end: End::Failed,
            reason: Some("why".into()),
            step,
            metrics: [("val_bpb".to_owned(), 0.1 + 0.2)].into(),
            corpus: None,
            work: Work { lease: 3, held_s: 1.5, host: "here".into() },
        };
        for step in [1, 2] {
            trial_dir.write_record(&record(step)).expect("written");
            assert_eq!(trial_dir.record().expect("read"), Some(record(1)));
        }
        trial_dir.put_away(&record(1)).expect("renamed");
        assert!(trial_dir.record().expect("read").is_none() && dir.path().join("failed-0003.json").exists());
        fs::write(dir.path().join("record.json"), "{").expect("written");
        let error = trial_dir.record().expect_err("no record").to_string();
        assert!(error.ends_with("record.json is damaged"), "{error}");
    }
}
