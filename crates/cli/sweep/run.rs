//! `itera sweep run`: a plan → `itera train` in a process of its own for each trial that nobody has

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    thread::available_parallelism,
    time::Duration,
};

use anyhow::{Context, Result};
use itera_sweep::{Counts, End, Event, Hands, Options, Plan, Record, State, SweepError, TrialDir, WorkEnd, work};

use super::status;
use crate::{
    args::{at_least_one, count},
    signals::{self, Stopping},
    talk::say,
    train::with_end_of_job,
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  itera sweep run sweep.toml
  itera sweep run sweep.toml --workers 8 --threads 1     8 trials at once
  itera sweep run sweep.toml --retry-failed
  srun -n 16 itera sweep run sweep.toml --threads 1      16 workers; each is on its own

Start it as often as you like, on any host that sees the directory of the sweep. A trial that has ended is never run again; one
whose worker was stopped or has died goes on from its last checkpoint. SIGINT (Ctrl-C), SIGTERM, SIGUSR1, SIGUSR2 and SIGHUP
save and stop; exit codes are those of `itera train`, and 1 if a trial has failed.")]
pub struct Args {
    /// The sweep (TOML).
    sweep: PathBuf,
    /// Trials at once.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one::<usize>)]
    workers: usize,
    /// Threads of each trial; without it the cores that there are, shared among --workers. Results do not depend on it.
    #[arg(long, value_name = "N", value_parser = count::<usize>)]
    threads: Option<usize>,
    /// Leave once there is no trial to take, though others still have some; without it wait, to take over what they leave.
    #[arg(long)]
    no_wait: bool,
    /// Go on with trials that have failed, each once.
    #[arg(long)]
    retry_failed: bool,
    /// Show what there is to do, and do nothing.
    #[arg(long, conflicts_with = "retry_failed")]
    dry_run: bool,
    /// How long a worker on another host may be silent before its trial is taken over.
    #[arg(long, value_name = "TIME", value_parser = lease, default_value = "1m")]
    lease: Duration,
    /// In a job of Slurm, save and stop this long before its time is over, as in `itera train`.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    stop_before: Option<Duration>,
}

/// Parses a time that is long enough to be kept.
fn lease(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if time < Duration::from_secs(1) { Err("expected 1s or more".into()) } else { Ok(time) }
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let plan = Plan::load(&args.sweep)?;
    if args.dry_run {
        return status::list(&plan, args.lease, false);
    }
    let stop = with_end_of_job(Stopping::new()?.flag(), args.stop_before);
    say!("sweep: {}", status::describe(&plan));
    let program = env::current_exe().context("cannot find this program")?;
    let threads = args.threads.unwrap_or_else(|| {
        let cores = available_parallelism().map_or(1, usize::from);
        (cores / args.workers).max(1)
    });
    // shorter than the lease, so that nobody has taken the trial over by then
    let heartbeat = args.lease * 2 / 3;
    let command = |trial: &itera_sweep::Trial, dir: &TrialDir| -> Result<Command, SweepError> {
        let mut command = Command::new(&program);
        command.args(["train", "--resume", "--config"]).arg(dir.config());
        command.args(["--set", &format!("run.dir={}", quoted(&dir.run())?)]);
        command.args(["--set", &format!("data.cache_dir={}", quoted(Path::new(&trial.config.data.cache_dir))?)]);
        command.args(["--threads", &threads.to_string(), "--heartbeat", &format!("{}ms", heartbeat.as_millis())]);
        Ok(command)
    };
    let options =
        Options { at_once: args.workers, lease: args.lease, waits: !args.no_wait, retries_failed: args.retry_failed };
    let asked_to_stop = || stop.cause().is_some();
    let hands = Hands { command: &command, asked_to_stop: &asked_to_stop, tell: &mut |event| tell(&plan, &event) };
    let end = work(&plan, &options, hands)?;

    let counts = Counts::of(&State::of_all(&plan, args.lease)?);
    say!("{}", status::in_words(&counts));
    if let (WorkEnd::Stopped, Some(cause)) = (end, stop.cause()) {
        say!("stopped by {cause}; what was begun is saved, and the same command goes on");
        return Ok(signals::exit_code(cause));
    }
    if let WorkEnd::NothingFree(left) = end {
        say!("{left} are in the hands of others");
    }
    if counts.failed > 0 {
        say!(
            "failed trials are tried again with --retry-failed; `itera sweep report {}` says why they have",
            args.sweep.display()
        );
        return Ok(ExitCode::FAILURE);
    }
    say!("next: itera sweep report {}", args.sweep.display());
    Ok(ExitCode::SUCCESS)
}

/// As a string of TOML.
fn quoted(path: &Path) -> Result<String, SweepError> {
    let text = path.to_str().ok_or_else(|| SweepError::NotUnicode { path: path.into() })?;
    Ok(serde_json::Value::from(text).to_string())
}

fn tell(plan: &Plan, event: &Event<'_>) {
    let name = |trial: usize| {
        let dir = TrialDir::new(&plan.dir, &plan.trials[trial]);
        (format!("trial {}/{}", trial + 1, plan.trials.len()), plan.trial_label(trial), dir)
    };
    match *event {
        Event::Begun { trial, lease } => {
            let (number, label, dir) = name(trial);
            let goes_on = if lease > 1 { "goes on" } else { "begins" };
            say!("{number} {goes_on}: {label}; {}", dir.log().display());
        }
        Event::Saved { trial } => say!("{} is saved", name(trial).0),
        Event::Killed { trial, signal } => say!("{} was killed by signal {signal}", name(trial).0),
        Event::Lost { trial } => say!("{} is another worker's: this one was silent for too long", name(trial).0),
        Event::Ended { trial, record } => say!("{} {}", name(trial).0, how(record)),
    }
}

/// How a trial ended, in words.
fn how(record: &Record) -> String {
    let Record { end, reason, step, metrics, .. } = record;
    let reason = reason.as_deref().unwrap_or_default();
    match end {
        End::Done => {
            let score = metrics.get("val_bpb").map_or(String::new(), |score| format!(", {score:.4} bits/byte"));
            format!("is done: {step} steps{score}")
        }
        End::Failed => format!("has failed: {}", reason.replace('\n', "\n  ")),
        End::Minutes | End::Median => format!("is stopped after step {step}: {reason}"),
    }
}
