//! the processes of a run: which micro-batches each has, and what all of them know

use std::{cell::Cell, ops::Range, time::Duration};

use itera_collective::{MpiError, World};

use crate::stop::{StopCause, StopFlag};

/// This process among those that train together; one that trains alone is rank 0 of 1.
///
/// Whatever decides how a run goes on is decided by each process for itself, from the same numbers. What one process alone
/// can see, a signal that it got or the end of its time, goes with every exchange.
pub(crate) struct Ranks<'a> {
    world: Option<&'a World>,
    stop: StopFlag,
    /// Why some process had to stop before the last exchange.
    told: Cell<Option<StopCause>>,
}

impl<'a> Ranks<'a> {
    /// The ranks of `world`, of which this process is asked to stop by `stop`.
    pub(crate) fn new(world: Option<&'a World>, stop: StopFlag) -> Self {
        Self { world: world.filter(|world| world.size() > 1), stop, told: Cell::new(None) }
    }

    /// What joins this process with others, if there are any.
    pub(crate) fn world(&self) -> Option<&'a World> {
        self.world
    }

    pub(crate) fn rank(&self) -> usize {
        self.world.map_or(0, World::rank)
    }

    pub(crate) fn size(&self) -> usize {
        self.world.map_or(1, World::size)
    }

    /// Begin a phase of `step`, which counts from 1, for other processes to see.
    pub(crate) fn begin(&self, phase: &'static str, step: u64) {
        if let Some(world) = self.world {
            world.beacon().begin(phase, step);
        }
    }

    /// How long this rank has waited since the last call for others to come to what all do together.
    pub(crate) fn take_waited(&self) -> Duration {
        self.world.map_or(Duration::ZERO, World::take_waited)
    }

    /// What `rank` has of so many micro-batches or replicas.
    pub(crate) fn share(&self, rank: usize, all: u64) -> Range<u64> {
        part_of(rank as u64, self.size() as u64, all)
    }

    /// The bytes of all ranks, in their order. All ranks call this.
    pub(crate) fn gather(&self, mut mine: Vec<u8>) -> Result<Vec<Vec<u8>>, MpiError> {
        let Some(world) = self.world else { return Ok(vec![mine]) };
        mine.push(StopCause::to_byte(self.stop.cause()));
        let mut all = world.allgather(&mine)?;
        let causes: Vec<StopCause> = all.iter_mut().filter_map(Vec::pop).filter_map(StopCause::from_byte).collect();
        self.told.set(causes.first().copied());
        Ok(all)
    }

    /// What asks this run to stop, the same for all ranks: that of the first that had a cause.
    pub(crate) fn asked_to_stop(&self) -> Option<StopCause> {
        if self.world.is_none() { self.stop.cause() } else { self.told.get() }
    }
}

/// Part number `part` of `all` that are shared out into `parts`: as many as others have, give or take one. There are none in
/// some where there are fewer than parts.
pub(crate) fn part_of(part: u64, parts: u64, all: u64) -> Range<u64> {
    let begin = |part: u64| (u128::from(all) * u128::from(part) / u128::from(parts)) as u64;
    begin(part)..begin(part + 1)
}

#[cfg(test)]
mod tests {
    use std::{sync::atomic::Ordering, thread, time::SystemTime};

    use super::*;
    use crate::stop::Signal;

    #[test]
    fn every_micro_batch_is_that_of_one_rank() {
        for size in 1..=9 {
            let worlds = World::of_threads(size);
            let ranks = Ranks::new(worlds.first(), StopFlag::default());
            for micro_batches in 0..=17 {
                let shares: Vec<_> = (0..size).map(|rank| ranks.share(rank, micro_batches)).collect();
                assert!(shares.iter().cloned().flatten().eq(0..micro_batches), "{shares:?}");
                let lengths = shares.iter().map(|share| share.end - share.start);
                assert!(lengths.clone().max() <= lengths.min().map(|least| least + 1), "{shares:?}");
            }
        }
    }

    #[test]
    fn what_stops_one_rank_stops_all_at_the_same_exchange() {
        let signal = Signal::new(15).map(StopCause::Signal);
        // the first rank that has a cause tells it: rank 1 by a signal, or rank 2 by its time
        for (raised, cause) in [(Some(15), signal), (None, Some(StopCause::TimeOver))] {
            thread::scope(|scope| {
                for world in World::of_threads(3) {
                    scope.spawn(move || {
                        let stop = StopFlag::default();
                        let ranks = Ranks::new(Some(&world), stop.clone());
                        assert_eq!(ranks.gather(vec![1, 2]).expect("all are there"), vec![vec![1, 2]; 3]);
                        assert_eq!(ranks.asked_to_stop(), None);
                        let over = || stop.clone().with_end(SystemTime::UNIX_EPOCH);
                        let ranks = if world.rank() == 2 { Ranks::new(Some(&world), over()) } else { ranks };
                        if let (1, Some(number)) = (world.rank(), raised) {
                            stop.cell().store(number, Ordering::Relaxed);
                        }
                        assert_eq!(ranks.asked_to_stop(), None, "others do not know of it yet");
                        assert_eq!(ranks.gather(vec![]).expect("all are there"), vec![Vec::<u8>::new(); 3]);
                        assert_eq!(ranks.asked_to_stop(), cause);
                    });
                }
            });
        }
    }
}
