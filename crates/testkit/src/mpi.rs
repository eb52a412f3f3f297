//! The MPIs that tests may find on a machine.

use std::{
    ffi::OsStr,
    process::{Command, Stdio},
};

use crate::skip;

/// An MPI, which has a launcher of its own.
#[derive(Clone, Copy, Debug)]
pub struct Mpi {
    /// Its name, for messages.
    pub name: &'static str,
    /// The program that starts jobs of it.
    pub launcher: &'static str,
    /// What lets it start several processes on one core, as any user.
    options: &'static [&'static str],
}

/// MPICH, or one that starts as it does.
pub const MPICH: Mpi = Mpi { name: "MPICH", launcher: "mpiexec.hydra", options: &[] };
/// Open MPI.
pub const OPEN_MPI: Mpi =
    Mpi { name: "Open MPI", launcher: "mpiexec.openmpi", options: &["--oversubscribe", "--bind-to", "none"] };
/// All of them.
pub const MPIS: [Mpi; 2] = [MPICH, OPEN_MPI];

impl Mpi {
    /// What starts `size` processes of a program, for its arguments to be added; `None` if this machine lacks the launcher,
    /// which is told as [`skip`] does.
    #[track_caller]
    pub fn job(&self, size: usize, program: impl AsRef<OsStr>) -> Option<Command> {
        let there = Command::new(self.launcher).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if there.is_err() {
            skip(&format!("no {}", self.launcher));
            return None;
        }
        let mut command = Command::new(self.launcher);
        command.args(self.options).args(["-n", &size.to_string()]).arg(program);
        command.env_remove("ITERA_MPI_LIB");
        command.envs([("OMPI_ALLOW_RUN_AS_ROOT", "1"), ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")]);
        Some(command)
    }
}
