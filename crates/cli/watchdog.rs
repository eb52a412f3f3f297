//! ranks that watch each other → one that is lost is named, and all others end alike

use std::{
    process::ExitCode,
    sync::mpsc::{self, RecvTimeoutError},
    thread::{self, sleep},
    time::Duration,
};

use anyhow::Result;
use itera_collective::{End, Launch, MpiError, Watch, World};

use crate::{
    signals::GO_ON_LATER,
    talk::{self, say},
};

/// How long a rank that knows who is lost waits before it ends, as launchers end all others then: rank 0 says it first.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// How long MPI may take to end once all ranks have done their work.
const END_OF_MPI: Duration = Duration::from_secs(10);

/// [`World::join`], which all ranks have to come to: where that takes longer than `limit`, this process ends. A limit of 0 is
/// none.
pub fn join(limit: Duration) -> Result<Option<World>, MpiError> {
    let Some(launch) = Launch::of_this_process().filter(|_| !limit.is_zero()) else { return World::join() };
    let (_joined, is_joined) = mpsc::channel::<()>();
    thread::spawn(move || {
        if is_joined.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            give_up(launch, limit);
        }
    });
    World::join()
}

/// Rank 0 says first that MPI waits for somebody, at which launchers end the others.
fn give_up(Launch { launcher, rank, size }: Launch, limit: Duration) -> ! {
    if rank.is_some_and(|rank| rank > 0) {
        sleep(LAST_WORDS * 2);
    }
    let number = |number: Option<usize>| number.map_or_else(|| "?".to_owned(), |number| number.to_string());
    talk::insist(format_args!(
        "error: MPI has not joined rank {} of {}, started by {launcher}, with the others within {}\n\
         hint: one of them has not begun, or a firewall is between their hosts; `itera launch -n N -- doctor --cluster` names \
         hosts, and --watchdog is how long to wait",
        number(rank),
        number(size),
        humantime::format_duration(limit)
    ));
    sleep(LAST_WORDS);
    exit(GO_ON_LATER.into())
}

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
