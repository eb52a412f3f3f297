//! `itera doctor` tells of the limits that hold where it runs.

use std::{path::Path, process::Command};

use serde_json::Value;

fn doctor(command: &mut Command) -> Value {
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

#[test]
fn free_space_is_that_of_the_working_directory() {
    let elsewhere = tempfile::tempdir().expect("a directory");
    let mut dirs = vec![elsewhere.path()];
    // a file system in memory, which is no disk
    dirs.extend(Some(Path::new("/dev/shm")).filter(|dir| dir.is_dir()));
    for dir in dirs {
        let found = doctor(Command::new(env!("CARGO_BIN_EXE_itera")).args(["doctor", "--json"]).current_dir(dir));
        let there = rustix::fs::statvfs(dir).expect("a file system");
        let (free, expected) = (found["disk_free_bytes"].as_u64(), there.f_bavail * there.f_frsize);
        assert!(free.is_some_and(|free| free.abs_diff(expected) < 1 << 30), "{}: {free:?}, {expected}", dir.display());
    }
}

#[cfg(target_os = "linux")]
#[test]
fn memory_is_what_the_process_may_have() {
    let kib = 3 << 20;
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit -v {kib}; exec \"$0\" doctor --json"), env!("CARGO_BIN_EXE_itera")]);
    let found = doctor(&mut shell);
    assert_eq!((&found["memory_limit"], found["memory_bytes"].as_u64()), (&"ulimit -v".into(), Some(kib << 10)));
    assert!(found["memory_available_bytes"].as_u64() < Some(kib << 10), "{found}");
}
