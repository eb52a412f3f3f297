//! `itera sweep sbatch`: a sweep → the script of an array of jobs, each of which is a worker

use std::{ffi::OsStr, path::PathBuf, process::ExitCode};

use anyhow::Result;
use itera_sweep::Plan;

use super::status;
use crate::{
    args::{at_least_one, count},
    batch::{BatchArgs, Script, asking_again, line, this_program},
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
    #[command(flatten)]
    batch: BatchArgs,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let plan = Plan::load(&args.sweep)?;
    say!("sweep: {}", status::describe(&plan));
    let name = args.sweep.file_stem().unwrap_or(OsStr::new("sweep")).to_string_lossy().into_owned();
    args.batch.deliver(&script(args, name)?)
}

fn script(args: &Args, name: String) -> Result<Script<'static>> {
    let Args { array, cpus_per_task, workers, .. } = args;
    let at_once = args.at_once.map_or(String::new(), |count| format!("%{count}"));
    let mut work = vec![this_program()?, "sweep".into(), "run".into(), args.sweep.to_string_lossy().into_owned()];
    work.extend(["--workers".to_owned(), workers.to_string()]);
    work.extend(args.threads.iter().flat_map(|threads| ["--threads".to_owned(), threads.to_string()]));
    work.push("--no-wait".into());

    let options = format!(
        "\
#SBATCH --array=1-{array}{at_once}
# A log for each task.
#SBATCH --output={name}-%A_%a.log
#SBATCH --ntasks=1
#SBATCH --cpus-per-task={cpus_per_task}
"
    );
    let command = format!("srun --mpi=none --cpus-per-task={cpus_per_task} \\\n    {}", line(&work));
    let body = format!(
        "
# mpi=none       a task is a worker, and no rank of a job
# cpus-per-task  srun does not take it from above
# no-wait        leave the node once no trial is free
#
# The task ends with {GO_ON_LATER} when all is saved and it wants to go on. The script asks for that itself, for this task alone:
# Slurm queues no task of an array again for its exit code.
{}",
        asking_again(&command, "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID")
    );
    let purpose = format!("tasks that share the trials of {}.", args.sweep.display());
    Ok(Script { command: "sweep sbatch", purpose, name, options, body })
}
