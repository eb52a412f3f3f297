//! `itera sbatch`: configuration, nodes, time → the script of a batch job of Slurm

use std::{
    ffi::OsStr,
    fmt::Write as _,
    process::{Command, ExitCode, Stdio},
};

use anyhow::Result;

use crate::{
    args::{ConfigArgs, at_least_one},
    batch::{BatchArgs, Script, asking_again, line, this_program},
    setup,
    signals::GO_ON_LATER,
    talk::say,
};

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
    /// How `srun` starts processes for MPI, one of `srun --mpi=list`; without it what the cluster does, or pmix or pmi2 if
    /// that is nothing.
    #[arg(long, value_name = "TYPE")]
    mpi: Option<String>,
    #[command(flatten)]
    batch: BatchArgs,
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
    args.batch.deliver(&script(args, name, &Cluster::here())?)
}

fn script(args: &Args, name: String, cluster: &Cluster) -> Result<Script<'static>> {
    let Args { nodes, ntasks_per_node, .. } = args;
    let mut train = vec![this_program()?, "train".into(), "--config".into()];
    train.push(args.config.config.to_string_lossy().into_owned());
    train.extend(args.config.overrides.iter().flat_map(|change| ["--set".to_owned(), change.clone()]));
    train.push("--resume".into());

    let options = format!(
        "\
#SBATCH --output={name}-%j.log
#SBATCH --nodes={nodes}
#SBATCH --ntasks-per-node={ntasks_per_node}
# Whole nodes, whose cores the processes of a node share as threads.
#SBATCH --exclusive
"
    );
    let mut srun = vec!["srun".to_owned()];
    let mpi = args.mpi.as_deref().or_else(|| cluster.mpi_to_ask_for());
    srun.extend(mpi.map(|mpi| format!("--mpi={mpi}")));
    srun.extend(["--cpu-bind=none", "--kill-on-bad-exit=0"].map(str::to_owned));
    srun.push(format!("--wait={WAIT_S}"));
    let mut body = format!(
        "
# cpu-bind          a process uses all cores that are its share of the node, and not the first one
# kill-on-bad-exit  processes end alike, by themselves; killed, they would not be queued again
# wait              and one that cannot, since it hangs, is killed a minute later
# resume            begins where an earlier start of the job has stopped, or anew
#
# The run ends with {GO_ON_LATER} when it is saved and wants to go on.
"
    );
    let command = format!("{} \\\n    {}", srun.join(" "), line(&train));
    if cluster.requeues == Some(false) {
        body += "# This cluster queues no job again for that (RequeueExit in slurm.conf), so the script asks for it.\n";
        body += &asking_again(&command, "$SLURM_JOB_ID");
    } else {
        let _ = write!(
            body,
            "\
# `exec` makes that the exit code of the job, at which Slurm queues it again (RequeueExit={GO_ON_LATER} in slurm.conf), and lets
# signals to the script reach all processes at once.
exec {command}
"
        );
    }
    let purpose =
        format!("trains {} in a job of Slurm, whose first lines are options of sbatch.", args.config.config.display());
    Ok(Script { command: "sbatch", purpose, name, options, body })
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
}
