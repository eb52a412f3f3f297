//! What `eval`, `compare` and `compress` score: sources → documents, and how they were told apart

use std::{fmt, path::Path};

use anyhow::{Context, Result};
use itera_checkpoint::run_of;
use itera_config::{Config, DataConfig, Separator};
use itera_data::{CorpusSummary, Document};
use serde::Serialize;

use crate::hints::with_hint;

/// Where documents come from, and how they are found in it.
#[derive(Debug, clap::Args)]
pub struct DataArgs {
    /// Documents to score instead of the held-out split of the (first) model's run: path, glob, directory, - or hub:…
    /// (may be given again).
    #[arg(long, value_name = "SOURCE")]
    pub data: Vec<String>,
    /// What ends a document of a text file: a line of this text, "" for blank lines, "\n" for every line; if not given,
    /// what the run was trained with, or else <|endoftext|>.
    #[arg(long, value_name = "TEXT", requires = "data", value_parser = separator, allow_hyphen_values = true)]
    separator: Option<String>,
    /// Field or column that holds the text of a record; if not given, that of the run, or else text.
    #[arg(long, value_name = "NAME", requires = "data")]
    text_field: Option<String>,
}

fn separator(text: &str) -> Result<String, String> {
    match Separator::of(text) {
        Some(_) => Ok(text.into()),
        None => Err("a separator is one line".into()),
    }
}

/// A side of a run's corpus.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Split {
    Train,
    Valid,
}

/// Documents to score.
pub struct Documents {
    documents: Vec<Document>,
    /// `None` for a split of the run's own corpus.
    pub found: Option<Found>,
}

/// How documents were found in the sources that were named, and what was left out.
#[derive(Serialize)]
pub struct Found {
    separator: String,
    text_field: String,
    #[serde(flatten)]
    left_out: LeftOut,
}

impl Documents {
    /// The documents that `args` name, or if they name none a split of the corpus that the run of `model` was trained on.
    pub fn load(args: &DataArgs, split: Split, model: &Path) -> Result<Self> {
        match run_config(model)? {
            Some(config) => Self::of_run(args, split, config.data),
            None if args.data.is_empty() => {
                let problem = format!("{} is not a run, so there is no held-out split of its own", model.display());
                Err(with_hint(problem, "say what to score with --data FILE"))
            }
            None => Self::named(args, DataConfig::default()),
        }
    }

    /// The documents that `args` name, or if they name none a split of the corpus that `config` describes.
    pub fn of_run(args: &DataArgs, split: Split, config: DataConfig) -> Result<Self> {
        if !args.data.is_empty() {
            return Self::named(args, config);
        }
        let corpus = itera_data::load_corpus(&config).context("cannot load the run's corpus")?;
        let documents = match split {
            Split::Train => corpus.train,
            Split::Valid => corpus.valid,
        };
        Ok(Self { documents, found: None })
    }

    fn named(args: &DataArgs, mut config: DataConfig) -> Result<Self> {
        config.separator = args.separator.clone().unwrap_or(config.separator);
        config.text_field = args.text_field.clone().unwrap_or(config.text_field);
        let corpus = itera_data::load_documents(&args.data, &config)?;
        let left_out = LeftOut::of(&corpus.summary);
        let found = Found { separator: config.separator, text_field: config.text_field, left_out };
        Ok(Self { documents: corpus.valid, found: Some(found) })
    }

    pub fn texts(&self) -> Vec<&str> {
        self.documents.iter().map(Document::text).collect()
    }
}

/// `text parted at blank lines, records by field text; left out: 1 blank`
impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Separator::of(&self.separator) {
            Some(Separator::Line(line)) => write!(f, "text parted at lines {line}")?,
            Some(Separator::BlankLine) => f.write_str("text parted at blank lines")?,
            _ => f.write_str("text parted at every line")?,
        }
        write!(f, ", records by field {}", self.text_field)?;
        match self.left_out.is_nothing() {
            true => Ok(()),
            false => write!(f, "; left out: {}", self.left_out),
        }
    }
}

/// What of a corpus was not used.
#[derive(Serialize)]
pub struct LeftOut {
    copies: u64,
    blank: u64,
    bad_records: u64,
    empty_files: u64,
}

impl LeftOut {
    pub fn of(summary: &CorpusSummary) -> Self {
        Self {
            copies: summary.duplicates_dropped + summary.shared_dropped,
            blank: summary.blank_dropped,
            bad_records: summary.bad_records_skipped,
            empty_files: summary.empty_files_dropped,
        }
    }

    pub fn is_nothing(&self) -> bool {
        self.copies + self.blank + self.bad_records + self.empty_files == 0
    }
}

/// `3 copies, 1 blank`
impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [
            (self.copies, "copies"),
            (self.blank, "blank"),
            (self.bad_records, "records without a text"),
            (self.empty_files, "empty files"),
        ];
        let told: Vec<String> =
            counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
        f.write_str(&told.join(", "))
    }
}

/// The configuration of the run that a checkpoint lies in.
fn run_config(model: &Path) -> Result<Option<Config>> {
    let config = run_of(model).map(|run| run.join("config.toml")).filter(|path| path.is_file());
    Ok(config.map(|path| Config::load(&path, &[])).transpose()?)
}
