//! processes that a launcher started → ranks that do one thing together
//!
//! ```text
//! together ─ World::join ─▶ Team ─ in_turns ─▶ what all need is prepared ─ work ─▶ the end of MPI, or of all processes
//! ```
//!
//! Rank 0 speaks and writes; the others are heard when they fail. One that fails ends all of them, since the others would
//! wait for it. One that cannot is noticed by the others (`watchdog.rs`).

use std::{
    fs,
    ops::RangeInclusive,
    process::{self, ExitCode},
    thread::{self, available_parallelism},
    time::Duration,
};

use anyhow::{Error, Result};
use itera_collective::{MpiError, Watch, World};
use itera_trainer::TrainError;

use crate::{failure, talk, watchdog};

/// Exit code of a program that failed, and of a Rust program that panicked.
const FAILED: i32 = 1;
const PANICKED: i32 = 101;

/// How long another rank waits before it says its error and ends all: rank 0 may have found the same, and says it first. So may
/// the watchdog, where MPI fails for a rank that is lost. A launcher on a busy machine takes a second and more to end all.
const COURTESY: Duration = Duration::from_secs(3);

/// How long a launcher may take to pass on what a rank has said; it loses what it has not when it ends all.
const PASSED_ON: Duration = Duration::from_millis(200);

/// This process among those that a launcher started together.
pub struct Team<'a> {
    world: &'a World,
    /// The host of each rank, and the cores that it may use.
    places: Vec<Place>,
}

#[derive(Clone, Debug, PartialEq)]
struct Place {
    host: String,
    /// Numbers of cores, as far as the system tells.
    cores: Vec<usize>,
}

/// Do `work`, with the others that a launcher started; without, if none did. A rank that is silent, or is waited for, for as
/// long as `watchdog` ends all.
pub fn together(watchdog: Duration, work: impl FnOnce(Option<&Team<'_>>) -> Result<ExitCode>) -> Result<ExitCode> {
    let Some(world) = watchdog::join(watchdog)? else { return work(None) };
    talk::speak_as(world.rank());
    let mut ends_all = EndsAll { world: &world, watch: None };
    let done = Team::new(&world).and_then(|team| {
        ends_all.watch = watchdog::start(&world, watchdog)?;
        work(Some(&team))
    });
    let watch = ends_all.watch.take();
    drop(ends_all);
    let done = match done {
        Err(error) if is_of_all(&error) => {
            if world.rank() == 0 {
                failure::tell(&error);
            }
            Ok(ExitCode::FAILURE)
        }
        Err(error) if !failure::is_broken_pipe(&error) => {
            if world.rank() > 0 || error.chain().any(<dyn std::error::Error>::is::<MpiError>) {
                thread::sleep(COURTESY);
            }
            failure::tell(&error);
            end_all(&world, watch, FAILED)
        }
        done => done,
    };
    world.beacon().begin_long("the end");
    world.barrier()?;
    watch.into_iter().for_each(Watch::leave);
    watchdog::end_without_mpi(done.as_ref().map_or(ExitCode::SUCCESS, |code| *code));
    world.finalize()?;
    done
}

/// End this process, which cannot begin what it is asked for, with all others that a launcher started for the same, or they
/// would wait for it. Rank 0 says why, unless it is another's fault alone.
pub fn refuse(code: i32, tell: impl FnOnce()) -> ! {
    let Ok(Some(world)) = World::join() else {
        tell();
        process::exit(code);
    };
    talk::speak_as(world.rank());
    if world.rank() > 0 {
        thread::sleep(COURTESY);
    }
    tell();
    end_all(&world, None, code)
}

/// End all ranks, by MPI or, if that does not, by the watchdog.
fn end_all(world: &World, watch: Option<Watch>, code: i32) -> ! {
    watch.into_iter().for_each(|watch| watch.fail(code));
    thread::sleep(PASSED_ON);
    world.abort(code)
}

/// Whether every rank has this error, from the same numbers, so that nobody waits.
fn is_of_all(error: &Error) -> bool {
    let is = |error: &TrainError| matches!(error, TrainError::RankDiffers { .. } | TrainError::NonFinite { .. });
    error.chain().any(|cause| cause.downcast_ref().is_some_and(is))
}

/// Ends all ranks when this one panics: MPI ends with all of them, and they would wait.
struct EndsAll<'a> {
    world: &'a World,
    watch: Option<Watch>,
}

impl Drop for EndsAll<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            end_all(self.world, self.watch.take(), PANICKED);
        }
    }
}

impl<'a> Team<'a> {
    fn new(world: &'a World) -> Result<Self> {
        let mine = Place { host: world.host()?, cores: cores() };
        let places = world.allgather(mine.to_text().as_bytes())?;
        let places = places.iter().map(|text| Place::from_text(&String::from_utf8_lossy(text))).collect();
        Ok(Self { world, places })
    }

    /// What joins the ranks.
    pub fn world(&self) -> &'a World {
        self.world
    }

    /// The host of each rank.
    pub fn hosts(&self) -> Vec<String> {
        self.places.iter().map(|place| place.host.clone()).collect()
    }

    /// Whether this rank speaks and writes for all.
    pub fn is_first(&self) -> bool {
        self.world.rank() == 0
    }

    /// Do `work` on rank 0 first, then on one rank of each other host, then on the others, which find what those before them
    /// left on disk, whether hosts share it or not. If it fails on one rank it is not begun on those whose turn comes later.
    /// A process that is no rank simply does it.
    pub fn in_turns<T>(team: Option<&Self>, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let Some(Self { world, places }) = team else { return work() };
        world.beacon().begin_long("the preparation");
        let rank = world.rank();
        let is_first_here = places.iter().position(|place| place.host == places[rank].host) == Some(rank);
        let turn = if rank == 0 {
            0
        } else if is_first_here {
            1
        } else {
            2
        };
        for _ in 0..turn {
            world.barrier()?;
        }
        let done = work()?;
        for _ in turn..2 {
            world.barrier()?;
        }
        Ok(done)
    }

    /// How many threads this rank gets where nobody says: its share of the cores that ranks of its host may use.
    pub fn threads(&self) -> usize {
        share_of_cores(&self.places, self.world.rank(), available_parallelism().map_or(1, usize::from))
    }

    /// How many ranks there are, where, and by what they are joined.
    pub fn describe(&self) -> String {
        let mut hosts: Vec<&str> = self.places.iter().map(|place| &place.host[..]).collect();
        hosts.sort_unstable();
        hosts.dedup();
        let place = if let [host] = hosts[..] { host.to_owned() } else { format!("{} hosts", hosts.len()) };
        let mpi = self.world.library().map_or("threads", |library| library.version());
        format!("{} on {place}, joined by {mpi}", self.world.size())
    }
}

impl Place {
    fn to_text(&self) -> String {
        let cores: Vec<String> = self.cores.iter().map(ToString::to_string).collect();
        format!("{}\n{}", self.host, cores.join(" "))
    }

    fn from_text(text: &str) -> Self {
        let (host, cores) = text.split_once('\n').unwrap_or((text, ""));
        Self { host: host.to_owned(), cores: cores.split(' ').flat_map(str::parse).collect() }
    }
}

/// A core that several ranks may use counts for each as a part; at least one core in all. `usable` is how many threads the
/// system lets this process run at once, which quotas may make fewer than it has cores.
fn share_of_cores(places: &[Place], rank: usize, usable: usize) -> usize {
    let mine = &places[rank];
    let here = || places.iter().filter(|place| place.host == mine.host);
    let equal = usable / here().count();
    let share = if mine.cores.len() == usable {
        let part = |core: &usize| 1.0 / here().filter(|place| place.cores.contains(core)).count() as f64;
        // a sum of thirds may fall short of the whole by its rounding
        (mine.cores.iter().map(part).sum::<f64>() + 1e-6) as usize
    } else {
        equal
    };
    share.max(1)
}

/// The cores that this process may use; empty where the system does not tell, as only Linux does.
fn cores() -> Vec<usize> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    list.map_or(vec![], |list| list.trim().split(',').flat_map(range).flatten().collect())
}

/// `3` or `0-7`.
fn range(text: &str) -> Option<RangeInclusive<usize>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some(first.parse().ok()?..=last.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(host: &str, cores: std::ops::Range<usize>) -> Place {
        Place { host: host.into(), cores: cores.collect() }
    }

    #[test]
    fn a_place_comes_as_it_was_sent() {
        for place in [place("node7", 2..5), place("this process", 0..0)] {
            assert_eq!(Place::from_text(&place.to_text()), place);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_system_tells_the_cores() {
        assert!(cores().len() >= available_parallelism().map_or(1, usize::from), "{:?}", cores());
        let lists = ["3", "0-2", "x", "4-"].map(|text| range(text).map(Iterator::collect::<Vec<_>>));
        assert_eq!(lists, [Some(vec![3]), Some(vec![0, 1, 2]), None, None]);
    }

    #[test]
    fn ranks_of_a_host_share_its_cores() {
        let threads = |places: &[Place], usable| -> Vec<usize> {
            (0..places.len()).map(|rank| share_of_cores(places, rank, usable)).collect()
        };
        assert_eq!(threads(&[place("a", 0..8)], 8), [8]);
        assert_eq!(threads(&[place("a", 0..8), place("a", 0..8), place("a", 0..8)], 8), [2; 3]);
        assert_eq!(threads(&[place("a", 0..6), place("a", 0..6), place("a", 0..6)], 6), [2; 3]);
        assert_eq!(threads(&[place("a", 0..8), place("b", 0..8)], 8), [8; 2], "each host has its own");
        assert_eq!(threads(&[place("a", 0..4), place("a", 4..8)], 4), [4; 2], "the launcher has bound them");
        assert_eq!(threads(&[place("a", 0..4), place("a", 0..4), place("a", 4..8), place("a", 4..8)], 4), [2; 4]);
        assert_eq!(threads(&[place("a", 0..2), place("a", 0..2), place("a", 0..2)], 2), [1; 3]);
        assert_eq!(threads(&[place("a", 0..64), place("a", 0..64)], 4), [2; 2], "a quota, which they share");
        assert_eq!(threads(&[place("a", 0..0), place("a", 0..0)], 6), [3; 2], "nobody knows the cores");
    }
}
