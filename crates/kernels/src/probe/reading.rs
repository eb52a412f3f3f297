//! How fast weights can be read: a working set of their size, again and again.
//!
//! ```text
//! Σ x over all elements, 128 sums side by side      from whichever cache holds that many bytes, or from memory
//! ```

use std::hint::black_box;
use std::time::Duration;

use super::{GbPerS, best_of_repeated, time_together};
use crate::simd::simd;

/// Sums that no addition waits for.
const SUMS: usize = 128;

/// Shortest sample.
const SAMPLE: Duration = Duration::from_millis(2);

/// GB/s at which one thread reads `bytes` bytes that it has read just before, in the best of several samples. What a
/// model of that size cannot decode faster than, if a token needs all of it.
pub fn measure_reading(bytes: usize) -> GbPerS {
    let x = vec![1.0f32; (bytes / size_of::<f32>()).next_multiple_of(SUMS).max(SUMS)];
    let time = |passes: u64| {
        time_together([|| {
            for _ in 0..passes {
                black_box(sum(black_box(&x)));
            }
        }])
    };
    let (passes, seconds) = best_of_repeated(1, SAMPLE, time);
    GbPerS(passes as f64 * size_of_val(x.as_slice()) as f64 / seconds / 1e9)
}

simd! {
    fn sum<S>(x: &[f32]) -> f32 {
        let mut sums = [0.0; SUMS];
        for x in x.chunks_exact(SUMS) {
            for (sum, x) in sums.iter_mut().zip(x) {
                *sum += x;
            }
        }
        sums.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_a_speed_and_reads_all() {
        for bytes in [0, 1000, 1 << 20] {
            let speed = measure_reading(bytes);
            assert!(speed.0.is_finite() && speed.0 > 0.0, "{speed} over {bytes} bytes");
        }
        let x: Vec<f32> = (0..3 * SUMS).map(|x| x as f32).collect();
        assert_eq!(sum(&x), (3 * SUMS * (3 * SUMS - 1) / 2) as f32);
    }
}
