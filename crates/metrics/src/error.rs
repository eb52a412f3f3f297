//! What can go wrong with the files of a run.

use std::path::PathBuf;

use itera_files::FileError;

use crate::layout::ExpertLayout;

/// What the functions of this crate return.
pub type Result<T, E = MetricsError> = std::result::Result<T, E>;

/// A metrics file that could not be read or written, or a record that does not fit it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetricsError {
    /// The system refused.
    #[error(transparent)]
    Io(#[from] FileError),
    /// A row other than the last is not a metrics row.
    #[error("{}, line {line}, is not a metrics row, and an interruption tears the last line alone", path.display())]
    DamagedRow {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Rows go up by step: one was written again or out of order.
    #[error("metrics row of step {step} comes after that of step {last}")]
    StepNotAfter {
        /// Step of the refused row.
        step: u64,
        /// Step of the row before it.
        last: u64,
    },
    /// Token counts that do not fit the columns.
    #[error("metrics row of step {step} has tokens_per_expert of lengths {got:?}, but the columns are for {expected}")]
    ExpertShape {
        /// Step of the refused row.
        step: u64,
        /// Number of counts of each layer.
        got: Vec<usize>,
        /// What the files were opened with.
        expected: ExpertLayout,
    },
    /// A value with no JSON form.
    #[error("cannot write {what} as JSON")]
    Json {
        /// What was to be written.
        what: &'static str,
        /// Why not.
        source: serde_json::Error,
    },
    /// The plotting library refused a chart.
    #[error("cannot draw the chart `{chart}`: {reason}")]
    Chart {
        /// Title of the chart.
        chart: String,
        /// What the library said.
        reason: String,
    },
}
