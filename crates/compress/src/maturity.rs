//! metrics of a run → whether the run has learned what it can, and so may teach
//!
//! ```text
//! val_bpb │\
//!         │ \__
//!         │    \_____      fell by more than 10 % of itself here: still learning, so text is the better teacher
//!         │      ├───┤
//!         └──────────── steps
//!            last third
//! ```
//!
//! A model that learns from an unfinished run becomes as bad as that one, by as much as rounding costs worse; from text it
//! goes on learning. A run of the shape of `quickstart`, a minute old, falls by 15 % in its last third and loses 4 % with itself as
//! teacher; `tiny` falls by 6 % and loses less than with text.
//!
//! Where the rate falls to nothing every curve falls at its end. So a run that read 20 tokens a parameter, which is as many as are
//! worth their time (arXiv 2203.15556, table 3), teaches all the same.

use std::fmt;

use itera_config::Config;
use itera_metrics::StepRecord;
use serde::Serialize;

/// Most per cent that `val_bpb` may fall in the last third of the steps of a run that has learned what it can.
const MOST_PERCENT: f64 = 10.0;

/// Tokens a parameter after which a run has learned what it can, whatever its curve (arXiv 2203.15556, table 3).
const ENOUGH_TOKENS: f64 = 20.0;

/// How far the learning of a run has come.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Maturity {
    /// Fewer than two validations are on record.
    Unknown,
    /// The run ended before its last step, not because validation stopped improving.
    Stopped {
        /// Steps taken.
        step: u64,
        /// Steps that it was to take.
        steps: u64,
    },
    /// All steps were taken.
    Learned {
        /// By how much `val_bpb` fell in the last third of the steps, in per cent; negative if it rose.
        fall_percent: f64,
        /// Tokens read in training, those read again included, a parameter.
        tokens_per_param: f64,
    },
}

impl Maturity {
    /// Judge a run by its `metrics.jsonl`.
    pub(crate) fn of(rows: &[StepRecord], config: &Config) -> Self {
        let curve: Vec<(f64, f64)> = rows.iter().filter_map(|row| Some((row.step as f64, row.val_bpb?))).collect();
        let (step, steps) = (rows.last().map_or(0, |row| row.step), config.train.steps);
        match curve.as_slice() {
            [_, .., (last, bpb)] if step >= steps || config.eval.patience > 0 => {
                let before = at(&curve, last * 2.0 / 3.0);
                let tokens = rows.last().map_or(0, |row| row.tokens);
                let tokens_per_param = tokens as f64 / config.model.total_params() as f64;
                Self::Learned { fall_percent: 100.0 * (1.0 - bpb / before), tokens_per_param }
            }
            [_, _, ..] => Self::Stopped { step, steps },
            _ => Self::Unknown,
        }
    }

    /// Whether the run is a better teacher than text. One of which nothing is known is taken for it.
    pub fn is_ripe(&self) -> bool {
        match *self {
            Self::Unknown => true,
            Self::Stopped { .. } => false,
            Self::Learned { fall_percent, tokens_per_param } => {
                fall_percent <= MOST_PERCENT || tokens_per_param >= ENOUGH_TOKENS
            }
        }
    }
}

/// `curve` at `step`: between two points on the line through them, before the first as there.
fn at(curve: &[(f64, f64)], step: f64) -> f64 {
    let after = curve.partition_point(|(known, _)| *known < step);
    match (after.checked_sub(1).map(|before| curve[before]), curve.get(after)) {
        (Some((x0, y0)), Some((x1, y1))) => y0 + (y1 - y0) * (step - x0) / (x1 - x0),
        (Some((_, y)), None) | (None, Some(&(_, y))) => y,
        (None, None) => f64::NAN,
    }
}

impl fmt::Display for Maturity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("the run has no record of how it learned"),
            Self::Stopped { step, steps } => write!(f, "the run stopped at step {step} of {steps}"),
            Self::Learned { fall_percent, tokens_per_param } if fall_percent <= &MOST_PERCENT => write!(
                f,
                "val_bpb fell by {fall_percent:.1} % in the last third of the run, at most {MOST_PERCENT:.0} %, after \
                 {tokens_per_param:.1} tokens a parameter"
            ),
            Self::Learned { fall_percent, tokens_per_param } => {
                let limit = if self.is_ripe() { "at least" } else { "fewer than" };
                write!(
                    f,
                    "val_bpb fell by {fall_percent:.1} % in the last third of the run, more than {MOST_PERCENT:.0} %, after \
                     {tokens_per_param:.1} tokens a parameter, {limit} {ENOUGH_TOKENS:.0}"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(curve: &[(u64, f64)], steps: u64, patience: u64) -> Maturity {
        let mut config = Config::default();
        (config.train.steps, config.eval.patience) = (steps, patience);
        // rows between validations, and one after the last
        let row = |step, val_bpb| StepRecord { step, tokens: 2048 * step, val_bpb, ..StepRecord::default() };
        let rows: Vec<StepRecord> =
            curve.iter().flat_map(|(step, bpb)| [row(step - 1, None), row(*step, Some(*bpb))]).collect();
        Maturity::of(&rows, &config)
    }

    #[test]
    fn a_run_is_ripe_if_it_took_its_steps_and_hardly_learned_at_the_end() {
        let quickstart = [(200, 1.460), (400, 0.958), (600, 0.757), (800, 0.654), (1000, 0.612)];
        let tiny =
            [(250, 1.254), (500, 1.126), (750, 1.055), (1000, 1.003), (1250, 0.961), (1500, 0.934), (1750, 0.917)];
        let fall = |maturity: Maturity| match maturity {
            Maturity::Learned { fall_percent, .. } => (fall_percent * 10.0).round() / 10.0,
            other => panic!("{other:?}"),
        };
        let (young, old) = (judged(&quickstart, 1000, 0), judged(&tiny, 1750, 0));
        // at two thirds of the steps, between two validations, the curves are at 0.723 and 0.975
        assert_eq!((fall(young), fall(old)), (15.3, 5.9));
        assert!(!young.is_ripe() && old.is_ripe());
        let tokens_per_param = 2048.0 * 1750.0 / Config::default().model.total_params() as f64;
        assert!(matches!(old, Maturity::Learned { tokens_per_param: found, .. } if found == tokens_per_param));
        assert!(judged(&[(50, 1.0), (100, 1.2)], 100, 0).is_ripe(), "one that has begun to forget");

        // the rate fell to nothing, and so did the curve; what it read decides
        let annealed = |tokens_per_param| Maturity::Learned { fall_percent: 17.6, tokens_per_param };
        assert_eq!([19.9, 20.0].map(|tokens| annealed(tokens).is_ripe()), [false, true]);
        let said = "val_bpb fell by 17.6 % in the last third of the run, more than 10 %, after 32.5 tokens a parameter, at least 20";
        assert_eq!(annealed(32.5).to_string(), said);

        let stopped = judged(&tiny, 2000, 0);
        assert_eq!((stopped, stopped.is_ripe()), (Maturity::Stopped { step: 1750, steps: 2000 }, false));
        assert!(judged(&tiny, 2000, 3).is_ripe(), "validation did not improve any more");
        for curve in [&tiny[..1], &[]] {
            assert_eq!(judged(curve, 250, 0), Maturity::Unknown);
        }
    }
}
