//! What is said to a person may have no reader any more; the work goes on.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Workplace, borrowed};

/// Every step says a line, and the first is said before anything is saved.
const TALKATIVE: [&str; 4] = ["--set", "log.every_steps=1", "--set", "checkpoint.every_steps=1000"];

#[test]
fn a_run_whose_lines_nobody_reads_any_more_trains_to_its_end() {
    let here = Workplace::new();
    let args = here.train("run", &[&TALKATIVE[..], &["--set", "train.steps=20"]].concat());
    let mut child =
        here.command(&borrowed(&args)).stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("starts");
    let mut line = String::new();
    BufReader::new(child.stderr.take().expect("piped")).read_line(&mut line).expect("a line"); // and the reader is gone
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stdout).contains("trained 20 steps"));
    assert!(here.path("run/last/model.safetensors").is_file());
}

#[test]
fn a_run_that_is_interrupted_after_its_reader_is_saved() {
    let here = Workplace::new();
    let args = here.train("run", &[&TALKATIVE[..], &["--set", "train.steps=100000"]].concat());
    let mut child =
        here.command(&borrowed(&args)).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("starts");
    let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok);
    lines.find(|line| line.contains(" loss ")).expect("a step");
    drop(lines);
    kill_process(Pid::from_child(&child), Signal::INT).expect("it is still there");
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    assert!(here.path("run/last/model.safetensors").is_file());
}

#[test]
fn an_error_and_its_hint_that_nobody_reads_are_still_a_failure() {
    let here = Workplace::new();
    std::fs::create_dir_all(here.path("run/checkpoints/step-000001")).expect("created");
    let args = here.train("run", &[]);
    let mut child = here.command(&borrowed(&args)).stderr(Stdio::piped()).spawn().expect("it starts");
    drop(child.stderr.take());
    assert_eq!(child.wait().expect("it ends").code(), Some(1));
}

#[test]
fn a_reader_of_results_who_has_seen_enough_ends_the_work_quietly() {
    let here = Workplace::new();
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/smoke.toml");
    let train = here.train("run", &["--set", "train.steps=5"]);
    for args in [&["model", "--config", config][..], &borrowed(&train)] {
        let mut child = here.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("it ends");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !stderr.contains("error"), "{stderr}");
    }
}
