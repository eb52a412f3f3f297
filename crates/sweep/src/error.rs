//! Why there is no sweep, or it cannot go on.

use std::path::PathBuf;

use itera_config::ConfigError;
use itera_files::FileError;
use itera_metrics::MetricsError;

/// What the functions of this crate return.
pub type Result<T, E = SweepError> = std::result::Result<T, E>;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SweepError {
    /// The system refused.
    #[error(transparent)]
    Io(#[from] FileError),
    /// The file is not TOML, has a key that no sweep has, or a value of another type.
    #[error("{} is no sweep", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The answer of the parser, with the line.
        source: Box<toml::de::Error>,
    },
    /// A value that means nothing.
    #[error("{}: `{key}` = {found:.80}: expected {expected}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// What the value is of, such as `grid.train.lr`.
        key: String,
        /// The value, as TOML.
        found: String,
        /// What stands there in a sweep.
        expected: &'static str,
    },
    /// A key of the configuration is given values in two ways.
    #[error("{}: `{key}` is given twice, in `{first}` and in `{second}`", path.display())]
    Twice {
        /// The file.
        path: PathBuf,
        /// `table.key`.
        key: String,
        /// `set`, `grid`, `list` or `random`.
        first: &'static str,
        /// Another of these.
        second: &'static str,
    },
    /// A key of the configuration that is not the file's to give.
    #[error("{}: `{key}` is given by the sweep itself", path.display())]
    Reserved {
        /// The file.
        path: PathBuf,
        /// `table.key`.
        key: String,
    },
    /// More trials than anybody runs.
    #[error("{} has more than {max} trials", path.display())]
    TooMany {
        /// The file.
        path: PathBuf,
        /// Most that a sweep may have.
        max: usize,
    },
    /// The configuration of a trial is none.
    #[error("{}, {trial}", path.display())]
    Trial {
        /// The file.
        path: PathBuf,
        /// What the trial has that others have not: `train.lr = 0.1`.
        trial: String,
        /// What is wrong with it.
        source: Box<ConfigError>,
    },
    /// The text of a trial would be read from standard input, which is there once.
    #[error("{}, {trial}: data is read from standard input, which several trials cannot share", path.display())]
    StandardInput {
        /// The file.
        path: PathBuf,
        /// As above.
        trial: String,
    },
    /// The baseline is no cell, or several.
    #[error("{}: `baseline` is {found} of the {cells} cells, and has to be one", path.display())]
    Baseline {
        /// The file.
        path: PathBuf,
        /// Cells with its values.
        found: usize,
        /// Cells in all.
        cells: usize,
    },
    /// Trials cannot be compared at a step.
    #[error("{}, {trial}: `median_stop` compares at step {step}, where the trial is {why}", path.display())]
    MedianStep {
        /// The file.
        path: PathBuf,
        /// As above.
        trial: String,
        /// The step.
        step: u64,
        /// `not validated` or `over`.
        why: &'static str,
    },
    /// The directory of a trial holds another configuration than its name says.
    #[error("{} holds another configuration than its name says", dir.display())]
    OtherTrial {
        /// The directory.
        dir: PathBuf,
    },
    /// A path that a configuration cannot hold.
    #[error("{} is not Unicode", path.display())]
    NotUnicode {
        /// The path.
        path: PathBuf,
    },
    /// A file that workers keep is damaged.
    #[error("{} is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why it cannot be read.
        source: serde_json::Error,
    },
    /// The configuration that lies with a trial is none.
    #[error("{} holds no configuration", dir.display())]
    NoConfig {
        /// The directory.
        dir: PathBuf,
        /// What is wrong with it.
        source: Box<ConfigError>,
    },
    /// The metrics of a trial cannot be read, or a picture cannot be drawn.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// No trial has such a metric.
    #[error("no trial that is done has a metric `{metric}`; there are: {there}")]
    NoMetric {
        /// What was asked for.
        metric: String,
        /// Those that there are.
        there: String,
    },
    /// A key that no trial differs in.
    #[error("`{key}` is no number that the trials of this sweep differ in; they differ in: {there}")]
    NoKey {
        /// What was asked for.
        key: String,
        /// Those that there are.
        there: String,
    },
}
