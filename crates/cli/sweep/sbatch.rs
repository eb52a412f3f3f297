//! `itera sweep sbatch`: a sweep → the script of an array of jobs, each of which is a worker

use std::{env, ffi::OsStr, fmt::Write as _, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result};
use itera_sweep::Plan;

use super::status;
use crate::{
    args::{at_least_one, count},
    sbatch::{MARK, SIGNAL_BEFORE_S, deliver, quoted, time},
    signals::GO_ON_LATER,
    talk::say,
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  itera sweep sbatch sweep.toml --array 50 --time 4:00:00             writes sweep.sbatch
  itera sweep sbatch sweep.toml --array 50 --time 4:00:00 --submit    and hands it to Slurm
  itera sweep sbatch sweep.toml --array 8 --cpus-per-task 16 --workers 16 --threads 1 --time 30 -- --partition=short

One script for all trials: each task takes trials until there is none, and, when its time is over, saves, is queued again, and
goes on. More tasks than trials do no harm, and the same script once more does what a longer sweep.toml has added.")]
pub struct Args {
    /// The sweep (TOML).
    sweep: PathBuf,
    /// Tasks of the array.
    #[arg(long, value_name = "N", value_parser = at_least_one::<u32>)]
    array: u32,
    /// Tasks that run at the same time at most.
    #[arg(long, value_name = "N", value_parser = at_least_one::<u32>)]
    at_once: Option<u32>,
    /// Cores of a task.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one::<u32>)]
    cpus_per_task: u32,
    /// Trials at once, of each task.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one::<u32>)]
    workers: u32,
    /// Threads of each trial; without it the cores of a task, shared among --workers.
    #[arg(long, value_name = "N", value_parser = count::<usize>)]
    threads: Option<usize>,
    /// Limit of each task's time, as Slurm reads it: 30 (minutes), 4:00:00, 2-12:00:00.
    #[arg(long, value_name = "TIME", value_parser = time)]
    time: String,
    /// Where to write the script; - is standard output. Without it NAME.sbatch here, after the sweep.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Hand the script to `sbatch`.
    #[arg(long)]
    submit: bool,
    /// More options of `sbatch`.
    #[arg(last = true, value_name = "OPTION")]
    more: Vec<String>,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let plan = Plan::load(&args.sweep)?;
    say!("sweep: {}", status::describe(&plan));
    let name = args.sweep.file_stem().unwrap_or(OsStr::new("sweep")).to_string_lossy().into_owned();
    let text = script(args, &name)?;
    deliver(&name, &text, args.output.as_deref(), args.submit)
}

fn script(args: &Args, name: &str) -> Result<String> {
    let Args { array, cpus_per_task, workers, time, more, .. } = args;
    let here = env::current_dir().context("cannot tell the working directory")?;
    let program = env::current_exe().context("cannot find this program")?;
    let at_once = args.at_once.map_or(String::new(), |count| format!("%{count}"));
    let mut work = vec![program.to_string_lossy().into_owned(), "sweep".into(), "run".into()];
    work.push(args.sweep.to_string_lossy().into_owned());
    work.extend(["--workers".to_owned(), workers.to_string()]);
    work.extend(args.threads.iter().flat_map(|threads| ["--threads".to_owned(), threads.to_string()]));
    work.push("--no-wait".into());
    let work: Vec<String> = work.iter().map(|word| quoted(word)).collect();

    let mut text = format!(
        "\
#!/bin/bash
{MARK}sweep sbatch`: tasks that share the trials of {sweep}.
#SBATCH --job-name={name}
# Relative paths begin here.
#SBATCH --chdir={here}
#SBATCH --array=1-{array}{at_once}
# A log for each task.
#SBATCH --output={name}-%A_%a.log
#SBATCH --ntasks=1
#SBATCH --cpus-per-task={cpus_per_task}
#SBATCH --time={time}
# A task that was preempted, or lost its node, is queued again.
#SBATCH --requeue
# What it said before is kept then.
#SBATCH --open-mode=append
# Save and stop before the time is over. The task knows its end by itself where Slurm tells it; a second word does no harm.
#SBATCH --signal=USR1@{SIGNAL_BEFORE_S}
",
        sweep = args.sweep.display(),
        here = here.display(),
    );
    for option in more {
        let _ = writeln!(text, "#SBATCH {option}");
    }
    let _ = write!(
        text,
        "
# mpi=none       a task is a worker, and no rank of a job
# cpus-per-task  srun does not take it from above
# no-wait        leave the node once no trial is free
"
    );
    let _ = write!(
        text,
        "\
#
# The task ends with {GO_ON_LATER} when all is saved and it wants to go on. The script asks for that itself, for this task alone, and not
# if it was cancelled; Slurm queues no task of an array again for its exit code. A signal lets srun end first.
trap : HUP INT TERM USR1 USR2
srun --mpi=none --cpus-per-task={cpus_per_task} \\
    {work}
code=$?
if [ $code = {GO_ON_LATER} ]; then scontrol requeue incomplete \"${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID\"; fi
exit $code
",
        work = work.join(" ")
    );
    Ok(text)
}
