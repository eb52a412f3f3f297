//! a trial and its lease → a child process that trains → how it ended

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use itera_files::failed_to;

use crate::{error::Result, lease::Lease, record::TrialDir};

/// Time between looks at how far a trial is that is to pause.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Most lines, and bytes, of what a run has said before it failed.
const REASON_LINES: usize = 5;
const REASON_BYTES: u64 = 2000;

/// Exit code of a run that is saved and goes on when it is started again, in a job that is to be queued again.
const GO_ON_LATER: i32 = 75;

/// Why a worker has asked a run to save and stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// The worker is to stop.
    Stop,
    /// The trial's time is over.
    Minutes,
    /// It has come to the step at which trials are compared.
    Step,
    /// Another worker has the trial.
    Lost,
}

/// How a run ended.
#[derive(Debug, PartialEq)]
pub(crate) enum Ended {
    Finished,
    /// It goes on when it is started again.
    Saved,
    /// By a signal that this worker has not sent.
    Killed(i32),
    /// The last that it said.
    Failed(String),
}

/// A trial that this worker trains.
pub(crate) struct Attempt {
    /// Its number.
    pub trial: usize,
    pub dir: TrialDir,
    pub lease: Lease,
    pub asked: Option<Asked>,
    child: Kept,
    /// Closed when this process ends, however it does, which the child sees.
    heart: Option<ChildStdin>,
    /// Bytes of the log before this attempt.
    log_bytes: u64,
    began: Instant,
    /// Of the attempts before.
    pub held_before: Duration,
    /// Most that all attempts may take.
    pub limit: Option<Duration>,
    /// The step at which it pauses.
    pub pause_at: Option<u64>,
    looked: Instant,
}

impl Attempt {
    /// Start `command`, whose words go to the log of the trial.
    pub(crate) fn start(trial: usize, dir: TrialDir, mut lease: Lease, mut command: Command) -> Result<Self> {
        let path = dir.log();
        let open = || -> io::Result<(File, u64)> {
            let log = File::options().create(true).append(true).open(&path)?;
            let bytes = log.metadata()?.len();
            Ok((log, bytes))
        };
        let (log, log_bytes) = open().map_err(failed_to("open", &path))?;
        let again = log.try_clone().map_err(failed_to("open", &path))?;
        command.stdin(Stdio::piped()).stdout(log).stderr(again);
        let mut child = command.spawn().map_err(failed_to("start", Path::new(command.get_program())))?;
        let heart = child.stdin.take();
        let child = Kept(child);
        // from the first beat on it does something, and others wait for its end if this process dies
        lease.set_child(child.0.id())?;
        let (began, held_before) = (Instant::now(), Duration::ZERO);
        let (asked, limit, pause_at) = (None, None, None);
        let mut attempt = Self {
            trial,
            dir,
            lease,
            asked,
            child,
            heart,
            log_bytes,
            began,
            held_before,
            limit,
            pause_at,
            looked: began,
        };
        attempt.beat();
        Ok(attempt)
    }

    /// Renew the lease when that is due, ask the run to stop when it is to, and see whether it has ended.
    pub(crate) fn tick(&mut self) -> Result<Option<Ended>> {
        let path = self.dir.log();
        if let Some(status) = self.child.0.try_wait().map_err(failed_to("wait for the process that writes", &path))? {
            return Ok(Some(self.ended(status)?));
        }
        if self.lease.is_due() && self.asked != Some(Asked::Lost) {
            let began = Instant::now();
            match self.lease.renew() {
                Ok(true) if began.elapsed() < self.lease.interval() => self.beat(),
                Ok(true) => {}
                Ok(false) => {
                    // others may have it: at once, with no time to save
                    self.asked = Some(Asked::Lost);
                    self.child.0.kill().map_err(failed_to("end the process that writes", &path))?;
                }
                // a file system may have its moments; the next look tries again, until the lease is lost
                Err(_) => {}
            }
        }
        if self.asked.is_none() && self.limit.is_some_and(|limit| self.held() >= limit) {
            self.ask(Asked::Minutes);
        }
        if let Some(step) = self.pause_at.filter(|_| self.asked.is_none() && self.looked.elapsed() >= LOOK_EVERY) {
            self.looked = Instant::now();
            if self.dir.rows()?.last().is_some_and(|row| row.step >= step) {
                self.ask(Asked::Step);
            }
        }
        Ok(None)
    }

    /// Time that the trial took, that of earlier attempts included.
    pub(crate) fn held(&self) -> Duration {
        self.held_before + self.began.elapsed()
    }

    /// Tell the child that it may go on.
    fn beat(&mut self) {
        if let Some(heart) = &mut self.heart {
            // a child that has ended is seen as such
            let _ = heart.write_all(b".").and_then(|()| heart.flush());
        }
    }

    /// Ask the run to save and stop.
    pub(crate) fn ask(&mut self, why: Asked) {
        if self.asked.is_none() {
            self.asked = Some(why);
            #[cfg(unix)]
            if let Some(pid) = i32::try_from(self.child.0.id()).ok().and_then(rustix::process::Pid::from_raw) {
                // it may just have ended
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            }
            #[cfg(not(unix))]
            let _ = self.child.0.kill();
        }
    }

    fn ended(&self, status: ExitStatus) -> Result<Ended> {
        Ok(match (status.code(), self.asked) {
            (Some(0), _) => Ended::Finished,
            (Some(code), _) if code == GO_ON_LATER || is_request(code - 128) => Ended::Saved,
            // before there is anything to save, a signal ends it at once
            (None, asked) if asked.is_some() || is_request(signal(status)) => Ended::Saved,
            (Some(_), Some(_)) if cfg!(not(unix)) => Ended::Saved,
            (Some(code), _) => Ended::Failed(self.last_words(&format!("exit code {code}"))?),
            (None, _) => Ended::Killed(signal(status)),
        })
    }

    /// What the log says last of this attempt, or `otherwise`.
    pub(crate) fn last_words(&self, otherwise: &str) -> Result<String> {
        let path = self.dir.log();
        let read = || -> io::Result<Vec<u8>> {
            let mut log = File::open(&path)?;
            let from = self.log_bytes.max(log.metadata()?.len().saturating_sub(REASON_BYTES));
            log.seek(SeekFrom::Start(from))?;
            let mut bytes = Vec::new();
            log.take(REASON_BYTES).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let bytes = read().map_err(failed_to("read", &path))?;
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = lines[lines.len().saturating_sub(REASON_LINES)..].join("\n");
        Ok(if last.is_empty() { otherwise.to_owned() } else { last })
    }
}

/// A child that does not outlive what it belongs to.
struct Kept(Child);

impl Drop for Kept {
    fn drop(&mut self) {
        if !matches!(self.0.try_wait(), Ok(Some(_))) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// Whether this is the number of a signal at which runs save and stop.
#[cfg(unix)]
fn is_request(signal: i32) -> bool {
    use rustix::process::Signal;
    [Signal::HUP, Signal::INT, Signal::TERM, Signal::USR1, Signal::USR2].iter().any(|known| known.as_raw() == signal)
}

#[cfg(not(unix))]
fn is_request(_: i32) -> bool {
    false
}

#[cfg(unix)]
fn signal(status: ExitStatus) -> i32 {
    std::os::unix::process::ExitStatusExt::signal(&status).unwrap_or_default()
}

#[cfg(not(unix))]
fn signal(_: ExitStatus) -> i32 {
    0
}
