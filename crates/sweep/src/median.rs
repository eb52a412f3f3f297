//! validations at given steps → the cells that go on
//!
//! At each step of `median_stop`, once all trials have come as far, a cell is stopped whose mean over its seeds is worse than
//! the median of the means of all cells that have come there: the median rule of Vizier (Golovin et al. 2017,
//! doi 10.1145/3097983.3098043, section 3.2.2), with two differences. It waits for all, so that what it decides depends on
//! no clock and no order, and it stops all seeds of a cell or none, or the means of the others would be those of lucky seeds.

use crate::plan::Cell;

/// What is known of a trial.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Progress {
    /// Whether it has ended, other than by this rule.
    pub has_ended: bool,
    /// Whether it is left out: it has failed.
    pub has_failed: bool,
    /// The rung at which this rule has stopped it.
    pub stopped_at: Option<usize>,
    /// What it scored at each rung that it has come to; infinite for a score that is no number.
    pub scores: Vec<f64>,
}

/// A cell that goes no further.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stopped {
    pub cell: usize,
    pub rung: usize,
    pub mean: f64,
    pub median: f64,
}

/// Which cells are stopped, and the first rung that some trial has not come to that goes on; the number of rungs if there is
/// none.
pub(crate) fn decide(cells: &[Cell], progress: &[Progress], n_rungs: usize) -> (usize, Vec<Stopped>) {
    let mut stopped: Vec<Stopped> = Vec::new();
    for rung in 0..n_rungs {
        let goes_on = |cell: &usize| !stopped.iter().any(|stopped| stopped.cell == *cell);
        let there: Vec<usize> = (0..cells.len()).filter(goes_on).collect();
        let trials = |cell: usize| cells[cell].trials.iter().map(|trial| &progress[*trial]);
        let is_awaited = |trial: &Progress| {
            !trial.has_ended && !trial.has_failed && trial.stopped_at.is_none() && trial.scores.len() <= rung
        };
        if there.iter().any(|cell| trials(*cell).any(is_awaited)) {
            return (rung, stopped);
        }
        let mean = |cell: usize| {
            let scores = trials(cell).filter(|trial| !trial.has_failed).filter_map(|trial| trial.scores.get(rung));
            let scores: Vec<f64> = scores.copied().collect();
            (!scores.is_empty()).then(|| scores.iter().sum::<f64>() / scores.len() as f64)
        };
        let means: Vec<(usize, f64)> = there.iter().filter_map(|cell| Some((*cell, mean(*cell)?))).collect();
        let median = median(means.iter().map(|(_, mean)| *mean).collect());
        // what was decided stays, though the sweep may have grown since
        let was_stopped = |cell: usize| trials(cell).any(|trial| trial.stopped_at == Some(rung));
        let worse = means.into_iter().filter(|(cell, mean)| *mean > median || mean.is_infinite() || was_stopped(*cell));
        let worse: Vec<Stopped> = worse.map(|(cell, mean)| Stopped { cell, rung, mean, median }).collect();
        stopped.extend(worse);
    }
    (n_rungs, stopped)
}

/// The middle of some numbers, or the mean of the two in the middle; infinite for none.
fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_unstable_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    match numbers.len() {
        0 => f64::INFINITY,
        n if n % 2 == 1 => numbers[middle],
        _ => f64::midpoint(numbers[middle - 1], numbers[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cells of two seeds.
    fn cells(count: usize) -> Vec<Cell> {
        (0..count).map(|cell| Cell { values: vec![], trials: vec![2 * cell, 2 * cell + 1] }).collect()
    }

    fn at(scores: &[f64]) -> Progress {
        Progress { scores: scores.into(), ..Progress::default() }
    }

    fn stops(progress: &[Progress], n_rungs: usize) -> (usize, Vec<(usize, usize)>) {
        let (rung, stopped) = decide(&cells(progress.len() / 2), progress, n_rungs);
        (rung, stopped.iter().map(|stopped| (stopped.cell, stopped.rung)).collect())
    }

    #[test]
    fn cells_worse_than_the_median_stop_once_all_have_come_there() {
        // means 2, 1, 3
        let mut trials = [&[1.0][..], &[3.0], &[1.0], &[1.0], &[2.0], &[4.0]].map(at).to_vec();
        assert_eq!(stops(&trials, 2), (1, vec![(2, 0)]));
        let late = std::mem::take(&mut trials[3]);
        assert_eq!(stops(&trials, 2), (0, vec![]), "one is still on its way");
        trials[3] = Progress { has_failed: true, ..late };
        assert_eq!(stops(&trials, 2), (1, vec![(2, 0)]), "nobody waits for one that has failed");

        // of the two that go on, at the second rung
        for (trial, score) in [(0, 1.5), (1, 1.5), (2, 0.9), (3, 0.9)] {
            trials[trial].scores = vec![trials[trial].scores.first().copied().unwrap_or(1.0), score];
        }
        assert_eq!(stops(&trials, 2), (2, vec![(2, 0), (0, 1)]));
    }

    #[test]
    fn equal_cells_go_on_and_what_is_no_number_does_not() {
        assert_eq!(stops(&vec![at(&[1.0]); 6], 1), (1, vec![]));
        let trials = [1.0, 1.0, 1.0, f64::INFINITY].map(|score| at(&[score]));
        assert_eq!(stops(&trials, 1), (1, vec![(1, 0)]));
        let ended = Progress { has_ended: true, ..at(&[5.0]) };
        let trials = [at(&[1.0, 1.0]), at(&[1.0, 1.0]), ended.clone(), ended];
        assert_eq!(stops(&trials, 2), (2, vec![(1, 0)]), "one that has ended is compared as far as it came");
    }

    #[test]
    fn what_was_decided_stays_when_worse_cells_come() {
        let mut trials = [1.0, 1.0, 2.0, 2.0, 9.0, 9.0].map(|score| at(&[score])).to_vec();
        assert_eq!(stops(&trials, 1), (1, vec![(2, 0)]));
        trials[2].stopped_at = Some(0);
        assert_eq!(stops(&trials, 1), (1, vec![(1, 0), (2, 0)]));
    }
}
