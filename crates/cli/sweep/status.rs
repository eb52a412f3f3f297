//! `itera sweep status`: trials → a line each

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::Result;
use itera_sweep::{Counts, DEFAULT_METRIC, End, Owner, Plan, Record, State};
use serde_json::{Value, json};

use crate::{output, talk::say};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  itera sweep status sweep.toml
  itera sweep status sweep.toml --json | jq '.trials[] | select(.state == \"failed\")'")]
pub struct Args {
    /// The sweep (TOML).
    sweep: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// How long a trial is believed to be someone's that just writes who it is.
pub const LEASE: Duration = Duration::from_secs(60);

pub fn run(args: &Args) -> Result<ExitCode> {
    list(&Plan::load(&args.sweep)?, LEASE, args.json)
}

/// What a sweep is.
pub fn describe(plan: &Plan) -> String {
    let repeated = match plan.repeated {
        0 => String::new(),
        repeated => format!(" ({repeated} more are the same as others)"),
    };
    format!("{} trials of {} cells{repeated} in {}", plan.trials.len(), plan.cells.len(), plan.dir.display())
}

/// How far its trials are.
pub fn in_words(counts: &Counts) -> String {
    let others = counts.in_words();
    format!("{} done{}{others}", counts.done, if others.is_empty() { "" } else { ", " })
}

/// Print a line for each trial.
pub fn list(plan: &Plan, lease: Duration, as_json: bool) -> Result<ExitCode> {
    let states = State::of_all(plan, lease)?;
    if as_json {
        output::line(&to_json(plan, &states), &mut io::stdout().lock())?;
        return Ok(ExitCode::SUCCESS);
    }
    say!("sweep: {}", describe(plan));
    let mut out = io::stdout().lock();
    let width = states.iter().map(|state| what(state).chars().count()).max().unwrap_or(0);
    for (index, (trial, state)) in plan.trials.iter().zip(&states).enumerate() {
        writeln!(out, "{:>5}  {}  {:width$}  {}", index + 1, trial.name, what(state), plan.trial_label(index))?;
    }
    say!("{}", in_words(&Counts::of(&states)));
    Ok(ExitCode::SUCCESS)
}

/// How far a trial is.
fn what(state: &State) -> String {
    let who = |owner: &Owner| {
        let job = owner.job.as_ref().map_or(String::new(), |job| format!(", job {job}"));
        format!(" on {}{job}", owner.host)
    };
    match state {
        State::Open => "to do".into(),
        State::Left { step } => format!("left at step {step}"),
        State::Running { step, owner } => {
            format!("running, step {step}{}", owner.as_ref().map_or(String::new(), who))
        }
        State::Ended(Record { end, step, metrics, .. }) => match (end, metrics.get(DEFAULT_METRIC)) {
            (End::Done, Some(score)) => format!("done, {DEFAULT_METRIC} {score:.4}"),
            (End::Done, None) => "done".into(),
            (End::Failed, _) => format!("failed after step {step}"),
            (End::Minutes, _) => format!("stopped by its time, step {step}"),
            (End::Median, _) => format!("stopped by the median, step {step}"),
        },
    }
}

fn to_json(plan: &Plan, states: &[State]) -> Value {
    let trial = |(trial, state): (&itera_sweep::Trial, &State)| {
        let (name, step, owner, record) = match state {
            State::Open => ("open", 0, None, None),
            State::Left { step } => ("left", *step, None, None),
            State::Running { step, owner } => ("running", *step, owner.as_ref(), None),
            State::Ended(record) => (
                match record.end {
                    End::Done => "done",
                    End::Failed => "failed",
                    End::Minutes => "minutes",
                    End::Median => "median",
                },
                record.step,
                None,
                Some(record),
            ),
        };
        let values = plan.keys.iter().zip(&plan.cells[trial.cell].values);
        let values: serde_json::Map<String, Value> =
            values.map(|(key, value)| (key.clone(), serde_json::to_value(value).unwrap_or_default())).collect();
        json!({
            "trial": trial.name, "cell": trial.cell, "seed": trial.seed, "values": values, "state": name, "step": step,
            "owner": owner, "record": record,
        })
    };
    json!({
        "dir": plan.dir,
        "counts": Counts::of(states),
        "trials": plan.trials.iter().zip(states).map(trial).collect::<Vec<_>>(),
    })
}
