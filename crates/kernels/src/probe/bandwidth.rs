//! Memory bandwidth by the triad of STREAM (McCalpin, 1995).
//!
//! ```text
//! a ← b + 3·c      b, c read and a written once a pass, each array far larger than any cache
//! ```

use std::hint::black_box;

use super::{GbPerS, best_seconds, time_together};

/// Elements of each of the three arrays: 64 MiB, 192 MiB in all.
const ARRAY_LEN: usize = 1 << 24;

/// GB/s that `threads` threads (at least one) move between memory and themselves, in the best of several passes.
///
/// Counts as STREAM does: 12 bytes an element, two reads and a write. The line that a processor fetches before it
/// writes to it is not counted, so the wires carry up to a third more.
pub fn measure_bandwidth(threads: usize) -> GbPerS {
    measure_triad(threads.max(1), ARRAY_LEN)
}

fn measure_triad(threads: usize, len: usize) -> GbPerS {
    let [mut a, b, c] = [0.0f32, 1.0, 2.0].map(|value| vec![value; len]);
    let share = len.div_ceil(threads);
    let seconds = best_seconds(|| {
        let parts = a.chunks_mut(share).zip(b.chunks(share).zip(c.chunks(share)));
        time_together(parts.map(|(a, (b, c))| move || triad(a, b, c)))
    });
    black_box(a);
    GbPerS((3 * size_of::<f32>() * len) as f64 / seconds / 1e9)
}

fn triad(a: &mut [f32], b: &[f32], c: &[f32]) {
    for (a, (b, c)) in a.iter_mut().zip(b.iter().zip(c)) {
        *a = b + 3.0 * c;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_a_speed_however_the_array_is_cut() {
        for threads in [1, 2, 3] {
            let bandwidth = measure_triad(threads, 1_000_003);
            assert!(bandwidth.0.is_finite() && bandwidth.0 > 0.0, "{bandwidth} on {threads} threads");
        }
    }

    #[test]
    fn triad_computes_what_it_counts() {
        let mut a = [0.0; 3];
        triad(&mut a, &[1.0, 2.0, 3.0], &[10.0, 20.0, 30.0]);
        assert_eq!(a, [31.0, 62.0, 93.0]);
    }
}
