//! SIGINT, SIGTERM, SIGUSR1, SIGHUP → save and stop

use std::process::ExitCode;

use anyhow::Result;
use itera_trainer::{Signal, StopFlag};

/// A flag that the signals raise. A second SIGINT ends the program at once; job managers send SIGTERM twice as a matter
/// of course, so a second one of those does not. A program that was started to outlive its terminal (`nohup`) does.
#[cfg(unix)]
pub fn stop_flag() -> Result<StopFlag> {
    use std::sync::{Arc, atomic::AtomicBool};

    use anyhow::Context;
    use itera_metrics::ignores_signal;
    use signal_hook::{
        consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1},
        flag,
    };
    let stop = StopFlag::default();
    let interrupted = Arc::new(AtomicBool::new(false));
    // registered first, so that it sees the flag as the signal before left it
    flag::register_conditional_shutdown(SIGINT, 128 + SIGINT, interrupted.clone()).context("cannot handle signals")?;
    flag::register(SIGINT, interrupted).context("cannot handle signals")?;
    // where nobody knows what the process was started to ignore, the signal is not handled
    let hangup = Some(SIGHUP).filter(|signal| ignores_signal(*signal) == Some(false));
    for signal in [SIGINT, SIGTERM, SIGUSR1].into_iter().chain(hangup) {
        flag::register_usize(signal, stop.cell(), signal as usize).context("cannot handle signals")?;
    }
    Ok(stop)
}

/// Waits for the signal that ends a server: SIGINT or SIGTERM.
#[cfg(all(unix, feature = "serve"))]
pub struct Stops(signal_hook::iterator::Signals);

#[cfg(all(unix, feature = "serve"))]
impl Stops {
    /// From now on these signals end nothing by themselves.
    pub fn new() -> Result<Self> {
        use anyhow::Context;
        use signal_hook::consts::{SIGINT, SIGTERM};
        Ok(Self(signal_hook::iterator::Signals::new([SIGINT, SIGTERM]).context("cannot handle signals")?))
    }

    /// Wait for one.
    pub fn wait(&mut self) {
        self.0.forever().next();
    }

    /// Let the next one end the process at once.
    pub fn end_at_the_next(self) {
        use std::process;
        let mut signals = self.0;
        std::thread::spawn(move || {
            if let Some(signal) = signals.forever().next() {
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
    pub fn new() -> Result<Self> {
        Ok(Self)
    }

    pub fn wait(&mut self) {
        loop {
            std::thread::park();
        }
    }

    pub fn end_at_the_next(self) {}
}

/// No signals to handle on this system.
#[cfg(not(unix))]
pub fn stop_flag() -> Result<StopFlag> {
    Ok(StopFlag::default())
}

/// 128 + the signal's number, as a shell reports it.
pub fn exit_code(signal: Signal) -> ExitCode {
    ExitCode::from(128 + signal.number())
}
