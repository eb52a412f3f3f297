//! SIGINT, SIGTERM, SIGUSR1 → save and stop

use std::process::ExitCode;

use anyhow::{Context, Result};
use itera_trainer::StopFlag;

/// A flag that the signals raise. A second SIGINT ends the program at once; job managers send SIGTERM twice as a matter
/// of course, so a second one of those does not.
#[cfg(unix)]
pub fn stop_flag() -> Result<StopFlag> {
    use std::sync::{Arc, atomic::AtomicBool};

    use signal_hook::{
        consts::{SIGINT, SIGTERM, SIGUSR1},
        flag,
    };
    let stop = StopFlag::default();
    let interrupted = Arc::new(AtomicBool::new(false));
    // registered first, so that it sees the flag as the signal before left it
    flag::register_conditional_shutdown(SIGINT, 128 + SIGINT, interrupted.clone()).context("cannot handle signals")?;
    flag::register(SIGINT, interrupted).context("cannot handle signals")?;
    for signal in [SIGINT, SIGTERM, SIGUSR1] {
        flag::register_usize(signal, stop.cell(), signal as usize).context("cannot handle signals")?;
    }
    Ok(stop)
}

/// No signals to handle on this system.
#[cfg(not(unix))]
pub fn stop_flag() -> Result<StopFlag> {
    Ok(StopFlag::default())
}

/// 128 + the signal's number, as a shell reports it.
pub fn exit_code(signal: usize) -> ExitCode {
    ExitCode::from(128u8.saturating_add(signal as u8))
}
