//! What is said to a person may have no reader any more; the work goes on.

use std::{
    fs,
    io::{self, BufRead, BufReader},
    process::{Command, Stdio},
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
    let seal = here.path("run/checkpoints/step-000001/trainer/state.json");
    std::fs::create_dir_all(seal.parent().expect("a parent")).expect("created");
    std::fs::write(seal, "{}").expect("written");
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

/// A pipe whose reader has gone.
fn nobody() -> Stdio {
    let (reader, writer) = io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

/// Run each command in `here` as `prepare` would have it, and hold it to an exit code.
#[track_caller]
fn all_end(here: &Workplace, commands: &[&[&str]], code: i32, prepare: impl Fn(&mut Command) -> &mut Command) {
    for args in commands {
        let status = prepare(&mut here.command(args)).status().expect("it starts");
        assert_eq!(status.code(), Some(code), "{args:?}");
    }
}

#[test]
fn no_command_needs_anybody_to_listen() {
    let here = Workplace::new();
    here.ok(&borrowed(&here.train("run", &["--set", "train.steps=5"])));
    fs::write(here.path("text.txt"), "Once upon a time.\n<|endoftext|>\nThe end.\n").expect("write");
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/smoke.toml");
    let configured = ["--config", config, "--set", "data.cache_dir=cache"];
    let train = here.train("again", &["--set", "train.steps=5", "--overwrite"]);
    let quick: [&[&str]; 9] = [
        &borrowed(&train),
        &["eval", "run", "--data", "text.txt"],
        &["generate", "run", "-n", "5", "--seed", "-1"],
        &["export", "run", "-o", "q8.gguf", "--dtype", "q8_0", "--force"],
        &["export", "q8.gguf", "-o", "f16.gguf", "--dtype", "f16", "--force"], // has a note to say
        &["inspect", "run"],
        &[&["model"][..], &configured].concat(),
        &[&["data"][..], &configured].concat(),
        &["logits", "run", "--text", "- and"],
    ];
    let measuring: [&[&str]; 5] = [
        &["compress", "--recipe", "bf16", "run", "--data", "text.txt", "--overwrite"],
        &["compare", "run", "--data", "text.txt"],
        &["doctor"],
        &["bench", "run", "--tokens", "2", "--streams", "2", "--repeats", "1"],
        &[&["bench", "train", "--steps", "1", "--warmup", "0"][..], &configured].concat(),
    ];
    for commands in [&quick[..], &measuring] {
        all_end(&here, commands, 0, |command| command.stderr(nobody()).stdout(nobody()));
    }
    // the shell closes what the program then has not
    for args in quick {
        let script = ["-c", "exec \"$@\" 2>&-", "sh", env!("CARGO_BIN_EXE_itera")];
        let mut shell = Command::new("sh");
        let status = shell.args(script).args(args).current_dir(here.path("")).stdout(Stdio::null()).status();
        assert_eq!(status.expect("it starts").code(), Some(0), "{args:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn results_that_find_no_room_are_a_failure_and_talk_that_finds_none_is_not() {
    let here = Workplace::new();
    here.ok(&borrowed(&here.train("run", &["--set", "train.steps=5"])));
    let full = || fs::File::options().write(true).open("/dev/full").expect("the full device");
    let train = here.train("again", &["--set", "train.steps=5", "--overwrite"]);
    let commands: [&[&str]; 3] =
        [&borrowed(&train), &["inspect", "run"], &["generate", "run", "-n", "5", "--seed", "-1"]];
    all_end(&here, &commands, 0, |command| command.stderr(full()));
    all_end(&here, &commands, 1, |command| command.stdout(full()));
}
