//! What is left of a run when it ends: `report.json` for programs, `report.html` for people.
//!
//! ```text
//! Report ─────────────────→ report.json
//! Report + metric rows → page → report.html              one file, nothing fetched
//! ```

mod page;

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    environment::Environment,
    error::{MetricsError, Result},
    git::GitRevision,
    record::StepRecord,
};

/// Everything that a run has to say at its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Name of the run: the directory it wrote.
    pub run: String,
    /// The configuration with every default filled in.
    pub config: Value,
    /// Parameters and FLOPs of the model, as the run counted them.
    pub model: Value,
    /// Documents, bytes, tokens and hashes of the data, as the run counted them.
    pub data: Value,
    /// Machine and versions.
    pub environment: Environment,
    /// Commit of the directory that the run was started in.
    pub git: GitRevision,
    /// What was spent.
    pub totals: Totals,
    /// The best validation; absent if there was none.
    pub best: Option<Best>,
    /// The last row of metrics; absent if there was none.
    pub last: Option<StepRecord>,
    /// Bits per byte that no model of the data can beat, where its author knows them.
    pub floor_bpb: Option<f64>,
    /// Continuations of the configured prompts.
    pub samples: Vec<Sample>,
}

/// What a run spent, over all its interruptions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Optimiser steps.
    pub steps: u64,
    /// Training tokens.
    pub tokens: u64,
    /// Steps skipped because the loss or a gradient was not finite.
    pub skipped: u64,
    /// Times the run was resumed.
    pub resumes: u64,
    /// Seconds from start to end, validation and saving included; what lies between interruption and resumption is not.
    pub wall_s: f64,
    /// Most memory that the process held, in bytes; absent where the system does not tell.
    pub peak_resident_bytes: Option<u64>,
}

/// The best validation of a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Step after which it was measured.
    pub step: u64,
    /// Held-out bits per byte.
    pub val_bpb: f64,
}

/// A text that the model wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Step after which it was written.
    pub step: u64,
    /// What it was given.
    pub prompt: String,
    /// What it wrote, without the prompt.
    pub text: String,
}

impl Report {
    /// Writes `report.json` and `report.html` into `dir`; `records` are the rows of `metrics.jsonl`.
    pub fn write(&self, dir: &Path, records: &[StepRecord]) -> Result<()> {
        let json =
            serde_json::to_string_pretty(self).map_err(|source| MetricsError::Json { what: "the report", source })?;
        itera_files::write_atomic(&dir.join("report.json"), json.as_bytes())?;
        itera_files::write_atomic(&dir.join("report.html"), page::render(self, records)?.as_bytes())?;
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failure here fails the test")]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::record::tests::record;

    pub(super) fn report() -> Report {
        Report {
            run: "runs/<tiny> & \"co\"".into(),
            config: json!({"train": {"lr": 2e-3}}),
            model: json!({"total_parameters": 1_850_000}),
            data: json!({"documents": 12}),
            environment: Environment::detect("flex", 2, "0.22.1"),
            git: GitRevision::Absent { absent_because: "not a git repository".into() },
            totals: Totals {
                steps: 12,
                tokens: 49_152,
                skipped: 2,
                resumes: 1,
                wall_s: 90.0,
                peak_resident_bytes: Some(1 << 27),
            },
            best: Some(Best { step: 8, val_bpb: 1.7 }),
            last: Some(record(12)),
            floor_bpb: Some(0.4),
            samples: vec![Sample {
                step: 8,
                prompt: "Once <upon>".into(),
                text: " a 'time'\n<script>alert(1)</script>".into(),
            }],
        }
    }

    #[test]
    fn both_files_are_written_and_the_json_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        let records: Vec<StepRecord> = (1..=12).map(record).collect();
        let report = Report { last: Some(StepRecord { val_perplexity: None, ..record(12) }), ..report() };
        report.write(dir.path(), &records).unwrap();
        let json = std::fs::read(dir.path().join("report.json")).unwrap();
        assert_eq!(serde_json::from_slice::<Report>(&json).unwrap(), report);
        assert_eq!(
            std::fs::read_to_string(dir.path().join("report.html")).unwrap(),
            page::render(&report, &records).unwrap()
        );
    }

    #[test]
    fn what_is_not_known_is_said_to_be_absent() {
        let json = serde_json::to_value(report()).unwrap();
        assert_eq!(json["git"]["absent_because"], "not a git repository");
        let none = Report { best: None, last: None, floor_bpb: None, ..report() };
        let json = serde_json::to_value(&none).unwrap();
        assert!(json["best"].is_null() && json["last"].is_null() && json["floor_bpb"].is_null());
    }
}
