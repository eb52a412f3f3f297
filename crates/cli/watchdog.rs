//! ranks that watch each other → one that is lost is named, and all others end alike

use std::{
    process::ExitCode,
    thread::{self, sleep},
    time::Duration,
};

use anyhow::Result;
use itera_collective::{End, Watch, World};

use crate::{
    signals::GO_ON_LATER,
    talk::{self, say},
};

/// How long a rank that knows who is lost waits before it ends, as launchers end all others then: rank 0 says it first.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// How long MPI may take to end once all ranks have done their work.
const END_OF_MPI: Duration = Duration::from_secs(10);

/// Watch the other ranks, all of which do the same; with a limit of 0, do not.
pub fn start(world: &World, limit: Duration) -> Result<Option<Watch>> {
    if limit.is_zero() || world.size() == 1 {
        return Ok(None);
    }
    let (watch, alone) = Watch::start(world, limit, end)?;
    if !alone.is_empty() {
        let alone: Vec<String> = alone.iter().map(ToString::to_string).collect();
        say!("warning: no connection leads to rank 0 from rank {}: nobody notices if it hangs", alone.join(", "));
    }
    Ok(Some(watch))
}

/// End this process, whatever its other threads wait for.
fn end(End { why, code, speaks }: End) {
    match speaks {
        true => talk::insist(format_args!("error: {why}")),
        false => talk::record(&format!("error: {why}\n")),
    }
    sleep(LAST_WORDS);
    exit(code.unwrap_or(GO_ON_LATER.into()))
}

/// End this process, which has done all that it was to do, with its own code where MPI does not end within seconds, as one
/// may whose connections are closed in another order than it likes.
pub fn end_without_mpi(code: ExitCode) {
    thread::spawn(move || {
        sleep(END_OF_MPI);
        talk::record("MPI does not end, though all is done\n");
        exit((0..=u8::MAX).find(|number| ExitCode::from(*number) == code).map_or(1, i32::from))
    });
}

fn exit(code: i32) -> ! {
    #[cfg(unix)]
    signal_hook::low_level::exit(code);
    #[cfg(not(unix))]
    std::process::exit(code);
}
