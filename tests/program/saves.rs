//! A save that is cut off, or refused, at any system call of it leaves checkpoints that are whole, and a run that goes on from
//! them to the same bytes. So does a run that is killed at any time.

use std::{
    collections::{BTreeMap, HashMap},
    env, fs,
    path::Path,
    process::{Command, Output},
    thread::sleep,
    time::Duration,
};

use itera_testkit::{skip, uniform};
use rustix::process::{Signal, kill_process};

use crate::support::{Workplace, borrowed, set, sha256};

/// Three saves, the last two of which remove an older checkpoint.
const CHANGES: [&str; 5] = [
    "train.steps=6",
    "checkpoint.every_steps=2",
    "checkpoint.keep_last=1",
    "checkpoint.keep_best=0",
    "eval.every_steps=6",
];

/// What is done to a system call.
const FAULTS: [&str; 3] = ["signal=KILL", "error=ENOSPC", "error=EIO"];

/// How often, unless the environment says it.
fn times(variable: &str, usual: usize) -> usize {
    env::var(variable).map_or(usual, |times| times.parse().expect("a number"))
}

/// `args` under strace, told `how`; `None` where processes cannot be traced.
fn traced(here: &Workplace, how: &[&str], args: &[String]) -> Option<Output> {
    let strace = |how: &[&str], args: &[&str]| {
        let mut command = Command::new("strace");
        command.args(["--follow-forks", "--quiet=all"]).args(how).args(args).current_dir(here.path(".")).output()
    };
    if !strace(&["--output=/dev/null"], &["true"]).is_ok_and(|output| output.status.success()) {
        skip("no `strace`, or a system that lets no process be traced");
        return None;
    }
    Some(strace(how, &[&[env!("CARGO_BIN_EXE_itera")], &borrowed(args)[..]].concat()).expect("strace starts"))
}

/// Each system call on files of the run that its saves make, as a name and the how many-eth of this name it is for its thread.
fn calls_of_saves(here: &Workplace) -> Option<Vec<(String, usize)>> {
    // `%desc,%file`: what has to do with a descriptor or a path; `-y` shows the path of a descriptor
    let how = ["--trace=%desc,%file", "-y", "--output=calls"];
    let output = traced(here, &how, &here.train("run", &set(&CHANGES)))?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (mut counts, mut calls) = (HashMap::new(), vec![]);
    for line in fs::read_to_string(here.path("calls")).expect("a log of calls").lines() {
        let Some((thread, call)) = line.split_once(char::is_whitespace) else { continue };
        let Some((name, arguments)) = call.trim_start().split_once('(') else { continue };
        let count = counts.entry((thread.to_owned(), name.to_owned())).or_insert(0);
        *count += 1;
        if arguments.contains("run/checkpoints") || arguments.contains("run/last") || arguments.contains("run/.last") {
            calls.push((name.to_owned(), *count));
        }
    }
    fs::remove_dir_all(here.path("run")).expect("a run");
    Some(calls)
}

/// sha256 of what decides how a run goes on, of every checkpoint that is there.
fn checkpoints(run: &Path) -> BTreeMap<String, [String; 2]> {
    let entries = fs::read_dir(run.join("checkpoints")).into_iter().flatten().filter_map(Result::ok);
    let whole = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("step-"));
    let hashes =
        |dir: &Path| ["model.safetensors", "trainer/optimizer.safetensors"].map(|file| sha256(&dir.join(file)));
    whole.map(|entry| (entry.file_name().to_string_lossy().into_owned(), hashes(&entry.path()))).collect()
}

/// `ITERA_FAULTS=600` tries so many.
#[test]
fn a_save_that_fails_at_any_call_leaves_what_the_run_goes_on_from() {
    let here = Workplace::new();
    let all = set(&[&CHANGES[..], &["checkpoint.keep_last=3"]].concat());
    here.ok(&borrowed(&here.train("whole", &all)));
    let expected = checkpoints(&here.path("whole"));
    assert_eq!(expected.len(), 3);
    let Some(calls) = calls_of_saves(&here) else { return };
    assert!(calls.len() > 100, "{} calls of three saves", calls.len());

    let points: Vec<(&str, &(String, usize))> =
        calls.iter().flat_map(|call| FAULTS.map(|fault| (fault, call))).collect();
    let wanted = times("ITERA_FAULTS", 12).min(points.len());
    let mut ends = HashMap::new();
    for index in 0..wanted {
        // spread over all saves; where all are wanted, each comes once
        let (fault, (name, nth)) = points[(index * points.len() + index) / wanted % points.len()];
        let what = format!("{fault} at {name} number {nth}");
        let how =
            [format!("--inject={name}:{fault}:when={nth}"), format!("--trace={name}"), "--output=/dev/null".into()];
        let output =
            traced(&here, &how.each_ref().map(String::as_str), &here.train("run", &set(&CHANGES))).expect("traced");
        let told = String::from_utf8_lossy(&output.stderr);
        // the standard library panics itself where a directory cannot be closed
        assert!(!told.contains("panicked") || told.contains("during closedir"), "{what}: {told}");
        *ends.entry(output.status.code()).or_insert(0) += 1;
        let left = checkpoints(&here.path("run"));
        assert!(left.iter().all(|(name, hashes)| expected.get(name) == Some(hashes)), "{what} left another {left:?}");
        let resumed = here.run(&borrowed(&here.train("run", &[&set(&CHANGES)[..], &["--resume"]].concat())));
        assert!(resumed.status.success(), "{what}: {}", String::from_utf8_lossy(&resumed.stderr));
        assert_eq!(checkpoints(&here.path("run")).last_key_value(), expected.last_key_value(), "{what}");
        fs::remove_dir_all(here.path("run")).expect("a run");
    }
    eprintln!("{wanted} faults at {} calls; exit codes {ends:?}", calls.len());
    assert!(ends.len() > 1, "all ended alike: {ends:?}");
}

/// `ITERA_KILLS=1000` kills as often.
#[test]
fn a_run_that_is_killed_at_any_time_goes_on_to_the_same_bytes() {
    let here = Workplace::new();
    let changes = set(&["train.steps=60", "checkpoint.every_steps=1", "checkpoint.keep_last=2", "eval.every_steps=7"]);
    here.ok(&borrowed(&here.train("whole", &changes)));
    let end = |run: &str| checkpoints(&here.path(run)).into_iter().next_back();
    let resume = here.train("run", &[&changes[..], &["--resume"]].concat());
    let wanted = times("ITERA_KILLS", 12);
    let (mut kills, mut runs) = (0, 0);
    let waits = uniform(8 * wanted, 0.0, 0.5, 1);
    for wait in waits {
        let mut child = here.command(&borrowed(&resume)).spawn().expect("it starts");
        sleep(Duration::from_secs_f32(wait));
        let is_over = child.try_wait().expect("a child").is_some();
        if !is_over {
            kill_process(rustix::process::Pid::from_child(&child), Signal::KILL).expect("it is there");
        }
        let status = child.wait().expect("it ends");
        kills += usize::from(!is_over && status.code().is_none());
        if status.success() {
            assert_eq!(end("run"), end("whole"), "after {kills} kills");
            fs::remove_dir_all(here.path("run")).expect("a run");
            runs += 1;
        } else {
            assert_eq!(status.code(), None, "a run that was killed goes on");
        }
        if kills == wanted {
            break;
        }
    }
    here.ok(&borrowed(&resume));
    assert_eq!(end("run"), end("whole"));
    eprintln!("{kills} kills, {runs} runs that ended meanwhile");
    assert_eq!(kills, wanted);
}
