//! Sweeps: workers that are killed, stopped, started again and silent; trials that fail; what is refused and reported.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use itera_testkit::uniform;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{Workplace, metrics, sha256};

const SMOKE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/smoke.toml");
/// How long anything may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// Write a sweep of the smoke configuration, with little to do.
pub fn write_sweep(here: &Workplace, name: &str, set: &str, rest: &str) {
    let set = format!("data.cache_dir = \"cache\"\nlog.tensorboard = false\neval.sample_tokens = 0\n{set}");
    fs::write(here.path(name), format!("base = {SMOKE:?}\n{}\n[set]\n{set}\n", rest)).expect("written");
}

/// The directories of the trials of a sweep, by name.
pub fn trials(sweep: &Path) -> BTreeMap<String, PathBuf> {
    let entries = fs::read_dir(sweep).expect("a sweep").map(|entry| entry.expect("an entry"));
    entries.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path())).collect()
}

fn record(trial: &Path) -> Value {
    serde_json::from_slice(&fs::read(trial.join("record.json")).expect("a record")).expect("JSON")
}

/// How often somebody has trained it. Who finds that it has ended just as he takes it does not.
fn leases(trial: &Path) -> usize {
    let entries = fs::read_dir(trial).expect("a trial").map(|entry| entry.expect("an entry").path());
    let leases = entries.filter(|path| path.to_string_lossy().contains("/lease-"));
    let trained = |path: PathBuf| {
        let lease: Value = serde_json::from_slice(&fs::read(path).expect("a lease")).expect("JSON");
        !lease["owner"]["child"].is_null()
    };
    leases.filter(|path| trained(path.clone())).count()
}

/// What does not depend on who did the work, and how often.
fn result(trial: &Path) -> Value {
    let mut record = record(trial);
    record["work"] = Value::Null;
    record
}

/// All that a sweep has found: records, rows, and the bytes of the weights.
pub fn results(sweep: &Path) -> Vec<(String, Value, Vec<Value>, String)> {
    let of = |(name, trial): (String, PathBuf)| {
        let run = trial.join("run");
        (name, result(&trial), metrics(&run), sha256(&run.join("last/model.safetensors")))
    };
    trials(sweep).into_iter().map(of).collect()
}

fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "no {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn start(here: &Workplace, args: &[&str]) -> Child {
    here.command(args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts")
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).expect("it is still there");
}

/// The runs that processes train in, here and now, by the locks that they have open.
fn runs(here: &Workplace) -> Vec<(PathBuf, PathBuf)> {
    let run = |process: PathBuf| {
        let files = fs::read_dir(process.join("fd")).ok()?.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
        let lock = files.into_iter().find(|file| file.ends_with("run/.lock"))?;
        Some((process, lock))
    };
    here.processes().into_iter().filter_map(run).collect()
}

/// A run that two processes train in at the same moment.
#[cfg(target_os = "linux")]
fn run_of_two(here: &Workplace) -> Option<PathBuf> {
    let seen = runs(here);
    let is_again = |(at, (_, run)): (usize, &(PathBuf, PathBuf))| seen[..at].iter().any(|(_, before)| before == run);
    let twice = seen.iter().enumerate().find(|&run| is_again(run)).map(|(_, (_, run))| run.clone())?;
    // the first may have ended before the second began: both are there only if both still are
    let now = runs(here);
    let still = seen.iter().filter(|(process, run)| *run == twice && now.iter().any(|(other, _)| other == process));
    (still.count() > 1).then_some(twice)
}

/// `ITERA_SWEEP_TRIALS=200` has as many, by four workers.
#[cfg(target_os = "linux")]
#[test]
fn killed_workers_run_every_trial_once_to_the_results_of_a_serial_run() {
    let count: usize = env::var("ITERA_SWEEP_TRIALS").map_or(12, |count| count.parse().expect("a number"));
    let workers = if count < 100 { 3 } else { 4 };
    let here = Workplace::new();
    let set = "train.steps = 24\ncheckpoint.every_steps = 3\neval.every_steps = 6\nmodel.dropout = 0.1";
    let rest = format!("seeds = {}\n[grid]\ntrain.lr = [1e-3, 2e-3, 4e-3, 8e-3]", count.div_ceil(4));
    for name in ["serial.toml", "killed.toml"] {
        write_sweep(&here, name, set, &rest);
    }
    here.ok(&["sweep", "run", "serial.toml", "--threads", "1"]);

    let begin = || start(&here, &["sweep", "run", "killed.toml", "--threads", "1"]);
    let is_over = AtomicBool::new(false);
    let kills = thread::scope(|scope| {
        let watch = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                assert_eq!(run_of_two(&here), None, "two processes train in one run");
                thread::sleep(Duration::from_millis(20));
            }
        });
        let mut children: Vec<Child> = (0..workers).map(|_| begin()).collect();
        let mut random = uniform(4 * count, 0.0, 1.0, 1).into_iter();
        let mut kills = 0;
        // as often as there are trials, and each worker at least once
        while kills < count.max(workers)
            && children.iter_mut().any(|child| child.try_wait().expect("a child").is_none())
        {
            thread::sleep(Duration::from_secs_f32(0.05 + 0.4 * random.next().expect("a number")));
            let child = &mut children[kills % workers];
            if child.try_wait().expect("a child").is_none() {
                child.kill().expect("killed");
                child.wait().expect("it has ended");
                *child = begin();
                kills += 1;
            } else {
                break;
            }
        }
        for child in children {
            let output = child.wait_with_output().expect("it ends");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        is_over.store(true, Ordering::Relaxed);
        watch.join().expect("no panic");
        kills
    });

    let (serial, killed) = (results(&here.path("serial.sweep")), results(&here.path("killed.sweep")));
    assert_eq!(serial.len(), count.div_ceil(4) * 4);
    assert!(serial == killed, "results differ");
    let trials = trials(&here.path("killed.sweep"));
    let begun: Vec<usize> = trials.values().map(|trial| leases(trial)).collect();
    println!(
        "{} trials, {workers} workers, {kills} kills; begun {} times in all",
        trials.len(),
        begun.iter().sum::<usize>()
    );
    assert!(kills >= workers && begun.iter().sum::<usize>() > trials.len(), "{kills} kills: {begun:?}");
    for trial in trials.values() {
        assert_eq!(record(trial)["end"], "done");
        // the lock of a run would keep a second process out, and leases have to do so before
        let log = fs::read_to_string(trial.join("log")).expect("a log");
        assert!(!log.contains("another process is training"), "{log}");
    }
    assert_eq!(runs(&here), [], "nobody trains for a worker that is gone");
}

#[cfg(target_os = "linux")]
#[test]
fn what_trains_for_a_worker_ends_with_it() {
    let here = Workplace::new();
    write_sweep(&here, "s.toml", "train.steps = 1000000\nlog.every_steps = 1", "");
    let mut worker = start(&here, &["sweep", "run", "s.toml", "--threads", "1"]);
    wait_for("run", || !runs(&here).is_empty());
    worker.kill().expect("killed");
    worker.wait().expect("it has ended");
    wait_for("end of the run", || runs(&here).is_empty());
}

#[test]
fn a_worker_that_is_silent_loses_its_trial_and_what_trains_for_it_ends() {
    let here = Workplace::new();
    write_sweep(&here, "s.toml", "train.steps = 400\ncheckpoint.every_steps = 5\nlog.every_steps = 1", "");
    let run = ["sweep", "run", "s.toml", "--threads", "1", "--lease", "4s"];
    let mut first = start(&here, &run);
    let sweep = here.path("s.sweep");
    let log = || {
        trials(&sweep).values().next().and_then(|trial| fs::read_to_string(trial.join("log")).ok()).unwrap_or_default()
    };
    wait_for("step", || sweep.exists() && log().contains("step 3/400"));
    send(&first, Signal::STOP);
    wait_for("end of what trains", || runs(&here).is_empty());
    let second = here.run(&run);
    assert!(second.status.success(), "{}", String::from_utf8_lossy(&second.stderr));
    assert!(String::from_utf8_lossy(&second.stderr).contains("trial 1/1 goes on: the base, seed 42"));

    send(&first, Signal::CONT);
    let told: Vec<String> = BufReader::new(first.stderr.take().expect("piped")).lines().map_while(Result::ok).collect();
    assert!(told.iter().any(|line| line.contains("another worker's: this one was silent for too long")), "{told:?}");
    assert!(first.wait().expect("it ends").success(), "{told:?}");
    let [trial] = &trials(&sweep).into_values().collect::<Vec<_>>()[..] else { panic!("one trial") };
    assert_eq!((record(trial)["work"]["lease"].clone(), leases(trial)), (2.into(), 2));
    let steps: Vec<u64> = metrics(&trial.join("run")).iter().filter_map(|row| row["step"].as_u64()).collect();
    assert!(steps.iter().copied().eq(1..=400), "{steps:?}");
}

#[test]
fn a_worker_that_is_asked_to_stop_saves_and_the_next_goes_on() {
    let here = Workplace::new();
    let set = "train.steps = 400\ncheckpoint.every_steps = 1000\neval.every_steps = 1000\nlog.every_steps = 1";
    for name in ["whole.toml", "cut.toml"] {
        write_sweep(&here, name, set, "seeds = 2");
    }
    let run = |name| ["sweep", "run", name, "--workers", "2"];
    here.ok(&run("whole.toml"));
    let logs = || -> usize {
        let sweep = here.path("cut.sweep");
        let steps =
            |trial: &PathBuf| fs::read_to_string(trial.join("log")).map_or(0, |log| log.matches("\nstep ").count());
        if sweep.exists() { trials(&sweep).values().map(steps).min().unwrap_or(0) } else { 0 }
    };
    let cases = [(Signal::INT, None, 130), (Signal::TERM, None, 143), (Signal::USR1, Some(("SLURM_JOB_ID", "7")), 75)];
    for (signal, variable, code) in cases {
        let before = logs();
        let mut command = here.command(&run("cut.toml"));
        let mut child = command.envs(variable).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
        wait_for("more steps", || logs() > before + 1);
        send(&child, signal);
        let told: Vec<String> =
            BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok).collect();
        assert_eq!(child.wait().expect("it ends").code(), Some(code), "{told:?}");
        let stopped = format!("stopped by signal {}; what was begun is saved", signal.as_raw());
        assert!(told.iter().any(|line| line.starts_with(&stopped)), "{told:?}");
        assert_eq!(runs(&here), []);
    }
    let status = here.ok(&["sweep", "status", "cut.toml"]);
    assert_eq!(status.matches("left at step ").count(), 2, "{status}");
    here.ok(&run("cut.toml"));
    assert!(results(&here.path("cut.sweep")) == results(&here.path("whole.sweep")));
}

#[test]
fn a_trial_that_fails_is_reported_and_tried_again_when_asked() {
    let here = Workplace::new();
    let list = "[[list]]\ndata.source = \"builtin:stories\"\n[[list]]\ndata.source = \"late.txt\"";
    write_sweep(&here, "s.toml", "train.steps = 5", list);
    let run = ["sweep", "run", "s.toml"];
    let told = here.fails(1, &run);
    assert!(told.contains("trial 2/2 has failed: ") && told.contains("late.txt"), "{told}");
    assert!(told.contains("1 done, 1 failed\n") && told.contains("--retry-failed"), "{told}");
    let told = here.fails(1, &run);
    assert!(!told.contains("begins") && !told.contains("goes on"), "it is not tried again unasked: {told}");

    let report = here.run(&["sweep", "report", "s.toml"]);
    assert!(String::from_utf8_lossy(&report.stdout).contains("1 failed"), "{report:?}");
    let told = String::from_utf8_lossy(&report.stderr).into_owned();
    let why = "(data.source = [\"late.txt\"], seed 42): ";
    assert!(told.contains("failed: ") && told.contains(why) && told.contains("error: "), "{told}");

    let again = [&run[..], &["--retry-failed"]].concat();
    let told = here.fails(1, &again);
    assert_eq!(told.matches("trial 2/2 goes on").count(), 1, "once: {told}");
    let text = (0..4000).map(|n| format!("The number {n} is a number.\n<|endoftext|>\n")).collect::<String>();
    fs::write(here.path("late.txt"), text).expect("written");
    here.ok(&again);
    let trials = trials(&here.path("s.sweep"));
    let late = trials.values().find(|trial| leases(trial) > 1).expect("it was tried again");
    assert!(leases(late) == 3 && ["failed-0001.json", "failed-0002.json"].iter().all(|name| late.join(name).exists()));
    assert_eq!(here.ok(&["sweep", "status", "s.toml"]).matches("done, val_bpb ").count(), 2);
}

#[test]
fn a_sweep_that_grows_trains_what_is_new_and_compares_all() {
    let here = Workplace::new();
    let set = "train.steps = 5\neval.tokens = 256";
    write_sweep(&here, "s.toml", set, "seeds = 2\n[grid]\ntrain.lr = [1e-3, 2e-3]");
    here.ok(&["sweep", "run", "s.toml", "--workers", "2"]);
    let before = results(&here.path("s.sweep"));
    write_sweep(&here, "s.toml", set, "seeds = 3\n[grid]\ntrain.lr = [2e-3, 8e-3, 1e-3]");
    let plan = here.ok(&["sweep", "run", "s.toml", "--dry-run"]);
    assert_eq!((plan.matches("done, val_bpb").count(), plan.matches("to do").count()), (4, 5), "{plan}");
    here.ok(&["sweep", "run", "s.toml", "--workers", "2"]);
    let after = results(&here.path("s.sweep"));
    assert!(after.len() == 9 && before.iter().all(|trial| after.contains(trial)));
    assert!(trials(&here.path("s.sweep")).values().all(|trial| leases(trial) == 1), "nothing ran twice");

    let table = here.ok(&["sweep", "report", "s.toml", "--plot", "lr.svg"]);
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines.len() == 4 && lines[0].starts_with("train.lr  n  mean"), "{table}");
    assert!(lines[1].contains("baseline") && lines[2].ends_with("lower"), "the base has 2e-3: {table}");
    let json: Value = serde_json::from_str(&here.ok(&["sweep", "report", "s.toml", "--json"])).expect("JSON");
    let seeds = json["rows"][1]["by_seed"].as_object().expect("seeds");
    assert_eq!((seeds.len(), &json["trials"]["done"]), (3, &Value::from(9)));
    let cell = &after.iter().find(|(_, record, ..)| record["metrics"]["val_bpb"] == seeds["43"]);
    assert!(cell.is_some(), "values are those of the records: {json}");
    let picture = fs::read_to_string(here.path("lr.svg")).expect("a picture");
    assert!(picture.starts_with("<svg") && picture.matches("<circle").count() == 12, "{picture}");
    assert_eq!(here.ok(&["sweep", "report", "s.toml", "--csv"]).lines().count(), 4);
    assert!(here.ok(&["sweep", "report", "s.toml", "--markdown"]).starts_with("| train.lr | n | mean |"));
    let told = here.fails(1, &["sweep", "report", "s.toml", "--metric", "bpb"]);
    assert!(told.contains("no trial that is done has a metric `bpb`; there are: best_val_bpb, "), "{told}");
}

/// Whoever works, and in whatever order.
#[test]
fn cells_worse_than_the_median_are_stopped_alike_by_one_worker_and_by_several() {
    let here = Workplace::new();
    let set = "train.steps = 40\neval.every_steps = 4\neval.tokens = 256\nlog.every_steps = 1";
    for name in ["one.toml", "three.toml"] {
        write_sweep(&here, name, set, "seeds = 2\nmedian_stop = [4, 8]\n[grid]\ntrain.lr = [1e-5, 1e-3, 4e-3, 8e-3]");
    }
    here.ok(&["sweep", "run", "one.toml", "--threads", "1"]);
    let workers: Vec<Child> = (0..3).map(|_| start(&here, &["sweep", "run", "three.toml", "--threads", "1"])).collect();
    for worker in workers {
        let output = worker.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let records =
        |sweep: &str| -> Vec<Value> { trials(&here.path(sweep)).values().map(|trial| result(trial)).collect() };
    assert_eq!(records("one.sweep"), records("three.sweep"));
    let ends = |end: &str, step: u64| {
        records("one.sweep").iter().filter(|record| record["end"] == end && record["step"] == step).count()
    };
    assert_eq!((ends("median", 4), ends("median", 8), ends("done", 40)), (4, 2, 2), "{:#?}", records("one.sweep"));
    let reason = records("one.sweep").iter().find_map(|record| record["reason"].as_str().map(str::to_owned));
    assert!(reason.is_some_and(|reason| reason.starts_with("worse than the median at step ")));
    let table = here.ok(&["sweep", "report", "one.toml"]);
    assert_eq!(table.matches("2 stopped by the median").count(), 3, "{table}");
}

#[test]
fn a_trial_whose_time_is_over_is_stopped_and_has_no_part_in_a_mean() {
    let here = Workplace::new();
    let list = "minutes = 0.05\n[[list]]\ntrain.steps = 1000000\n[[list]]\ntrain.steps = 2";
    write_sweep(&here, "s.toml", "train.warmup_steps = 1", list);
    here.ok(&["sweep", "run", "s.toml"]);
    let ends: Vec<Value> = trials(&here.path("s.sweep")).values().map(|trial| record(trial)["end"].clone()).collect();
    assert!(ends.contains(&"minutes".into()) && ends.contains(&"done".into()), "{ends:?}");
    let json: Value = serde_json::from_str(&here.ok(&["sweep", "report", "s.toml", "--json"])).expect("JSON");
    assert_eq!((&json["rows"][0]["mean"], &json["rows"][0]["trials"]["minutes"]), (&Value::Null, &Value::from(1)));
    assert!(here.ok(&["sweep", "report", "s.toml"]).contains("1 stopped by the limit of time"));
}

#[test]
fn a_sweep_that_means_nothing_is_refused_before_anything_runs() {
    let here = Workplace::new();
    for (sweep, expected) in [
        ("[grid]\ntrain.lrr = [1e-3]", "unknown key `train.lrr`; the nearest is `train.lr`"),
        ("[grid]\ntrain.lr = []", "`grid.train.lr` = []: expected a list of values, at least one"),
        (
            "[grid]\ntrain.lr = [1e-3, \"fast\"]",
            "s.toml, train.lr = \"fast\": s.toml: `train.lr` = \"fast\": expected a number",
        ),
        ("[grid]\nmodel.d_model = [32, 33]", "s.toml, model.d_model = 33: "),
        ("[grids]\ntrain.lr = [1]", "unknown field `grids`"),
        ("[grid]\nrun.seed = [1, 2]", "`run.seed` is given by the sweep itself\nhint: write seeds = [1, 2, 3]"),
        ("median_stop = [7]", "the trial is not validated\nhint: "),
    ] {
        write_sweep(&here, "s.toml", "", sweep);
        for command in ["run", "status", "report"] {
            let told = here.fails(1, &["sweep", command, "s.toml"]);
            assert!(told.starts_with("error: ") && told.contains(expected), "{sweep}: {told}");
        }
        assert!(!here.path("s.sweep").exists());
    }
    let told = here.fails(2, &["sweep", "run", "s.toml", "--workers", "0"]);
    assert!(told.contains("expected a whole number from 1"), "{told}");
    let told = here.fails(2, &["sweep", "run", "s.toml", "--lease", "10ms"]);
    assert!(told.contains("expected 1s or more"), "{told}");
}

/// A name is that of one configuration, and its directory has no other.
#[test]
fn the_directory_of_a_trial_that_holds_another_configuration_is_refused() {
    let here = Workplace::new();
    write_sweep(&here, "s.toml", "train.steps = 5", "");
    here.ok(&["sweep", "run", "s.toml"]);
    let trial = trials(&here.path("s.sweep")).into_values().next().expect("a trial");
    fs::remove_file(trial.join("record.json")).expect("removed");
    let config = fs::read_to_string(trial.join("config.toml")).expect("read");
    fs::write(trial.join("config.toml"), config.replace("steps = 5\n", "steps = 6\n")).expect("written");
    let told = here.fails(1, &["sweep", "run", "s.toml"]);
    assert!(told.contains("holds another configuration than its name says\nhint: "), "{told}");
}
