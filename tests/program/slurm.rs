//! Runs in jobs of Slurm: what it tells a process, and a Slurm of this machine that stops and queues them again.

use std::{
    env, fs,
    io::Write,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::Stdio,
    thread::sleep,
    time::{Duration, SystemTime},
};

use itera_testkit::{MPICH, Slurm};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    support::{Workplace, borrowed, metrics, set, sha256},
    sweep,
};

const CHANGES: [&str; 6] = [
    "train.steps=40",
    "train.grad_accum_steps=3",
    "model.dropout=0.1",
    "log.every_steps=1",
    "eval.every_steps=7",
    "checkpoint.every_steps=1000",
];

/// sha256 of weights and of what the optimizer remembers; rows without times.
fn left(run: &Path) -> (Vec<String>, Vec<serde_json::Value>) {
    let files = ["model.safetensors", "trainer/optimizer.safetensors"].map(|file| sha256(&run.join("last").join(file)));
    (files.into(), metrics(run))
}

/// What Slurm tells a process of a job that has an hour left.
fn in_a_job() -> [(&'static str, String); 2] {
    let end = SystemTime::now() + Duration::from_secs(3600);
    let end = end.duration_since(SystemTime::UNIX_EPOCH).expect("it is later than 1970");
    [("SLURM_JOB_ID", "7".into()), ("SLURM_JOB_END_TIME", end.as_secs().to_string())]
}

/// The job that `sbatch` has told of.
fn submitted(told: &str) -> &str {
    told.trim().strip_prefix("Submitted batch job ").unwrap_or_else(|| panic!("{told}"))
}

#[test]
fn a_run_in_a_job_stops_before_the_end_of_its_time_and_asks_to_be_queued_again() {
    let here = Workplace::new();
    let changes = set(&CHANGES);
    let args = here.train("run", &[&changes[..], &["--stop-before", "1h"]].concat());
    let stopped = here.command(&borrowed(&args)).envs(in_a_job()).output().expect("it starts");
    let said = String::from_utf8_lossy(&stopped.stderr);
    assert_eq!(stopped.status.code(), Some(75), "{said}");
    assert!(said.contains("are left to this job; saves and stops 1h before"), "{said}");
    assert!(said.contains("stopped by the end of its time after step 0 and saved"), "{said}");

    // nothing is known of an end
    let resume =
        here.train("run", &[&changes[..], &["--set", "train.steps=5", "--resume", "--stop-before", "1h"]].concat());
    let alone = here.run(&borrowed(&resume));
    let said = String::from_utf8_lossy(&alone.stderr);
    assert!(alone.status.success() && said.contains("--stop-before changes nothing"), "{said}");
}

/// While the text is still read nothing can be saved.
#[test]
fn a_signal_before_the_first_step_ends_a_job_with_the_code_at_which_it_is_queued_again() {
    let here = Workplace::new();
    let args = here.train("run", &set(&["data.source=-"]));
    let cases = [(vec![], None, Some(Signal::USR2.as_raw())), (in_a_job().to_vec(), Some(75), None)];
    for (variables, code, signal) in cases {
        let mut command = here.command(&borrowed(&args));
        let mut child = command.envs(variables).stdin(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
        // more than a pipe holds: once it is written, the program reads
        child.stdin.as_mut().expect("piped").write_all(&[b'a'; 1 << 18]).expect("it reads");
        kill_process(Pid::from_child(&child), Signal::USR2).expect("it waits for more");
        let status = child.wait().expect("it ends");
        assert_eq!((status.code(), status.signal()), (code, signal));
    }
    assert!(!here.path("run").exists());
}

/// `ITERA_PREEMPTIONS=100` does it as often.
#[test]
fn a_job_that_is_stopped_and_queued_again_ends_with_the_bytes_of_one_process() {
    if MPICH.job(1, "true").is_none() {
        return;
    }
    let Some(slurm) = Slurm::start() else { return };
    let here = Workplace::new();
    let times: usize = env::var("ITERA_PREEMPTIONS").map_or(1, |times| times.parse().expect("a number"));
    let steps = format!("train.steps={}", 40.max(20 * times));
    let changes = set(&[&CHANGES[..], &[&steps]].concat());
    here.ok(&borrowed(&here.train("whole", &changes)));

    // the first start has no time, and each is of another number of processes than the one before
    let script = "#!/bin/sh\n\
                  starts=${SLURM_RESTART_COUNT:-0}\n\
                  [ $starts = 0 ] && set -- \"$@\" --stop-before 2h\n\
                  exec srun --mpi=pmi2 --ntasks=$((1 + (starts + 1) % 4)) \"$@\"\n";
    fs::write(here.path("job.sh"), script).expect("written");
    let args = here.train("run", &[&changes[..], &["--threads", "1", "--resume"]].concat());
    let mut sbatch = slurm.command("sbatch");
    sbatch.args(["--parsable", "--requeue", "--ntasks=4", "--time=60", "--open-mode=append", "--output=log", "job.sh"]);
    sbatch.arg(env!("CARGO_BIN_EXE_itera")).args(&args).current_dir(here.path("."));
    let submitted = sbatch.output().expect("sbatch starts");
    assert!(submitted.status.success(), "{}", String::from_utf8_lossy(&submitted.stderr));
    let job = String::from_utf8_lossy(&submitted.stdout).trim().to_owned();

    let log = || String::from_utf8_lossy(&fs::read(here.path("log")).unwrap_or_default()).into_owned();
    let stops =
        |count| slurm.wait_for("end of a start", || log().matches("saved; continue with --resume").count() == count);
    stops(1);
    assert!(log().contains("stopped by the end of its time after step 0 and saved"), "{}", log());
    let signals = [("USR1", 10), ("TERM", 15), ("INT", 2), ("USR2", 12), ("HUP", 1)];
    for (time, (name, number)) in (1..=times).zip(signals.into_iter().cycle()) {
        let told = log().matches("\nstep ").count();
        slurm.wait_for("step", || {
            slurm.run_now(&job);
            log().matches("\nstep ").count() > told
        });
        slurm.ask("scancel", &[&format!("--signal={name}"), &job]);
        stops(1 + time);
        let stopped = log();
        let stopped = stopped.lines().rfind(|line| line.contains("stopped by ")).expect("it was told");
        assert!(stopped.starts_with(&format!("stopped by signal {number} after step ")), "{stopped}");
    }
    slurm.wait_for_success(&job);
    let log = log();
    assert_eq!(slurm.restarts(&job), 1 + times, "{log}");
    for ranks in ["ranks: 2 on ", "ranks: 3 on ", "ranks: 4 on "] {
        assert!(log.contains(ranks), "{ranks}: {log}");
    }
    assert!(left(&here.path("run")) == left(&here.path("whole")), "{log}");
}

#[test]
fn a_script_that_this_program_wrote_trains_and_goes_on() {
    if MPICH.job(1, "true").is_none() {
        return;
    }
    let Some(slurm) = Slurm::start() else { return };
    let here = Workplace::new();
    let changes = set(&CHANGES);
    here.ok(&borrowed(&here.train("whole", &changes)));

    let args = here.train("run", &changes);
    let job = ["--ntasks-per-node", "3", "--time", "30", "--mpi", "pmi2"];
    let write = |args: &[String], more: &[&str]| {
        let mut command = slurm.command(env!("CARGO_BIN_EXE_itera"));
        command.arg("sbatch").args(&args[1..]).args(job).args(more).current_dir(here.path("."));
        let output = command.output().expect("it starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    write(&args, &[]);
    let script = fs::read_to_string(here.path("smoke.sbatch")).expect("a script");
    assert!(script.contains("\nexec srun --mpi=pmi2 "), "this Slurm queues again by exit code: {script}");
    let told = write(&args, &["--submit", "--", "--output=log"]);
    let job = submitted(&told);

    let log = || String::from_utf8_lossy(&fs::read(here.path("log")).unwrap_or_default()).into_owned();
    slurm.wait_for("third step", || log().contains("step 3/40"));
    // as when another job takes its place
    slurm.ask("scancel", &["--signal=TERM", job]);
    slurm.wait_for_success(job);
    assert_eq!((slurm.restarts(job), log().matches("stopped by signal 15 after step ").count()), (1, 1), "{}", log());
    assert!(left(&here.path("run")) == left(&here.path("whole")), "{}", log());

    // a cluster that queues nothing again by itself: the script asks, unless the job is cancelled
    slurm.queue_none_again();
    let args = here.train("asks", &changes);
    let told = write(&args, &["--submit", "--", "--output=asks-log"]);
    let job = submitted(&told);
    let log = || String::from_utf8_lossy(&fs::read(here.path("asks-log")).unwrap_or_default()).into_owned();
    slurm.wait_for("third step", || log().contains("step 3/40"));
    slurm.ask("scancel", &["--signal=TERM", job]);
    slurm.wait_for("requeue", || slurm.restarts(job) == 1);
    let told = log().matches("\nstep ").count();
    slurm.wait_for("step", || {
        slurm.run_now(job);
        log().matches("\nstep ").count() > told
    });
    slurm.ask("scancel", &[job]);
    slurm.wait_for("second stop", || log().matches("stopped by signal 15 after step ").count() == 2);
    slurm.wait_for_cancelled(job);
    sleep(Duration::from_secs(2));
    slurm.wait_for_cancelled(job);
    assert_eq!(slurm.restarts(job), 1, "{}", log());
    here.ok(&borrowed(&here.train("asks", &[&changes[..], &["--resume"]].concat())));
    assert!(left(&here.path("asks")) == left(&here.path("whole")), "{}", log());

    fs::write(here.path("smoke.sbatch"), "#!/bin/sh\necho mine\n").expect("written");
    let refused =
        here.command(&[&["sbatch"], &borrowed(&args)[1..], &["--time", "30"]].concat()).output().expect("it starts");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("smoke.sbatch is there, and no script of this command"), "{said}");
}

/// One task is stopped and queued again, one is cancelled for good.
#[test]
fn the_tasks_of_an_array_share_the_trials_of_a_sweep() {
    let Some(slurm) = Slurm::start() else { return };
    let here = Workplace::new();
    let set = "train.steps = 60\nlog.every_steps = 1\neval.every_steps = 30\ncheckpoint.every_steps = 1000";
    for name in ["serial.toml", "array.toml"] {
        sweep::write_sweep(&here, name, set, "seeds = 3\n[grid]\ntrain.lr = [1e-3, 2e-3, 4e-3]");
    }
    here.ok(&["sweep", "run", "serial.toml"]);
    let mut command = slurm.command(env!("CARGO_BIN_EXE_itera"));
    command.args(["sweep", "sbatch", "array.toml", "--array", "3", "--threads", "1", "--time", "30", "--submit"]);
    let output = command.args(["--", "--output=log-%a"]).current_dir(here.path(".")).output().expect("it starts");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let job = submitted(&told);
    let task = |number: usize| format!("{job}_{number}");
    let log = |number: usize| fs::read_to_string(here.path(&format!("log-{number}"))).unwrap_or_default();

    slurm.wait_for("trial of each task", || (1..=3).all(|number| log(number).contains(" begins: ")));
    slurm.ask("scancel", &["--signal=TERM", &task(2)]);
    slurm.ask("scancel", &[&task(3)]);
    slurm.wait_for("stop of both", || {
        [2, 3].iter().all(|number| log(*number).contains("stopped by signal 15; what was begun is saved"))
    });
    slurm.wait_for("requeue of one", || slurm.restarts(&task(2)) == 1);
    slurm.wait_for_success(&task(1));
    slurm.wait_for_success(&task(2));
    assert_eq!([1, 2, 3].map(|number| slurm.restarts(&task(number))), [0, 1, 0], "{}{}{}", log(1), log(2), log(3));
    assert_eq!(
        log(2).matches("sweep: 9 trials of 3 cells in array.sweep").count(),
        2,
        "the log of the first start is kept"
    );
    assert!(here.ok(&["sweep", "status", "array.toml"]).matches("done, val_bpb ").count() == 9);
    assert!(sweep::results(&here.path("array.sweep")) == sweep::results(&here.path("serial.sweep")));
    let leases = sweep::trials(&here.path("array.sweep"))
        .into_values()
        .map(|trial| fs::read_to_string(trial.join("lease-0001")));
    let leases: String = leases.map(|lease| lease.expect("a lease")).collect();
    assert!((1..=3).all(|number| leases.contains(&format!("\"job\":\"{}\"", task(number)))), "{leases}");
}
