//! A Slurm of one machine for a test: its own configuration, key, ports and daemons, which end with it.

use std::{
    fs,
    io::{self, Read},
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    thread::sleep,
    time::{Duration, Instant},
};

use crate::skip;

/// How long the daemons, and jobs that end, may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// A cluster of this machine alone, whose only node has more cores than any test asks for. Jobs that end with 75 are queued
/// again.
pub struct Slurm {
    dir: PathBuf,
    daemons: Vec<Child>,
}

impl Slurm {
    /// Start it; `None` where a program of it is missing, which is told as [`skip`] does.
    ///
    /// # Panics
    /// If it does not start though all programs are there.
    #[track_caller]
    pub fn start() -> Option<Self> {
        for program in ["munged", "slurmctld", "slurmd", "sbatch"] {
            // none of them needs a configuration for that
            if quiet(program_of_slurm(program).arg("--version")).status().is_err() {
                skip(&format!("no {program} of Slurm"));
                return None;
            }
        }
        Some(Self::start_daemons().expect("the daemons start"))
    }

    fn start_daemons() -> io::Result<Self> {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        // short, for the socket in it
        let name = format!("slurm-{}-{}", std::process::id(), STARTED.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(name);
        let mut slurm = Self { dir: dir.clone(), daemons: vec![] };
        ["", "state", "spool"].into_iter().try_for_each(|part| fs::create_dir_all(dir.join(part)))?;
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755))?;
        let mut key = [0; 128];
        fs::File::open("/dev/urandom")?.read_exact(&mut key)?;
        fs::write(dir.join("key"), key)?;
        fs::set_permissions(dir.join("key"), fs::Permissions::from_mode(0o600))?;
        fs::write(dir.join("slurm.conf"), configuration(&dir)?)?;

        let place = |option: &str, file: &str| format!("--{option}={}", dir.join(file).display());
        let munged = [("socket", "munge"), ("key-file", "key"), ("pid-file", "munged.pid"), ("seed-file", "seed")];
        let munged = munged.map(|(option, file)| place(option, file));
        slurm.daemon("munged", munged.iter().map(String::as_str).chain(["--foreground", "--force"]))?;
        slurm.wait_for("munge", || dir.join("munge").exists());
        slurm.daemon("slurmctld", ["-D", "-i"])?;
        slurm.daemon("slurmd", ["-D", "-N", "one"])?;
        slurm.wait_for("a node", || {
            let said = slurm.command("sinfo").args(["--noheader", "--format=%T"]).output();
            said.is_ok_and(|said| said.stdout.starts_with(b"idle"))
        });
        Ok(slurm)
    }

    fn daemon<'a>(&mut self, program: &str, args: impl IntoIterator<Item = &'a str>) -> io::Result<()> {
        let log = fs::File::create(self.dir.join(format!("{program}.log")))?;
        let mut command = self.command(program);
        command.args(args).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.daemons.push(command.spawn()?);
        Ok(())
    }

    /// A program of Slurm that speaks to this one.
    pub fn command(&self, program: &str) -> Command {
        let mut command = program_of_slurm(program);
        command.env("SLURM_CONF", self.dir.join("slurm.conf"));
        command
    }

    /// Let jobs that end with 75 end.
    ///
    /// # Panics
    /// If it does not take its configuration again.
    #[track_caller]
    pub fn queue_none_again(&self) {
        let path = self.dir.join("slurm.conf");
        let configuration = fs::read_to_string(&path).expect("there is one");
        fs::write(path, configuration.replace("RequeueExit=75\n", "")).expect("written");
        self.ask("scontrol", &["reconfigure"]);
    }

    /// What a program of Slurm answers.
    ///
    /// # Panics
    /// If it fails.
    #[track_caller]
    pub fn ask(&self, program: &str, args: &[&str]) -> String {
        let Output { status, stdout, stderr } = self.command(program).args(args).output().expect("it starts");
        assert!(status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8_lossy(&stdout).trim().to_owned()
    }

    /// Wait until something is so.
    ///
    /// # Panics
    /// If it is not within minutes; shows what the daemons have said.
    #[track_caller]
    pub fn wait_for(&self, what: &str, is_so: impl Fn() -> bool) {
        let began = Instant::now();
        while !is_so() {
            if began.elapsed() > PATIENCE {
                let logs = ["munged", "slurmctld", "slurmd"]
                    .map(|name| fs::read_to_string(self.dir.join(format!("{name}.log"))).unwrap_or_default());
                panic!("no {what}: {}", logs.join("\n"));
            }
            sleep(Duration::from_millis(50));
        }
    }

    /// Wait until a job has ended with success, however often it is run again.
    ///
    /// # Panics
    /// As [`Slurm::wait_for`], and if it ends otherwise.
    #[track_caller]
    pub fn wait_for_success(&self, job: &str) {
        self.wait_for(&format!("end of job {job}"), || {
            self.run_now(job);
            let about = self.about(job);
            let has_failed = ["FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL"].iter().any(|state| is_in(&about, state));
            assert!(!has_failed, "{about}");
            is_in(&about, "COMPLETED")
        });
    }

    /// Run a job at once that Slurm lets wait for two minutes before it is run again, if there is one.
    pub fn run_now(&self, job: &str) {
        if self.about(job).contains("JobState=PENDING Reason=BeginTime") {
            // a node does not start a job in the second in which it has ended it
            sleep(Duration::from_secs(2));
            self.ask("scontrol", &["update", &format!("JobId={job}"), "StartTime=now"]);
        }
    }

    /// Wait until a job is cancelled for good.
    ///
    /// # Panics
    /// As [`Slurm::wait_for`].
    #[track_caller]
    pub fn wait_for_cancelled(&self, job: &str) {
        self.wait_for(&format!("end of job {job}"), || is_in(&self.about(job), "CANCELLED"));
    }

    /// Times that a job was queued again.
    pub fn restarts(&self, job: &str) -> usize {
        let about = self.about(job);
        let count = about.split_once(" Restarts=").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
        count.unwrap_or_else(|| panic!("no restarts in {about}"))
    }

    fn about(&self, job: &str) -> String {
        self.ask("scontrol", &["--oneliner", "show", "job", job])
    }
}

impl Drop for Slurm {
    fn drop(&mut self) {
        let _ = quiet(self.command("scancel").args(["--full", "--signal=KILL", "--state=RUNNING"])).status();
        let is_busy = |_: &u8| {
            sleep(Duration::from_millis(100));
            let jobs = self.command("squeue").args(["--noheader", "--states=RUNNING,COMPLETING"]).output();
            jobs.is_ok_and(|jobs| !jobs.stdout.is_empty())
        };
        let _ = (0..50).take_while(is_busy).count();
        for daemon in self.daemons.iter_mut().rev() {
            let _ = daemon.kill().and_then(|()| daemon.wait());
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn is_in(about: &str, state: &str) -> bool {
    about.contains(&format!(" JobState={state} "))
}

/// Daemons lie where the path of most users does not lead.
fn program_of_slurm(name: &str) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(name);
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    command
}

fn quiet(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())
}

fn configuration(dir: &Path) -> io::Result<String> {
    // all are held until the last is chosen, so that they differ
    let ports = [(); 2].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
    let [control, node] = [&ports[0], &ports[1]].map(|port| Some(port.as_ref().ok()?.local_addr().ok()?.port()));
    let (control, node) = control.zip(node).ok_or(io::ErrorKind::AddrNotAvailable)?;
    let host = fs::read_to_string("/proc/sys/kernel/hostname")?;
    let host = host.trim();
    let host = host.split('.').next().unwrap_or(host);
    let (user, dir) = (fs::metadata(dir)?.uid(), dir.display());
    Ok(format!(
        "\
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={control}
SlurmdPort={node}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={dir}/munge
CryptoType=crypto/munge
StateSaveLocation={dir}/state
SlurmdSpoolDir={dir}/spool
SlurmctldPidFile={dir}/slurmctld.pid
SlurmdPidFile={dir}/slurmd.pid
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
JobRequeue=1
RequeueExit=75
KillWait=30
# a node may have fewer cores than it says, and jobs start at once
SlurmdParameters=config_overrides
SchedulerParameters=bf_interval=1,sched_min_interval=100000,batch_sched_delay=0
NodeName=one NodeHostname={host} NodeAddr=127.0.0.1 CPUs=8 State=UNKNOWN
PartitionName=all Nodes=one Default=YES MaxTime=UNLIMITED State=UP
"
    ))
}
