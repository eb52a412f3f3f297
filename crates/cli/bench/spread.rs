//! measured values → the middle one, and how far apart they are

use std::time::Duration;

use serde::Serialize;

#[derive(Clone, Copy, Serialize)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    /// Of at least one value.
    pub fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_unstable_by(f64::total_cmp);
        let (low, high) = ((values.len() - 1) / 2, values.len() / 2);
        Self { median: (values[low] + values[high]) / 2.0, min: values[0], max: values[values.len() - 1] }
    }
}

pub fn ms(time: Duration) -> f64 {
    1e3 * time.as_secs_f64()
}
