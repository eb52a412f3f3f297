//! Run the binary in a directory of its own.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use sha2::{Digest, Sha256};

/// A directory to run in, and what to change in `configs/smoke.toml`.
pub struct Workplace {
    dir: tempfile::TempDir,
}

impl Workplace {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a temporary directory") }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `itera args…`, run here.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_itera"));
        command.args(args).current_dir(self.dir.path()).stdin(Stdio::null());
        command
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("the program starts")
    }

    /// Run and expect success; returns standard output.
    #[track_caller]
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// Run and expect failure with `code`; returns standard error.
    #[track_caller]
    pub fn fails(&self, code: i32, args: &[&str]) -> String {
        let output = self.run(args);
        let stderr = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
        stderr
    }

    /// Arguments that train the smoke configuration into `run`, with changes.
    pub fn train<'a>(&self, run: &'a str, more: &[&'a str]) -> Vec<String> {
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/smoke.toml");
        let mut args: Vec<String> = ["train", "--config", &config.to_string_lossy(), "--set"].map(str::to_owned).into();
        args.push(format!("run.dir={run}"));
        for change in ["data.cache_dir=cache", "log.tensorboard=false"] {
            args.extend(["--set".to_owned(), change.to_owned()]);
        }
        args.extend(more.iter().map(|&arg| arg.to_owned()));
        args
    }

    /// What another rank than the first has left of a run.
    #[track_caller]
    pub fn log(&self, run: &str, rank: usize) -> String {
        fs::read_to_string(self.path(run).join(format!("rank-{rank}.log"))).expect("a log")
    }

    /// The processes of this program that were started here.
    pub fn processes(&self) -> Vec<PathBuf> {
        let dir = self.dir.path().canonicalize().expect("a directory");
        let is_here = |process: &Path| {
            fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd == dir)
                && fs::read_link(process.join("exe")).is_ok_and(|exe| exe.ends_with("itera"))
        };
        let all = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
        all.filter(|process| is_here(process)).collect()
    }

    /// The process that is this rank of a job here, by what its launcher told it.
    pub fn rank(&self, rank: usize) -> Option<Pid> {
        let told = ["PMI_RANK", "OMPI_COMM_WORLD_RANK"].map(|name| format!("{name}={rank}").into_bytes());
        let is_rank = |process: &PathBuf| {
            let environ = fs::read(process.join("environ")).unwrap_or_default();
            environ.split(|byte| *byte == 0).any(|said| told.iter().any(|told| told == said))
        };
        let process = self.processes().into_iter().find(is_rank)?;
        Pid::from_raw(process.file_name()?.to_str()?.parse().ok()?)
    }

    /// Start training, wait until it has told of `rows` metrics rows of its own, and send it `signal`; returns its exit
    /// code, which a killed process has not.
    pub fn train_until(&self, args: &[String], rows: usize, signal: Signal) -> Option<i32> {
        let mut child =
            self.command(&borrowed(args)).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("it starts");
        let mut lines =
            BufReader::new(child.stderr.take().expect("standard error is piped")).lines().map_while(Result::ok);
        let told =
            lines.by_ref().filter(|line| line.starts_with("step ") && line.contains(" loss ")).take(rows).count();
        assert_eq!(told, rows, "the run ended too soon");
        kill_process(Pid::from_child(&child), signal).expect("it is still there");
        lines.for_each(drop); // so that it never writes into a closed pipe
        child.wait().expect("wait").code()
    }
}

/// `--set` before each of some changes of the configuration.
pub fn set<'a>(changes: &[&'a str]) -> Vec<&'a str> {
    changes.iter().flat_map(|change| ["--set", change]).collect()
}

/// Borrow a list of arguments.
pub fn borrowed(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}

/// sha256 of a file.
#[track_caller]
pub fn sha256(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Metrics rows without the columns that tell of the machine.
pub fn metrics(run: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).expect("metrics.jsonl");
    text.lines()
        .map(|line| {
            let mut row: serde_json::Value = serde_json::from_str(line).expect("a row is JSON");
            let columns = row.as_object_mut().expect("a row is an object");
            columns.retain(|key, _| !itera_metrics::TIMING_COLUMNS.contains(&key.as_str()));
            row
        })
        .collect()
}
