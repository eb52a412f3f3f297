//! `itera sweep report`: records → a table of cells

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Result;
use itera_files::write_atomic;
use itera_sweep::{DEFAULT_METRIC, Plan, State, Summary};

use super::status::{self, LEASE};
use crate::{output, talk::say};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  itera sweep report sweep.toml
  itera sweep report sweep.toml --metric best_val_bpb --markdown
  itera sweep report sweep.toml --plot lr.svg --against train.lr

A difference is the mean of the differences to the baseline between runs of the same seed. Where its interval holds 0 the two
are not distinguishable: more seeds may tell them apart, this many do not.")]
pub struct Args {
    /// The sweep (TOML).
    sweep: PathBuf,
    /// The column of the metrics to compare, as it is at the end of each trial, or best_val_bpb.
    #[arg(long, value_name = "NAME", default_value = DEFAULT_METRIC)]
    metric: String,
    /// Print the table as Markdown.
    #[arg(long, conflicts_with_all = ["csv", "json"])]
    markdown: bool,
    /// Print the table as CSV, with all digits.
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// Print one JSON object, with the value of each seed.
    #[arg(long)]
    json: bool,
    /// Draw means, intervals and seeds into an SVG file.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Draw against this key, which has to be a number; without it a line a cell, unless cells differ in one number alone.
    #[arg(long, value_name = "KEY", requires = "plot")]
    against: Option<String>,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let plan = Plan::load(&args.sweep)?;
    let states = State::of_all(&plan, LEASE)?;
    let summary = Summary::new(&plan, &states, &args.metric)?;
    if let Some(path) = &args.plot {
        write_atomic(path, summary.to_svg(args.against.as_deref())?.as_bytes())?;
    }
    let mut out = io::stdout().lock();
    if args.json {
        output::line(&summary, &mut out)?;
    } else if args.csv {
        out.write_all(summary.to_csv().as_bytes())?;
    } else if args.markdown {
        out.write_all(summary.to_markdown().as_bytes())?;
    } else {
        out.write_all(summary.to_text().as_bytes())?;
    }
    tell(&plan, &summary);
    Ok(ExitCode::SUCCESS)
}

/// What a reader of the table has to know.
fn tell(plan: &Plan, summary: &Summary) {
    say!("{} of {}: {}", summary.metric, status::describe(plan), status::in_words(&summary.trials));
    let compared = summary.rows.iter().filter(|row| row.difference_interval.is_some()).count();
    if compared >= 20 {
        say!(
            "of {compared} differences about {} are told apart by chance alone: repeat what you find with other seeds",
            compared / 20
        );
    }
    if summary.corpora > 1 {
        say!("warning: the text has changed in between: trials were trained on {} corpora", summary.corpora);
    }
    for failure in &summary.failures {
        say!("failed: {}", failure.replace('\n', "\n  "));
    }
}
