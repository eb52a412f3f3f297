//! A rank that dies or hangs is noticed by the others, named, and all end.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use itera_testkit::{MPICH, MPIS, Slurm};
use rustix::process::{Signal, kill_process};

use crate::support::{Workplace, set};

/// A run that would take hours, and ranks that wait for each other for seconds.
fn endless(here: &Workplace) -> Vec<String> {
    let changes =
        ["train.steps=1000000", "train.grad_accum_steps=3", "log.every_steps=1", "checkpoint.every_steps=1000000"];
    here.train("run", &[&set(&changes)[..], &["--watchdog", "5s", "--threads", "1"]].concat())
}

/// What a job says after something was done to a rank, and whether it succeeds.
fn after(here: &Workplace, mut job: Command, rank: usize, signal: Signal) -> (bool, String) {
    job.args(endless(here)).current_dir(here.path("."));
    let mut child = job.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut told = BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok);
    told.find(|line| line.starts_with("step 2/")).expect("a second step");
    kill_process(here.rank(rank).expect("it runs"), signal).expect("it is still there");
    let told = std::thread::spawn(move || told.collect::<Vec<_>>().join("\n"));
    let succeeds = ends(&mut child);
    // launchers end what is left once they have ended themselves
    let began = Instant::now();
    while !here.processes().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(60), "{:?} are left", here.processes());
        sleep(Duration::from_millis(20));
    }
    (succeeds, told.join().expect("no panic"))
}

/// Whether a job succeeds; it ends within minutes.
fn ends(job: &mut Child) -> bool {
    let began = Instant::now();
    loop {
        match job.try_wait().expect("a child") {
            Some(status) => return status.success(),
            None if began.elapsed() > Duration::from_secs(120) => {
                job.kill().expect("killed");
                panic!("the job does not end");
            }
            None => sleep(Duration::from_millis(20)),
        }
    }
}

#[test]
fn a_rank_that_stops_is_named_and_all_end() {
    for mpi in MPIS {
        for rank in [0, 2] {
            let here = Workplace::new();
            let Some(job) = mpi.job(3, env!("CARGO_BIN_EXE_itera")) else { continue };
            let (succeeds, told) = after(&here, job, rank, Signal::STOP);
            assert!(!succeeds, "{told}");
            let accused = format!("error: rank {rank} on ");
            let line =
                told.lines().find(|line| line.contains(&accused)).unwrap_or_else(|| panic!("{}: {told}", mpi.name));
            let parts = ["has not ", " of step ", " (collective ", "; last seen in ", " s ago"];
            assert!(parts.iter().all(|part| line.contains(part)), "{line}");
            let speaks = if rank == 0 { "rank 1: error" } else { "error" };
            assert!(line.starts_with(speaks) && told.matches(&accused).count() == 1, "{told}");
            for other in (1..3).filter(|other| *other != rank) {
                assert!(here.log("run", other).contains(&accused), "{}", here.log("run", other));
            }
        }
    }
}

/// The first process trains; the second one is another program, which knows nothing of MPI.
#[test]
fn a_rank_that_does_not_begin_is_waited_for_no_longer_than_the_watchdog_says() {
    for mpi in MPIS {
        let here = Workplace::new();
        let Some(mut job) = mpi.job(1, env!("CARGO_BIN_EXE_itera")) else { continue };
        job.args(endless(&here)).args([":", "-n", "1", "sleep", "600"]).current_dir(here.path("."));
        let began = Instant::now();
        let done = job.stdin(Stdio::null()).output().expect("it starts");
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(!done.status.success() && began.elapsed() < Duration::from_secs(60), "{}: {said}", mpi.name);
        let accused = ["error: MPI has not joined rank 0 of 2, started by ", "with the others within 5s"];
        assert!(accused.iter().all(|part| said.contains(part)), "{}: {said}", mpi.name);
        assert!(here.processes().is_empty(), "{}: {:?}", mpi.name, here.processes());
    }
}

/// Other launchers than `srun` may end all before anybody has said why. So may MPI itself, which aborts a process that is just
/// about to read the memory of one that has died: then another rank dies.
#[test]
fn a_rank_that_dies_is_named_under_slurm() {
    if MPICH.job(1, "true").is_none() {
        return;
    }
    let Some(slurm) = Slurm::start() else { return };
    for rank in [0, 1] {
        let named = (0..5).any(|_| {
            let here = Workplace::new();
            let mut job = slurm.command("srun");
            job.args(["--mpi=pmi2", "--ntasks=3", env!("CARGO_BIN_EXE_itera")]);
            let (succeeds, told) = after(&here, job, rank, Signal::KILL);
            assert!(!succeeds, "{told}");
            if told.contains("process_vm_readv") {
                return false;
            }
            let line = if rank == 0 { "rank 1: error: rank 0 on " } else { "error: rank 1 on " };
            let line = told.lines().find(|told| told.starts_with(line)).unwrap_or_else(|| panic!("{told}"));
            assert!(line.contains(" is gone; last seen in "), "{told}");
            assert!(here.log("run", 2).contains(&format!(" error: rank {rank} on ")), "{}", here.log("run", 2));
            true
        });
        assert!(named, "MPI aborts each time");
    }
}

#[test]
fn a_rank_that_dies_ends_all() {
    for mpi in MPIS {
        let here = Workplace::new();
        let Some(job) = mpi.job(3, env!("CARGO_BIN_EXE_itera")) else { continue };
        let (succeeds, told) = after(&here, job, 1, Signal::KILL);
        assert!(!succeeds, "{told}");
    }
}
