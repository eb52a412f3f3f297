//! What this processor is and what it can do: the numbers of `itera doctor`.
//!
//! ```text
//! CPUID, /proc → Cpu            FMA loop in registers → Gflops            STREAM triad in memory, a sum in cache → GbPerS
//! ```
//!
//! The measurements are the roof that kernels are judged by: no program computes faster than the first or
//! streams faster than the others.

mod bandwidth;
mod cpu;
mod peak;
mod reading;

use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

pub use bandwidth::measure_bandwidth;
pub use cpu::Cpu;
pub use peak::measure_peak;
pub use reading::measure_reading;

/// 10⁹ floating-point operations a second; a fused multiply-add is two.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Gflops(pub f64);

/// 10⁹ bytes a second.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct GbPerS(pub f64);

impl fmt::Display for Gflops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} GFLOP/s", self.0)
    }
}

impl fmt::Display for GbPerS {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} GB/s", self.0)
    }
}

/// Samples of a measurement.
const SAMPLES: usize = 9;

/// Wall time of running all `tasks` at once, a thread each.
fn time_together<F: FnOnce() + Send>(tasks: impl IntoIterator<Item = F>) -> Duration {
    let start = Instant::now();
    thread::scope(|scope| {
        for task in tasks {
            scope.spawn(task);
        }
    });
    start.elapsed()
}

/// How often something is to be repeated, `from` or more, for the repetitions to take `shortest` even in the best of several
/// samples, and how many seconds that one takes.
fn best_of_repeated(from: u64, shortest: Duration, time: impl Fn(u64) -> Duration) -> (u64, f64) {
    let mut count = from;
    loop {
        let seconds = best_seconds(|| time(count));
        if seconds >= shortest.as_secs_f64() {
            return (count, seconds);
        }
        count *= 2;
    }
}

/// The shortest of [`SAMPLES`] calls, in seconds: whatever else the machine does can only make one longer.
fn best_seconds(mut sample: impl FnMut() -> Duration) -> f64 {
    (0..SAMPLES).map(|_| sample()).min().expect("there are samples").as_secs_f64()
}
