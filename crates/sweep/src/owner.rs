//! this process, for others that share a directory with it: which it is, and whether it is still there

use std::{env, fs, process};

use serde::{Deserialize, Serialize};

/// A process of some host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// When it was started, in ticks since its host was, so that a later one of its number is another; absent where the
    /// system does not tell.
    pub started: Option<u64>,
}

impl Process {
    /// The process of this number, as it is now.
    pub(crate) fn of(pid: u32) -> Self {
        Self { pid, started: stat(pid).map(|(_, started)| started) }
    }

    /// Whether it is there, as far as /proc tells; one that has ended, and is not waited for yet, is not.
    fn is_there(&self) -> bool {
        stat(self.pid).is_some_and(|(state, started)| !"ZX".contains(state) && Some(started) == self.started)
    }
}

/// State and start of a process, from Linux's `/proc/PID/stat`: `7 (name) S …`, in which the name may have any characters.
fn stat(pid: u32) -> Option<(char, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    // the third field, and the twenty-second
    Some((fields.next()?.chars().next()?, fields.nth(18)?.parse().ok()?))
}

/// Who has a trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Owner {
    /// The host's name, for people.
    pub host: String,
    /// What tells apart processes of one number: the start of the host, and the name space of numbers. Absent where the system
    /// does not tell.
    space: Option<String>,
    /// The worker.
    pub worker: Process,
    /// What trains for it, once that has been started.
    pub child: Option<Process>,
    /// The job of Slurm that it is in, with the task of an array.
    pub job: Option<String>,
}

impl Owner {
    /// This process.
    pub(crate) fn here() -> Self {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").ok().or_else(|| env::var("HOSTNAME").ok());
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
        let namespace = fs::read_link("/proc/self/ns/pid").ok();
        let space = boot.zip(namespace).map(|(boot, namespace)| format!("{} {}", boot.trim(), namespace.display()));
        let of = |name: &str| env::var(name).ok();
        let task = of("SLURM_ARRAY_JOB_ID").zip(of("SLURM_ARRAY_TASK_ID")).map(|(job, task)| format!("{job}_{task}"));
        Self {
            host: host.map_or("this host".into(), |host| host.trim().to_owned()),
            space,
            worker: Process::of(process::id()),
            child: None,
            job: task.or_else(|| of("SLURM_JOB_ID")),
        }
    }

    /// Whether all processes of it have ended, for certain: they were of this host, and are gone.
    pub(crate) fn is_gone(&self, here: &Self) -> bool {
        let is_near = self.space.is_some() && self.space == here.space;
        is_near && !self.worker.is_there() && !self.child.as_ref().is_some_and(Process::is_there)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_process_is_there_until_it_ends_and_no_other_is_taken_for_it() {
        let here = Owner::here();
        assert!(!here.is_gone(&here));
        let mut sleep = Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().expect("it starts");
        let of = |child: Option<Process>, worker: Process| Owner { worker, child, ..here.clone() };
        let process = Process::of(sleep.id());
        let gone = Process { started: Some(1), ..Process::of(process::id()) };
        assert!(!of(None, process.clone()).is_gone(&here));
        assert!(!of(Some(process.clone()), gone.clone()).is_gone(&here), "what trains is still there");
        let elsewhere = Owner { space: Some("another host".into()), ..of(None, gone.clone()) };
        assert!(of(None, gone).is_gone(&here) && !elsewhere.is_gone(&here), "nobody knows of other hosts");
        sleep.kill().expect("killed");
        let ended = of(None, process);
        let began = std::time::Instant::now();
        while !ended.is_gone(&here) {
            assert!(began.elapsed().as_secs() < 60, "one that has ended and is not waited for is taken to be there");
            std::thread::yield_now();
        }
        sleep.wait().expect("it has ended");
        assert!(ended.is_gone(&here));
    }
}
