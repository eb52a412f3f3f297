//! SIGINT, SIGTERM, SIGUSR1 → save and stop

use std::process::ExitCode;

use anyhow::{Context, Result};
use itera_trainer::StopFlag;

/// A flag that the signals raise. A second SIGINT or SIGTERM ends the program at once.
#[cfg(unix)]
pub fn stop_flag() -> Result<StopFlag> {
    use signal_hook::{
        consts::{SIGINT, SIGTERM, SIGUSR1},
        flag,
    };
    let stop = StopFlag::default();
    let raised = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // registered first, so that it sees the flag as the signal before left it
        flag::register_conditional_shutdown(signal, 128 + signal, raised.clone()).context("cannot handle signals")?;
        flag::register(signal, raised.clone()).context("cannot handle signals")?;
    }
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
