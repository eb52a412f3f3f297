//! `itera bench`: what is measured, and how often, is said by whoever asks; medians count, and the spread says whether to
//! believe them.

mod model;
mod roofline;
mod timing;
mod train;

use std::{process::ExitCode, time::Duration};

use anyhow::Result;
use serde::Serialize;

use crate::args::{self, BenchWhat};

pub fn run(args: args::Bench) -> Result<ExitCode> {
    match (args.what, args.model) {
        (Some(BenchWhat::Train(args)), _) => train::run(args),
        (None, Some(model)) => model::run(model, args.run),
        (None, None) => unreachable!("clap asks for a path where there is no subcommand"),
    }
}

#[derive(Clone, Copy, Serialize)]
struct Spread {
    median: f64,
    min: f64,
    max: f64,
}

impl Spread {
    /// Of at least one value.
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_unstable_by(f64::total_cmp);
        let (low, high) = ((values.len() - 1) / 2, values.len() / 2);
        Self { median: (values[low] + values[high]) / 2.0, min: values[0], max: values[values.len() - 1] }
    }
}

fn ms(time: Duration) -> f64 {
    1e3 * time.as_secs_f64()
}
