//! `itera doctor` tells of the limits that hold where it runs.

use std::{path::Path, process::Command};

use itera_testkit::{MPICH, OPEN_MPI};
use serde_json::{Value, json};

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

#[test]
fn a_job_knows_its_hosts_and_what_joins_them() {
    for (mpi, launcher) in [(MPICH, "a launcher that speaks PMI"), (OPEN_MPI, "mpirun of Open MPI")] {
        let Some(mut command) = mpi.job(3, env!("CARGO_BIN_EXE_itera")) else { continue };
        command.args(["doctor", "--cluster", "--json"]);
        let found = doctor(&mut command);
        assert_eq!((&found["launcher"], &found["mpi_problem"]), (&launcher.into(), &Value::Null));
        assert!(found["mpi"]["version"].as_str().is_some_and(|found| found.contains("MPI")), "{found}");
        assert_eq!(found["hosts"][0]["ranks"], json!([0, 1, 2]));
        // one host, for which its first two ranks stand
        let links = found["links"].as_array().expect("links");
        assert_eq!((links.len(), &links[0]["ranks"]), (1, &json!([0, 1])));
        for measured in ["latency_us", "gb_per_s"] {
            assert!(links[0][measured].as_f64().is_some_and(|measured| measured > 0.0 && measured < 1e9), "{found}");
        }
    }
}

#[test]
fn a_process_of_its_own_says_which_mpi_it_would_use() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_itera"));
    command.args(["doctor", "--cluster", "--json"]).env("ITERA_MPI_LIB", "no/such/library.so");
    let found = doctor(&mut command);
    assert_eq!((&found["launcher"], &found["mpi"], &found["hosts"]), (&Value::Null, &Value::Null, &json!([])));
    assert!(found["mpi_problem"].as_str().is_some_and(|text| text.contains("no/such/library.so")), "{found}");
    // and one of several cannot do without
    let output = command.env("PMI_RANK", "0").env("PMI_SIZE", "2").output().expect("it starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("hint: load the module of the MPI that starts the job"), "{errors}");
}
