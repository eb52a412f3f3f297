//! `metrics.jsonl` and `metrics.csv`, which a resumed run continues with no gap and no repeat.
//!
//! ```text
//! metrics.jsonl → rows up to the checkpoint's step → both files anew, atomically → append row after row
//! ```
//!
//! The JSONL file is the truth; the CSV file is the same rows for spreadsheets, and is made from it on resume.
//! A row reaches the system in one write before [`MetricsWriter::write`] returns, so a killed process can
//! tear only the last line.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::{
    error::{MetricsError, Result},
    layout::ExpertLayout,
    record::StepRecord,
};
use itera_files::failed_to;

const JSONL: &str = "metrics.jsonl";
const CSV: &str = "metrics.csv";

/// Appends rows to the metrics files of a run directory.
#[derive(Debug)]
pub struct MetricsWriter {
    jsonl: LogFile,
    csv: LogFile,
    experts: ExpertLayout,
    last_step: Option<u64>,
}

impl MetricsWriter {
    /// Begins both files in `dir`, replacing those of an earlier run. The directory must exist.
    pub fn create(dir: &Path, experts: ExpertLayout) -> Result<Self> {
        Self::start(dir, experts, &[])
    }

    /// Continues the files in `dir` after the row of step `after_step`, that of the checkpoint resumed from.
    ///
    /// Later rows, which the interrupted run wrote after its last checkpoint, are dropped, and so is a torn last
    /// line. Missing files are begun.
    pub fn resume(dir: &Path, experts: ExpertLayout, after_step: u64) -> Result<Self> {
        let mut records = match read_records(&dir.join(JSONL)) {
            Err(MetricsError::Io(error)) if error.source.kind() == io::ErrorKind::NotFound => vec![],
            records => records?,
        };
        records.retain(|record| record.step <= after_step);
        Self::start(dir, experts, &records)
    }

    fn start(dir: &Path, experts: ExpertLayout, records: &[StepRecord]) -> Result<Self> {
        let mut jsonl = String::new();
        let mut csv = csv_line(&StepRecord::csv_header(experts)?);
        for record in records {
            jsonl += &record.to_json_line()?;
            jsonl.push('\n');
            csv += &csv_line(&record.csv_row(experts)?);
        }
        Ok(Self {
            jsonl: LogFile::start(dir.join(JSONL), &jsonl)?,
            csv: LogFile::start(dir.join(CSV), &csv)?,
            experts,
            last_step: records.last().map(|record| record.step),
        })
    }

    /// Appends one row to each file.
    ///
    /// # Errors
    ///
    /// If the step is not after the last one or the counts do not fit the columns, which leaves both files as they
    /// were; or if the disk refuses, which may leave part of a row.
    pub fn write(&mut self, record: &StepRecord) -> Result<()> {
        if let Some(last) = self.last_step.filter(|last| record.step <= *last) {
            return Err(MetricsError::StepNotAfter { step: record.step, last });
        }
        let json_line = record.to_json_line()? + "\n";
        let csv_line = csv_line(&record.csv_row(self.experts)?);
        self.jsonl.append(&json_line)?;
        self.csv.append(&csv_line)?;
        self.last_step = Some(record.step);
        Ok(())
    }

    /// Waits until all rows are on the disk. Call it before a checkpoint is published, so that not even a power cut
    /// leaves a checkpoint whose rows are missing.
    pub fn sync(&self) -> Result<()> {
        self.jsonl.sync()?;
        self.csv.sync()
    }
}

/// All rows of a `metrics.jsonl`, in order. A torn last line is left out.
pub fn read_records(path: &Path) -> Result<Vec<StepRecord>> {
    let bytes = fs::read(path).map_err(failed_to("read", path))?;
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let lines = bytes[..whole].split_inclusive(|byte| *byte == b'\n');
    let parse = |(i, line)| {
        serde_json::from_slice(line).map_err(|source| MetricsError::DamagedRow {
            path: path.to_owned(),
            line: i + 1,
            source,
        })
    };
    lines.enumerate().map(parse).collect()
}

/// One line of CSV with its line break. Names and numbers need no quotes.
fn csv_line(cells: &[String]) -> String {
    cells.join(",") + "\n"
}

/// A text file that grows line by line.
#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    file: File,
}

impl LogFile {
    /// Replaces the file by `text`, all or nothing, and opens it for appending.
    fn start(path: PathBuf, text: &str) -> Result<Self> {
        itera_files::write_atomic(&path, text.as_bytes())?;
        let file = OpenOptions::new().append(true).open(&path).map_err(failed_to("open", &path))?;
        Ok(Self { path, file })
    }

    fn append(&mut self, line: &str) -> Result<()> {
        Ok(self.file.write_all(line.as_bytes()).map_err(failed_to("append to", &self.path))?)
    }

    fn sync(&self) -> Result<()> {
        Ok(self.file.sync_data().map_err(failed_to("flush", &self.path))?)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failure here fails the test")]
mod tests {
    use super::*;
    use crate::record::tests::{EXPERTS, record};

    const STEPS: u64 = 12;

    fn write_steps(writer: &mut MetricsWriter, steps: impl IntoIterator<Item = u64>) {
        steps.into_iter().for_each(|step| writer.write(&record(step)).unwrap());
    }

    fn bytes(dir: &Path) -> [String; 2] {
        [JSONL, CSV].map(|name| fs::read_to_string(dir.join(name)).unwrap())
    }

    fn uninterrupted() -> [String; 2] {
        let dir = tempfile::tempdir().unwrap();
        write_steps(&mut MetricsWriter::create(dir.path(), EXPERTS).unwrap(), 1..=STEPS);
        bytes(dir.path())
    }

    /// The process dies within a row, just before its line break or just after it, whatever became of the CSV file,
    /// and resumes from any checkpoint whose rows were written by then.
    #[test]
    fn a_run_cut_anywhere_and_resumed_writes_the_same_bytes() {
        let whole = uninterrupted();
        let line_breaks = whole[0].match_indices('\n').flat_map(|(at, _)| [at, at + 1]);
        let dir = tempfile::tempdir().unwrap();
        for cut in (0..whole[0].len()).step_by(173).chain(line_breaks) {
            let rows_before_cut = whole[0][..cut].matches('\n').count() as u64;
            for after_step in [rows_before_cut, rows_before_cut / 2] {
                fs::write(dir.path().join(JSONL), &whole[0][..cut]).unwrap();
                fs::write(dir.path().join(CSV), &whole[1][..cut.min(whole[1].len())]).unwrap();
                let mut writer = MetricsWriter::resume(dir.path(), EXPERTS, after_step).unwrap();
                write_steps(&mut writer, after_step + 1..=STEPS);
                assert_eq!(bytes(dir.path()), whole, "cut at byte {cut}, resumed after step {after_step}");
            }
        }
    }

    #[test]
    fn resuming_without_files_begins_them() {
        let dir = tempfile::tempdir().unwrap();
        write_steps(&mut MetricsWriter::resume(dir.path(), EXPERTS, 0).unwrap(), 1..=STEPS);
        assert_eq!(bytes(dir.path()), uninterrupted());
    }

    #[test]
    fn rows_are_readable_at_once_and_agree_between_the_files() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = MetricsWriter::create(dir.path(), EXPERTS).unwrap();
        for step in 1..=STEPS {
            writer.write(&record(step)).unwrap();
            let records = read_records(&dir.path().join(JSONL)).unwrap();
            let mut csv = csv::Reader::from_path(dir.path().join(CSV)).unwrap();
            let header: Vec<String> = csv.headers().unwrap().iter().map(Into::into).collect();
            assert_eq!(header, StepRecord::csv_header(EXPERTS).unwrap());
            let rows: Vec<Vec<String>> =
                csv.records().map(|row| row.unwrap().iter().map(Into::into).collect()).collect();
            assert_eq!((records.len(), rows.len()), (step as usize, step as usize));
            for (record, row) in records.iter().zip(rows) {
                assert_eq!(record.csv_row(EXPERTS).unwrap(), row);
            }
        }
    }

    #[test]
    fn a_repeated_step_and_a_misfit_are_refused_and_leave_no_trace() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = MetricsWriter::create(dir.path(), EXPERTS).unwrap();
        write_steps(&mut writer, 1..=3);
        let before = bytes(dir.path());
        assert!(matches!(writer.write(&record(3)), Err(MetricsError::StepNotAfter { step: 3, last: 3 })));
        let misfit = StepRecord { tokens_per_expert: vec![vec![1; 4]; 2], ..record(4) };
        assert!(matches!(writer.write(&misfit), Err(MetricsError::ExpertShape { .. })));
        assert_eq!(bytes(dir.path()), before);
        let mut writer = MetricsWriter::resume(dir.path(), EXPERTS, 2).unwrap();
        assert!(matches!(writer.write(&record(2)), Err(MetricsError::StepNotAfter { step: 2, last: 2 })));
        writer.write(&record(3)).unwrap();
    }

    #[test]
    fn damage_before_the_last_line_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(JSONL), uninterrupted()[0].replacen("\"tokens\":8192", "\"tokens\":8!92", 1))
            .unwrap();
        let error = MetricsWriter::resume(dir.path(), EXPERTS, 5).unwrap_err().to_string();
        assert!(error.contains("metrics.jsonl, line 2,"), "{error}");
    }
}
