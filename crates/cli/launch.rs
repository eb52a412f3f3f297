//! `itera launch`: a launcher of this machine → this program, as several ranks

use std::{
    env,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context, Result};
use itera_collective::Launch;

use crate::{args::count, hints::with_hint};

/// Names that launchers of MPI have, in the order in which they are looked for.
const LAUNCHERS: [&str; 4] = ["mpiexec", "mpirun", "mpiexec.hydra", "mpiexec.openmpi"];

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  itera launch -n 4 -- train --config configs/tiny.toml
  itera launch -n 2 --launcher mpiexec.openmpi -- doctor --cluster

A batch system starts its own: `srun -n 8 itera train …`. Both end with the bytes of one process.")]
pub struct Args {
    /// Processes to start on this machine.
    #[arg(short, value_name = "N", value_parser = count::<usize>)]
    n: usize,
    /// What starts them, by name or path; otherwise the first of mpiexec and mpirun that is there.
    #[arg(long, value_name = "PROGRAM")]
    launcher: Option<PathBuf>,
    /// A command of this program, with its arguments.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

pub fn run(args: Args) -> Result<ExitCode> {
    if let Some(launch) = Launch::of_this_process() {
        let problem = format!("this process is one of several already, started by {}", launch.launcher);
        return Err(with_hint(problem, "leave `launch -n N --` out: that launcher starts `itera train` as well"));
    }
    let launcher = match args.launcher {
        Some(launcher) => launcher,
        None => {
            let found = LAUNCHERS.iter().find_map(|name| in_path(name, &env::var_os("PATH")?));
            found.ok_or_else(|| {
                let problem = format!("no launcher of an MPI is found: there is no {}", LAUNCHERS.join(", no "));
                with_hint(problem, "load the module of an MPI or install one, such as mpich or openmpi-bin of Debian")
            })?
        }
    };
    let mut command = Command::new(&launcher);
    command.args(options(&launcher)).args(["-n", &args.n.to_string()]);
    command.arg(env::current_exe().context("cannot find this program")?).args(&args.command);
    become_it(&mut command).with_context(|| format!("cannot start {}", launcher.display()))
}

/// The program of that name in the directories of `PATH`.
fn in_path(name: &str, path: &OsStr) -> Option<PathBuf> {
    env::split_paths(path).map(|dir| dir.join(name)).find(|path| path.is_file())
}

/// What makes a launcher start any number of processes on this machine, each of which may use all cores, for they share the
/// cores among themselves.
fn options(launcher: &Path) -> &'static [&'static str] {
    let version = Command::new(launcher).arg("--version").stdin(Stdio::null()).output();
    let version = version.map_or_else(|_| String::new(), |said| String::from_utf8_lossy(&said.stdout).into_owned());
    let is_open_mpi = version.contains("OpenRTE") || version.contains("Open MPI");
    if is_open_mpi { &["--oversubscribe", "--bind-to", "none"] } else { &[] }
}

/// Run a command in the place of this process, so that signals reach it.
#[cfg(unix)]
fn become_it(command: &mut Command) -> std::io::Result<ExitCode> {
    Err(std::os::unix::process::CommandExt::exec(command))
}

/// Run a command to its end.
#[cfg(not(unix))]
fn become_it(command: &mut Command) -> std::io::Result<ExitCode> {
    let code = command.status()?.code();
    Ok(code.and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}
