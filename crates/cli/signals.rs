//! SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGHUP → save and stop → exit code

use std::process::ExitCode;

use anyhow::Result;
use itera_trainer::{StopCause, StopFlag};

use crate::slurm;

/// Exit code of work that is saved and can go on, `EX_TEMPFAIL` of `sysexits.h`: Slurm queues a job again that ends with it,
/// where `RequeueExit` has it.
pub const GO_ON_LATER: u8 = 75;

/// Handles the signals that ask to stop, from before there is anything to save.
pub struct Stopping {
    flag: StopFlag,
    /// Whether a signal ends the process at once.
    #[cfg(unix)]
    nothing_to_save: std::sync::Arc<std::sync::atomic::AtomicBool>,
}

#[cfg(unix)]
impl Stopping {
    /// From now on a second SIGINT ends the program at once; job managers send SIGTERM twice as a matter of course, so a second
    /// one of those does not. A program that was started to outlive its terminal (`nohup`) does.
    ///
    /// A job of Slurm that has nothing to save yet ends at once too, and is to be queued again; others end as a signal ends
    /// programs.
    pub fn new() -> Result<Self> {
        use std::sync::{Arc, atomic::AtomicBool};

        use anyhow::Context;
        use itera_metrics::ignores_signal;
        use signal_hook::{
            consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2},
            flag::{register, register_conditional_default, register_conditional_shutdown, register_usize},
        };
        let handle = || -> std::io::Result<Self> {
            let stopping = Self { flag: StopFlag::default(), nothing_to_save: Arc::new(AtomicBool::new(true)) };
            let interrupted = Arc::new(AtomicBool::new(false));
            // what is registered first sees the flags as the signal before left them
            register_conditional_shutdown(SIGINT, 128 + SIGINT, interrupted.clone())?;
            register(SIGINT, interrupted)?;
            // where nobody knows what the process was started to ignore, the signal is not handled
            let hangup = Some(SIGHUP).filter(|signal| ignores_signal(*signal) == Some(false));
            for signal in [SIGINT, SIGTERM, SIGUSR1, SIGUSR2].into_iter().chain(hangup) {
                let at_once = stopping.nothing_to_save.clone();
                match slurm::is_job() {
                    true => register_conditional_shutdown(signal, GO_ON_LATER.into(), at_once)?,
                    false => register_conditional_default(signal, at_once)?,
                };
                register_usize(signal, stopping.flag.cell(), signal as usize)?;
            }
            Ok(stopping)
        };
        handle().context("cannot handle signals")
    }

    /// From now on signals raise the flag that is returned.
    pub fn flag(self) -> StopFlag {
        self.nothing_to_save.store(false, std::sync::atomic::Ordering::SeqCst);
        self.flag
    }
}

/// No signals to handle on this system.
#[cfg(not(unix))]
impl Stopping {
    pub fn new() -> Result<Self> {
        Ok(Self { flag: StopFlag::default() })
    }

    pub fn flag(self) -> StopFlag {
        self.flag
    }
}

/// Waits for the signals of a server: SIGINT or SIGTERM, which end it, and SIGHUP, at which it reads its files again.
#[cfg(all(unix, feature = "serve"))]
pub struct Stops(signal_hook::iterator::Signals);

#[cfg(all(unix, feature = "serve"))]
impl Stops {
    /// From now on these signals end nothing by themselves; SIGHUP is one of them if there are files to read again.
    pub fn new(with_files: bool) -> Result<Self> {
        use anyhow::Context;
        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
        let hangup = with_files.then_some(SIGHUP);
        let signals = [SIGINT, SIGTERM].into_iter().chain(hangup);
        Ok(Self(signal_hook::iterator::Signals::new(signals).context("cannot handle signals")?))
    }

    /// Wait for one that ends the server, and `reload` at every other.
    pub fn wait(&mut self, mut reload: impl FnMut()) {
        while self.0.forever().next() == Some(signal_hook::consts::SIGHUP) {
            reload();
        }
    }

    /// Let the next one that ends the server end the process at once.
    pub fn end_at_the_next(self) {
        use std::process;
        let mut signals = self.0;
        std::thread::spawn(move || {
            if let Some(signal) = signals.forever().find(|signal| *signal != signal_hook::consts::SIGHUP) {
                process::exit(128 + signal);
            }
        });
    }
}

/// No signals to handle on this system: the server ends with its process.
#[cfg(all(not(unix), feature = "serve"))]
pub struct Stops;

#[cfg(all(not(unix), feature = "serve"))]
impl Stops {
    pub fn new(_with_files: bool) -> Result<Self> {
        Ok(Self)
    }

    pub fn wait(&mut self, _reload: impl FnMut()) {
        loop {
            std::thread::park();
        }
    }

    pub fn end_at_the_next(self) {}
}

/// Of work that was stopped and is saved: in a job of Slurm the one at which it is queued again, elsewhere 128 + the number of
/// the signal, as a shell reports it.
pub fn exit_code(cause: StopCause) -> ExitCode {
    match cause {
        StopCause::Signal(signal) if !slurm::is_job() => ExitCode::from(128 + signal.number()),
        StopCause::Signal(_) | StopCause::TimeOver => ExitCode::from(GO_ON_LATER),
    }
}
