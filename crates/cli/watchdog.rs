//! ranks that watch each other → one that is lost is named, and all others end alike

use std::{thread::sleep, time::Duration};

use anyhow::Result;
use itera_collective::{End, Watch, World};

use crate::{
    signals::GO_ON_LATER,
    talk::{self, say},
};

/// How long a rank that knows who is lost waits before it ends, as launchers end all others then: rank 0 says it first.
const LAST_WORDS: Duration = Duration::from_millis(500);

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
    let code = code.unwrap_or(GO_ON_LATER.into());
    #[cfg(unix)]
    signal_hook::low_level::exit(code);
    #[cfg(not(unix))]
    std::process::exit(code);
}
