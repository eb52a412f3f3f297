//! how long each rank takes for its micro-batches → one that is slow
//!
//! All ranks wait for the slowest. What each takes for itself is told with every sum (`told.rs`), so that nothing more travels.

use std::time::Duration;

use crate::told::Told;

/// Steps that are compared as one. Two such windows in a row are enough to name a rank: within 15 steps from when it became
/// slow, wherever in a window that was.
const STEPS: u64 = 5;
/// How many times as long as the others a slow rank takes.
const SLOW: f64 = 1.3;
/// Windows before a rank is named again.
const QUIET: u64 = 200;

/// A rank that takes longer for a micro-batch than the others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slow {
    /// Its number.
    pub rank: usize,
    /// What it takes for a micro-batch.
    pub takes: Duration,
    /// What the other ranks take, at the median.
    pub others: Duration,
    /// Most of what it takes more: `data`, `forward` or `backward`.
    pub phase: &'static str,
}

/// Names of the parts of [`Told::work`].
const PHASES: [&str; 3] = ["data", "forward", "backward"];

/// Times of the ranks over a window.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    steps: u64,
    windows: u64,
    work: Vec<Work>,
    /// The slowest rank of the window before, if it was slow.
    before: Option<usize>,
    /// The last one that was named, and in which window.
    named: Option<(usize, u64)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Work {
    micro_batches: u32,
    times: [Duration; 3],
}

impl Work {
    /// For a micro-batch.
    fn each(&self) -> [Duration; 3] {
        self.times.map(|time| time / self.micro_batches)
    }
}

impl Pace {
    /// Count a step; a rank that has become slow, or is still.
    pub(crate) fn after_step(&mut self, told: &[Told]) -> Option<Slow> {
        self.work.resize(told.len(), Work::default());
        for (work, told) in self.work.iter_mut().zip(told) {
            work.micro_batches += told.losses.len() as u32;
            work.times.iter_mut().zip(told.work).for_each(|(sum, time)| *sum += time);
        }
        self.steps += 1;
        if !self.steps.is_multiple_of(STEPS) {
            return None;
        }
        let slow = slowest(&std::mem::take(&mut self.work));
        let rank = slow.map(|slow| slow.rank);
        let again = std::mem::replace(&mut self.before, rank) == rank;
        self.windows += 1;
        let is_quiet = self.named.is_some_and(|(named, at)| Some(named) == rank && self.windows - at < QUIET);
        let slow = slow.filter(|_| again && !is_quiet)?;
        self.named = Some((slow.rank, self.windows));
        Some(slow)
    }
}

/// The rank that takes the longest for a micro-batch, if that is much longer than the others do. Ranks without micro-batches
/// do not count.
fn slowest(work: &[Work]) -> Option<Slow> {
    let mut each: Vec<(usize, [Duration; 3])> = work
        .iter()
        .enumerate()
        .filter(|(_, work)| work.micro_batches > 0)
        .map(|(rank, work)| (rank, work.each()))
        .collect();
    each.sort_by_key(|(_, times)| times.iter().sum::<Duration>());
    let (rank, slow) = each.pop()?;
    let (_, others) = *each.get(each.len() / 2)?;
    let [takes, others_take] = [slow, others].map(|times| times.iter().sum::<Duration>());
    if takes < others_take.mul_f64(SLOW) {
        return None;
    }
    let more = slow.iter().zip(others).map(|(slow, other)| slow.saturating_sub(other));
    let (phase, _) = PHASES.into_iter().zip(more).max_by_key(|(_, more)| *more)?;
    Some(Slow { rank, takes, others: others_take, phase })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::losses::Losses;

    /// A step in which each rank has so many micro-batches, which take so many milliseconds each.
    fn step(ranks: &[(usize, [u64; 3])]) -> Vec<Told> {
        let told = |&(micro_batches, times): &(usize, [u64; 3])| Told {
            losses: vec![Losses::default(); micro_batches],
            norms: vec![],
            work: times.map(|ms| Duration::from_millis(ms * micro_batches as u64)),
        };
        ranks.iter().map(told).collect()
    }

    #[test]
    fn a_rank_that_becomes_slow_is_named_within_15_steps_and_then_left_alone() {
        let even = [(2, [1, 10, 20]), (3, [1, 10, 20]), (0, [0, 0, 0]), (2, [1, 10, 20])];
        let slow = [(2, [1, 10, 20]), (3, [30, 12, 20]), (0, [0, 0, 0]), (2, [1, 10, 20])];
        for fast_steps in 0..12 {
            let mut pace = Pace::default();
            (0..fast_steps).for_each(|_| assert_eq!(pace.after_step(&step(&even)), None));
            let named: Vec<(u64, Slow)> =
                (1..=900).filter_map(|at| pace.after_step(&step(&slow)).map(|slow| (at, slow))).collect();
            let [(at, found)] = named[..] else { panic!("{named:?}") };
            let [takes, others] = [62, 31].map(Duration::from_millis);
            assert_eq!(found, Slow { rank: 1, takes, others, phase: "data" });
            assert!((6..15).contains(&at), "named after {at} steps");
        }
    }

    #[test]
    fn what_is_slow_for_a_moment_or_alone_is_not_named() {
        let even = [(1, [1, 10, 20]), (1, [1, 10, 24])];
        let slow = [(1, [1, 10, 20]), (1, [1, 10, 90])];
        let mut pace = Pace::default();
        for at in 0..60 {
            // slow for five steps, even for as many
            let ranks = if at / 5 % 2 == 0 { &slow } else { &even };
            assert_eq!(pace.after_step(&step(ranks)), None, "step {at}");
        }
        let mut pace = Pace::default();
        (0..60).for_each(|_| assert_eq!(pace.after_step(&step(&slow[1..])), None));
    }
}
