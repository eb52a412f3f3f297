//! `itera sbatch`: configuration, nodes, time → the script of a batch job of Slurm

use std::{
    env,
    ffi::OsStr,
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context, Result};
use itera_files::write_atomic;

use crate::{
    args::{ConfigArgs, at_least_one},
    hints::with_hint,
    setup,
    signals::GO_ON_LATER,
    talk::say,
};

/// What the first line of a script says behind its `#!`, by which it is known.
pub const MARK: &str = "# Written by `itera ";
/// Seconds before the end of a job's time at which Slurm sends a signal.
pub const SIGNAL_BEFORE_S: u32 = 90;
/// Seconds after which ranks are killed that are left when another has ended.
const WAIT_S: u32 = 60;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  itera sbatch --config configs/tiny.toml --nodes 2 --time 4:00:00            writes tiny.sbatch
  itera sbatch --config configs/tiny.toml --nodes 2 --time 4:00:00 --submit   and hands it to Slurm
  itera sbatch --config configs/tiny.toml --time 30 -- --partition=short --account=lab

The job goes on where it stopped when Slurm runs it again, on any number of nodes. docs/cluster.md says more.")]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Nodes, of which each is used whole.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one::<u32>)]
    nodes: u32,
    /// Processes a node, which share its cores.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one::<u32>)]
    ntasks_per_node: u32,
    /// Limit of the job's time, as Slurm reads it: 30 (minutes), 4:00:00, 2-12:00:00.
    #[arg(long, value_name = "TIME", value_parser = time)]
    time: String,
    /// How `srun` starts processes for MPI, one of `srun --mpi=list`; without it what the cluster does, or pmix or pmi2 if
    /// that is nothing.
    #[arg(long, value_name = "TYPE")]
    mpi: Option<String>,
    /// Where to write the script; - is standard output. Without it NAME.sbatch here, after the configuration.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Hand the script to `sbatch`.
    #[arg(long)]
    submit: bool,
    /// More options of `sbatch`.
    #[arg(last = true, value_name = "OPTION")]
    more: Vec<String>,
}

/// What the cluster says of itself; nothing is known where there is no Slurm.
#[derive(Debug, Default)]
struct Cluster {
    /// Whether a job that ends with 75 is queued again; assumed where nobody knows.
    requeues: Option<bool>,
    /// How processes are started for MPI that nobody asks otherwise for.
    mpi: Option<String>,
    /// All ways.
    mpis: String,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let config = setup::config(&args.config)?;
    let (ranks, micro_batches) = (args.nodes as usize * args.ntasks_per_node as usize, config.train.grad_accum_steps);
    if ranks > micro_batches {
        say!(
            "warning: {} of {ranks} processes will have nothing to add: a step has {micro_batches} micro-batches \
             (train.grad_accum_steps)",
            ranks - micro_batches
        );
    }
    let name = args.config.config.file_stem().unwrap_or(OsStr::new("itera")).to_string_lossy().into_owned();
    let text = script(args, &name, &Cluster::here())?;
    deliver(&name, &text, args.output.as_deref(), args.submit)
}

/// Write the script `text` to `output`, or to a file named after `name`, and hand it in if it is to be submitted.
pub fn deliver(name: &str, text: &str, output: Option<&Path>, is_submitted: bool) -> Result<ExitCode> {
    let output = output.map_or_else(|| format!("{name}.sbatch").into(), Path::to_path_buf);
    if output == Path::new("-") {
        io::stdout().write_all(text.as_bytes())?;
    } else {
        write(&output, text)?;
    }
    if is_submitted {
        return submit(text);
    }
    if output != Path::new("-") {
        say!("next: sbatch {}", output.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Replace a script that this command wrote, and nothing else.
fn write(path: &Path, text: &str) -> Result<()> {
    let is_ours =
        |there: &[u8]| String::from_utf8_lossy(there).lines().nth(1).is_some_and(|line| line.starts_with(MARK));
    if fs::read(path).is_ok_and(|there| !is_ours(&there)) {
        return Err(with_hint(
            format!("{} is there, and no script of this command", path.display()),
            "choose another file with -o",
        ));
    }
    write_atomic(path, text.as_bytes())?;
    say!("wrote {}", path.display());
    Ok(())
}

/// Slurm gets the text itself, which may be in no file.
fn submit(text: &str) -> Result<ExitCode> {
    let mut sbatch = Command::new("sbatch");
    let mut sbatch = sbatch.stdin(Stdio::piped()).spawn().context("cannot start sbatch")?;
    if let Some(mut stdin) = sbatch.stdin.take() {
        stdin.write_all(text.as_bytes()).context("cannot hand the script to sbatch")?;
    }
    let status = sbatch.wait().context("cannot wait for sbatch")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn script(args: &Args, name: &str, cluster: &Cluster) -> Result<String> {
    let Args { nodes, ntasks_per_node, time, more, .. } = args;
    let here = env::current_dir().context("cannot tell the working directory")?;
    let program = env::current_exe().context("cannot find this program")?;
    let mpi = args.mpi.as_deref().or_else(|| cluster.mpi_to_ask_for());
    let mut train = vec![program.to_string_lossy().into_owned(), "train".into(), "--config".into()];
    train.push(args.config.config.to_string_lossy().into_owned());
    train.extend(args.config.overrides.iter().flat_map(|change| ["--set".to_owned(), change.clone()]));
    train.push("--resume".into());
    let train: Vec<String> = train.iter().map(|word| quoted(word)).collect();

    let mut text = format!(
        "\
#!/bin/bash
{MARK}sbatch`: trains {config} in a job of Slurm, whose first lines are options of sbatch.
#SBATCH --job-name={name}
# Relative paths begin here.
#SBATCH --chdir={here}
#SBATCH --output={name}-%j.log
#SBATCH --nodes={nodes}
#SBATCH --ntasks-per-node={ntasks_per_node}
# Whole nodes, whose cores the processes of a node share as threads.
#SBATCH --exclusive
#SBATCH --time={time}
# A job that was preempted, or lost a node, is queued again.
#SBATCH --requeue
# What it said before is kept then.
#SBATCH --open-mode=append
# Save and stop before the time is over. The run knows its end by itself where Slurm tells it; a second word does no harm.
#SBATCH --signal=USR1@{SIGNAL_BEFORE_S}
",
        config = args.config.config.display(),
        here = here.display(),
    );
    for option in more {
        let _ = writeln!(text, "#SBATCH {option}");
    }
    let mut srun = vec!["srun".to_owned()];
    srun.extend(mpi.map(|mpi| format!("--mpi={mpi}")));
    srun.extend(["--cpu-bind=none", "--kill-on-bad-exit=0"].map(str::to_owned));
    srun.push(format!("--wait={WAIT_S}"));
    let _ = write!(
        text,
        "
# cpu-bind          a process uses all cores that are its share of the node, and not the first one
# kill-on-bad-exit  processes end alike, by themselves; killed, they would not be queued again
# wait              and one that cannot, since it hangs, is killed a minute later
# resume            begins where an earlier start of the job has stopped, or anew
"
    );
    let command = format!("{} \\\n    {}", srun.join(" "), train.join(" "));
    if cluster.requeues == Some(false) {
        let _ = write!(
            text,
            "\
#
# The run ends with {GO_ON_LATER} when it is saved and wants to go on. This cluster queues no job again for that (RequeueExit in
# slurm.conf), so the script asks for it.
{command}
code=$?
if [ $code = {GO_ON_LATER} ]; then scontrol requeue \"$SLURM_JOB_ID\"; fi
exit $code
"
        );
    } else {
        let _ = write!(
            text,
            "\
#
# The run ends with {GO_ON_LATER} when it is saved and wants to go on. `exec` makes that the exit code of the job, at which Slurm
# queues it again (RequeueExit={GO_ON_LATER} in slurm.conf), and lets signals to the script reach all processes at once.
exec {command}
"
        );
    }
    Ok(text)
}

impl Cluster {
    fn here() -> Self {
        let said = |program: &str, args: &[&str]| {
            let output = Command::new(program).args(args).stdin(Stdio::null()).output().ok()?;
            let text = [output.stdout, output.stderr].concat();
            Some(String::from_utf8_lossy(&text).into_owned())
        };
        let config = said("scontrol", &["show", "config"]).unwrap_or_default();
        Self::of(&config, said("srun", &["--mpi=list"]).unwrap_or_default())
    }

    /// From the answers of `scontrol show config` and `srun --mpi=list`.
    fn of(config: &str, mpis: String) -> Self {
        let value = |key: &str| {
            let mut pairs = config.lines().filter_map(|line| line.split_once('='));
            pairs.find(|(name, _)| name.trim() == key).map(|(_, value)| value.trim().to_owned())
        };
        let is_75 = |code: &str| code.parse() == Ok(GO_ON_LATER);
        let requeues = value("RequeueExit").map(|codes| codes.split(',').any(is_75));
        Self { requeues, mpi: value("MpiDefault"), mpis }
    }

    /// How processes can be started for MPI, if this cluster does not do so unasked.
    fn mpi_to_ask_for(&self) -> Option<&'static str> {
        let has = |mpi: &&str| self.mpis.split_whitespace().any(|word| word == *mpi);
        let is_none = self.mpi.as_deref() == Some("none");
        ["pmix", "pmi2"].into_iter().find(|mpi| is_none && has(mpi))
    }
}

/// A limit of time: digits and what stands between them.
pub fn time(text: &str) -> Result<String, String> {
    let is_time = text.starts_with(|first: char| first.is_ascii_digit())
        && text.chars().all(|letter| letter.is_ascii_digit() || letter == ':' || letter == '-');
    if is_time {
        Ok(text.to_owned())
    } else {
        Err("expected minutes, or days-hours:minutes:seconds such as 4:00:00".into())
    }
}

/// As one word of a shell.
pub fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_alphanumeric() || "/._-=:,+@%".contains(letter);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_asked_for_what_it_does_not_do_by_itself() {
        let mpis = "MPI plugin types are...\n\tpmix\n\tnone\n\tpmi2\n";
        let of = |config: &str, mpis: &str| Cluster::of(config, mpis.to_owned());
        let bare = of("MpiDefault              = none\nRequeueExit             = (null)\n", mpis);
        assert_eq!((bare.requeues, bare.mpi_to_ask_for()), (Some(false), Some("pmix")));
        let kind = of("RequeueExit             = 75,100\nMpiDefault = pmix\n", mpis);
        assert_eq!((kind.requeues, kind.mpi_to_ask_for()), (Some(true), None));
        let old = of("MpiDefault = none\nRequeueExit = 175\n", "none pmi2");
        assert_eq!((old.requeues, old.mpi_to_ask_for()), (Some(false), Some("pmi2")));
        let absent = of("", "");
        assert_eq!((absent.requeues, absent.mpi_to_ask_for()), (None, None));
    }

    #[test]
    fn words_reach_the_program_as_they_are() {
        assert_eq!(quoted("data.source=texts/a.txt"), "data.source=texts/a.txt");
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn a_time_is_one_that_slurm_reads() {
        assert!(["30", "4:00:00", "2-12", "1-00:30:00"].iter().all(|text| time(text).is_ok()));
        assert!(["", "4h", ":30", "30\n#SBATCH"].iter().all(|text| time(text).is_err()));
    }
}
