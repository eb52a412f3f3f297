//! environment → who started this process as one of several, if anybody did

use std::{env, fmt};

/// What started the processes of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Launcher {
    /// `mpirun` of Open MPI.
    OpenMpi,
    /// `mpirun_rsh` of MVAPICH2.
    Mvapich,
    /// One that speaks PMI, as those of MPICH and of Intel MPI do, and `srun --mpi=pmi2`.
    Pmi,
    /// The launcher of HPE Cray systems.
    Pals,
    /// `srun`, in a step of more than one task.
    Slurm,
    /// Another that speaks PMIx, such as `prterun`.
    Pmix,
}

/// Launcher, the variable that holds the rank of a process, and the one that holds the number of them.
///
/// The launcher next to the program comes first: `mpirun` within a Slurm job leaves Slurm's variables as they were for its
/// daemons.
const VARIABLES: [(Launcher, &str, Option<&str>); 6] = [
    (Launcher::OpenMpi, "OMPI_COMM_WORLD_RANK", Some("OMPI_COMM_WORLD_SIZE")),
    (Launcher::Mvapich, "MV2_COMM_WORLD_RANK", Some("MV2_COMM_WORLD_SIZE")),
    (Launcher::Pmi, "PMI_RANK", Some("PMI_SIZE")),
    (Launcher::Pals, "PALS_RANKID", None),
    (Launcher::Slurm, "SLURM_PROCID", Some("SLURM_STEP_NUM_TASKS")),
    (Launcher::Pmix, "PMIX_RANK", None),
];

/// A process that was started as one of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launch {
    /// What started it.
    pub launcher: Launcher,
    /// Its number, from 0; absent where the launcher's variable holds no number.
    pub rank: Option<usize>,
    /// How many processes were started; absent where the launcher does not say.
    pub size: Option<usize>,
}

impl Launch {
    /// What the environment says of this process; `None` if nothing started it as one of several.
    pub fn of_this_process() -> Option<Self> {
        Self::of(|name| env::var(name).ok())
    }

    fn of(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let number = |name: &str| variable(name)?.parse().ok();
        let found = |&(launcher, rank, size): &(Launcher, &str, Option<&str>)| {
            variable(rank)?;
            let size = size.and_then(number);
            // the script of a batch job has a SLURM_PROCID too, and a shell within a job is a step of one task
            let is_alone = launcher == Launcher::Slurm && size.is_none_or(|size| size < 2);
            (!is_alone).then(|| Self { launcher, rank: number(rank), size })
        };
        VARIABLES.iter().find_map(found)
    }
}

impl fmt::Display for Launcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OpenMpi => "mpirun of Open MPI",
            Self::Mvapich => "mpirun_rsh of MVAPICH2",
            Self::Pmi => "a launcher that speaks PMI",
            Self::Pals => "PALS",
            Self::Slurm => "srun",
            Self::Pmix => "a launcher that speaks PMIx",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(variables: &[(&str, &str)]) -> Option<(Launcher, Option<usize>, Option<usize>)> {
        let of = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Launch::of(of).map(|Launch { launcher, rank, size }| (launcher, rank, size))
    }

    #[test]
    fn a_process_of_its_own_has_no_launch() {
        assert_eq!(launch(&[]), None);
        let batch_script = [("SLURM_JOB_ID", "7"), ("SLURM_PROCID", "0"), ("SLURM_NTASKS", "4")];
        assert_eq!(launch(&batch_script), None);
        let shell = [("SLURM_PROCID", "0"), ("SLURM_STEP_ID", "0"), ("SLURM_STEP_NUM_TASKS", "1")];
        assert_eq!(launch(&shell), None);
    }

    #[test]
    fn the_nearest_launcher_counts() {
        let slurm = [("SLURM_PROCID", "1"), ("SLURM_STEP_NUM_TASKS", "2")];
        assert_eq!(launch(&slurm), Some((Launcher::Slurm, Some(1), Some(2))));
        let pmix = [&slurm[..], &[("PMIX_RANK", "1")]].concat();
        assert_eq!(launch(&pmix), Some((Launcher::Slurm, Some(1), Some(2))));
        let hydra = [&slurm[..], &[("PMI_RANK", "5"), ("PMI_SIZE", "8")]].concat();
        assert_eq!(launch(&hydra), Some((Launcher::Pmi, Some(5), Some(8))));
        let open = [&pmix[..], &[("OMPI_COMM_WORLD_RANK", "3"), ("OMPI_COMM_WORLD_SIZE", "4")]].concat();
        assert_eq!(launch(&open), Some((Launcher::OpenMpi, Some(3), Some(4))));
    }

    #[test]
    fn what_a_launcher_does_not_say_is_absent() {
        assert_eq!(launch(&[("PMIX_RANK", "2")]), Some((Launcher::Pmix, Some(2), None)));
        assert_eq!(launch(&[("PALS_RANKID", "x")]), Some((Launcher::Pals, None, None)));
    }
}
