//! Several processes train what one trains, under each MPI that this machine has.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use itera_testkit::{MPIS, Mpi};
use rustix::process::{Signal, kill_process};

use crate::support::{Workplace, borrowed, metrics, set, sha256};

/// Five micro-batches, which four ranks share unevenly; averages, dropout, validations; a row a step.
const CHANGES: [&str; 10] = [
    "--set",
    "train.grad_accum_steps=5",
    "--set",
    "train.batch_size=1",
    "--set",
    "train.ema=0.9",
    "--set",
    "model.dropout=0.1",
    "--set",
    "eval.every_steps=3",
];
const SHORT: [&str; 4] = ["--set", "train.steps=6", "--set", "checkpoint.every_steps=2"];

/// `itera args…` by `size` processes.
fn job(here: &Workplace, mpi: &Mpi, size: usize, args: &[impl AsRef<OsStr>]) -> Option<Command> {
    let mut command = mpi.job(size, env!("CARGO_BIN_EXE_itera"))?;
    command.args(args).current_dir(here.path(".")).stdin(Stdio::null());
    Some(command)
}

fn changes(run: &str, here: &Workplace, more: &[&str]) -> Vec<String> {
    here.train(run, &[&CHANGES[..], &SHORT, more].concat())
}

/// sha256 of weights, of averages, and of what the optimizer remembers; rows without times.
fn left(run: &Path) -> (Vec<String>, Vec<serde_json::Value>) {
    let files = ["model.safetensors", "trainer/optimizer.safetensors"].map(|file| sha256(&run.join("last").join(file)));
    (files.into(), metrics(run))
}

#[track_caller]
fn lines(output: &Output, code: i32) -> (String, String) {
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert_eq!(output.status.code(), Some(code), "{out}{err}");
    (out, err)
}

#[test]
fn any_number_of_processes_under_any_mpi_trains_the_bytes_of_one() {
    let here = Workplace::new();
    here.ok(&borrowed(&changes("alone", &here, &["--threads", "2"])));
    let expected = left(&here.path("alone"));
    let shapes = [(1, "2"), (2, "1"), (2, "2"), (3, "1"), (3, "2"), (4, "1"), (4, "2"), (5, "1"), (8, "1")];
    for (mpi, (size, threads)) in MPIS.into_iter().flat_map(|mpi| shapes.map(|shape| (mpi, shape))) {
        let run = format!("{} {size} {threads}", mpi.name);
        let Some(mut job) = job(&here, &mpi, size, &changes(&run, &here, &["--threads", threads])) else { continue };
        let (out, err) = lines(&job.output().expect("it starts"), 0);
        assert_eq!(left(&here.path(&run)), expected, "{size} processes of {} with {threads} threads", mpi.name);
        assert_eq!(out.matches("best validation").count(), 1, "one process tells: {out}");
        assert_eq!(err.matches("step 6: validation").count(), 1, "{err}");
        assert!(err.contains(&format!("ranks: {size} on ")), "{err}");
        for rank in 1..size {
            let log = here.log(&run, rank);
            assert!(log.contains("step 6: validation") && log.contains("step 6/6  loss "), "{log}");
        }
        assert_eq!(err.contains("3 of them have nothing to add"), size == 8, "{err}");
    }
}

#[test]
fn a_run_stops_on_three_processes_and_goes_on_on_two() {
    for mpi in MPIS {
        let here = Workplace::new();
        let long = ["--set", "train.steps=12"];
        here.ok(&borrowed(&changes("whole", &here, &long)));
        let args = changes("cut", &here, &long);
        let Some(mut first) = job(&here, &mpi, 3, &args) else { continue };
        let mut child = first.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("it starts");
        let mut told = BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok);
        told.find(|line| line.starts_with("step 2/")).expect("a second step");
        // the last rank alone gets it, and not the launcher
        kill_process(here.rank(2).expect("it runs"), Signal::TERM).expect("it is still there");
        let told: Vec<String> = told.collect();
        assert_eq!(child.wait().expect("it ends").code(), Some(143), "{told:?}");
        assert_eq!(told.iter().filter(|line| line.contains("stopped by signal 15 after step")).count(), 1, "{told:?}");

        let resume = changes("cut", &here, &[&long[..], &["--resume"]].concat());
        let mut second = job(&here, &mpi, 2, &resume).expect("it was there");
        lines(&second.output().expect("it starts"), 0);
        assert_eq!(left(&here.path("cut")), left(&here.path("whole")), "{}", mpi.name);
    }
}

#[test]
fn replicas_are_shared_by_any_number_of_processes_and_resume_where_they_are_apart() {
    let here = Workplace::new();
    // saved at 2, 4 … of rounds of three steps
    let apart = set(&["train.replicas=3", "train.sync_every=3", "train.ema=0", "checkpoint.keep_last=9"]);
    let run = |name: &str, more: &[&str]| changes(name, &here, &[&apart[..], more].concat());
    here.ok(&borrowed(&run("alone", &[])));
    let expected = left(&here.path("alone"));
    for (mpi, size) in MPIS.into_iter().flat_map(|mpi| [2, 3, 4].map(|size| (mpi, size))) {
        let name = format!("{} {size}", mpi.name);
        let Some(mut whole) = job(&here, &mpi, size, &run(&name, &[])) else { continue };
        lines(&whole.output().expect("it starts"), 0);
        assert_eq!(left(&here.path(&name)), expected, "{size} processes of {}", mpi.name);
        let apart = format!("{name}/checkpoints/step-000004");
        let mut rest = job(&here, &mpi, 5 - size, &run(&name, &["--resume", &apart])).expect("it was there");
        lines(&rest.output().expect("it starts"), 0);
        assert_eq!(left(&here.path(&name)), expected, "{} processes of {} go on", 5 - size, mpi.name);
    }
}

/// What `eval` finds, whoever scores what.
fn found(output: &Output) -> serde_json::Value {
    let (out, _) = lines(output, 0);
    let mut found: serde_json::Value = serde_json::from_str(&out).expect("one rank prints one JSON object");
    let times = ["tokens_per_s", "texts_per_s"];
    found.as_object_mut().expect("an object").retain(|key, _| !times.contains(&&key[..]));
    found
}

#[test]
fn any_number_of_processes_scores_what_one_does() {
    let here = Workplace::new();
    here.ok(&borrowed(&here.train("run", &[&SHORT[..], &set(&["model.max_seq_len=1000"])].concat())));
    // the last of them is longer than the context
    let texts: Vec<String> = (1..8_usize).map(|n| "A dog and a cat saw the sun. ".repeat(n * n)).collect();
    fs::write(here.path("texts.txt"), texts.join("\n<|endoftext|>\n")).expect("written");
    let pairs = (1..6).map(|n| format!("{n}\tA dog ran {n} times\t{}\n", "A dog ran. ".repeat(n)));
    fs::write(here.path("pairs.tsv"), pairs.collect::<String>()).expect("written");
    let ways = [&[][..], &["--data", "texts.txt"], &["--pairs", "pairs.tsv"]];
    let ways = ways.map(|way| [&["eval", "run", "--json"][..], way].concat());
    let alone = ways.each_ref().map(|way| found(&here.command(way).output().expect("it starts")));
    assert!(!alone[1]["windows"].is_null(), "{}", alone[1]);
    for (mpi, size) in MPIS.into_iter().flat_map(|mpi| [2, 3, 8].map(|size| (mpi, size))) {
        for (way, alone) in ways.iter().zip(&alone) {
            let Some(mut job) = job(&here, &mpi, size, way) else { continue };
            assert_eq!(found(&job.output().expect("it starts")), *alone, "{size} processes of {}", mpi.name);
        }
    }
    fs::write(here.path("other.txt"), "A dog").expect("written");
    for mpi in MPIS {
        let Some(mut job) = mpi.job(3, "sh") else { continue };
        let other =
            "case ${PMI_RANK:-$OMPI_COMM_WORLD_RANK} in 2) set -- \"$@\" --data other.txt;; esac; exec \"$0\" \"$@\"";
        job.args(["-c", other, env!("CARGO_BIN_EXE_itera")]).args(&ways[1]).current_dir(here.path("."));
        let (out, err) = lines(&job.output().expect("it starts"), 1);
        assert!(out.is_empty() && err.contains("error: rank 2 has another list of texts than rank 0: 7 of "), "{err}");
        assert!(err.contains("hint: start all ranks with the same arguments, on files"), "{err}");
    }
}

#[test]
fn a_rank_that_is_slow_is_named() {
    let here = Workplace::new();
    for mpi in MPIS {
        let args = changes("run", &here, &["--overwrite", "--set", "train.steps=3000", "--threads", "1"]);
        let Some(mut job) = job(&here, &mpi, 3, &args) else { continue };
        let mut child = job.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("it starts");
        let mut told = BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok);
        told.find(|line| line.starts_with("step 2/")).expect("a second step");
        let slow = here.rank(1).expect("it runs");
        let done = AtomicBool::new(false);
        let named = thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    for (signal, ms) in [(Signal::STOP, 40), (Signal::CONT, 4)] {
                        kill_process(slow, signal).expect("it is there");
                        thread::sleep(Duration::from_millis(ms));
                    }
                }
            });
            let named = told.find(|line| line.contains("is slow"));
            done.store(true, Ordering::Relaxed);
            named
        });
        let named = named.expect("it is named");
        assert!(named.contains(": rank 1 on ") && named.contains("times as long as the others"), "{named}");
        kill_process(slow, Signal::TERM).expect("it is there");
        told.for_each(drop);
        assert_eq!(child.wait().expect("it ends").code(), Some(143));
    }
}

#[test]
fn launch_starts_what_it_finds_here() {
    let here = Workplace::new();
    for mpi in MPIS {
        let Some(job) = mpi.job(2, "itera") else { continue };
        let set = || job.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
        let launch = ["launch", "-n", "2", "--launcher", mpi.launcher, "--"];
        let doctor = [&launch[..], &["doctor", "--cluster", "--json"]].concat();
        let (out, _) = lines(&here.command(&doctor).envs(set()).output().expect("it starts"), 0);
        let found: serde_json::Value = serde_json::from_str(&out).expect("one JSON object");
        assert_eq!(found["hosts"][0]["ranks"], serde_json::json!([0, 1]));

        let smoke = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/smoke.toml");
        let smoke = smoke.to_string_lossy();
        let bench =
            ["bench", "train", "--config", &smoke, "--set", "train.grad_accum_steps=3", "--steps", "2", "--json"];
        let bench = [&launch[..], &bench, &["--set", "data.cache_dir=cache"]].concat();
        let (out, _) = lines(&here.command(&bench).envs(set()).output().expect("it starts"), 0);
        let found: serde_json::Value = serde_json::from_str(&out).expect("one rank prints");
        assert_eq!((&found["ranks"], &found["tokens_per_step"]), (&2.into(), &(3 * 4 * 64).into()));
        assert!(found["phase_ms"]["reduce"].as_f64().is_some_and(|ms| ms > 0.0), "{found}");
    }
    let launch = ["launch", "-n", "2", "--", "doctor"];
    let (_, err) = lines(&here.command(&launch).env("PATH", here.path(".")).output().expect("it starts"), 1);
    assert!(err.contains("there is no mpiexec, no mpirun") && err.contains("hint: load the module"), "{err}");
    let of_a_job = here.command(&launch).envs([("PMI_RANK", "0"), ("PMI_SIZE", "2")]).output();
    let (_, err) = lines(&of_a_job.expect("it starts"), 1);
    assert!(err.contains("one of several already, started by a launcher that speaks PMI"), "{err}");
}

#[test]
fn what_one_process_cannot_do_ends_all_with_its_word() {
    // what the last rank gets beside the arguments of all, and what is said, by all that fail together or by it alone
    let cases = [
        (1, "--set train.lr=0.5", "error: rank 2 has another configuration than rank 0: [train] lr = 0.002 → lr = 0.5"),
        (1, "--set data.source=nowhere.txt", "rank 2: error: no file matches `nowhere.txt`"),
        (1, "--set nothing", "rank 2: error: the override `nothing`"),
        (1, "SIMD", "rank 2: error: ITERA_SIMD"),
        (2, "--nonsense", "rank 2: error: unexpected argument '--nonsense' found"),
        (2, "ALL --nonsense", "error: unexpected argument '--nonsense' found"),
    ];
    let shell = "case ${PMI_RANK:-$OMPI_COMM_WORLD_RANK}$MORE in 2SIMD) export ITERA_SIMD=none;; \
                 ?ALL*) set -- \"$@\" ${MORE#ALL};; 2*) set -- \"$@\" $MORE;; esac; exec \"$0\" \"$@\"";
    for mpi in MPIS {
        let here = Workplace::new();
        for (code, more, expected) in cases {
            let Some(mut job) = mpi.job(3, "sh") else { break };
            job.args(["-c", shell, env!("CARGO_BIN_EXE_itera")]).args(changes("run", &here, &[])).env("MORE", more);
            job.current_dir(here.path(".")).stdin(Stdio::null());
            let (out, err) = lines(&job.output().expect("it starts"), code);
            assert!(err.lines().any(|line| line.starts_with(expected)), "no `{expected}`: {err}");
            assert_eq!((err.matches("error: ").count(), &*out), (1, ""), "{err}");
            assert!(!here.path("run/checkpoints").exists());
        }
    }
}
