//! Test support: deterministic numbers, comparison with a stated tolerance, awkward lengths, jobs of
//! several processes, by the MPIs and the Slurm of a machine.
//!
//! A test crate, so that several crates' tests can share it; it depends on nothing of the workspace.

mod mpi;
#[cfg(unix)]
mod slurm;

pub use mpi::{MPICH, MPIS, Mpi, OPEN_MPI};
#[cfg(unix)]
pub use slurm::Slurm;

/// Largest difference between f32 results of the same equations summed in another order, relative to the larger of 1
/// and the value: some hundred roundings of 2⁻²⁴.
pub const F32_REORDERED: f64 = 2e-5;

/// Lengths around a chunk of `q` positions: 1, q − 1, q, q + 1, and two and a bit chunks.
pub fn awkward_lengths(q: usize) -> [usize; 5] {
    [1, q - 1, q, q + 1, 2 * q + 3]
}

/// `len` numbers uniform in [low, high), a function of `seed` alone (SplitMix64, doi 10.1145/2660193.2660195).
pub fn uniform(len: usize, low: f32, high: f32, seed: u64) -> Vec<f32> {
    let mut state = seed;
    (0..len)
        .map(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^= z >> 31;
            low + (high - low) * (z >> 40) as f32 / (1u64 << 24) as f32
        })
        .collect()
}

/// Largest difference relative to the larger of 1 and the expected value. A length that differs, or a NaN, is ∞.
pub fn max_difference<E: Into<f64> + Copy>(found: &[f32], expected: &[E]) -> f64 {
    if found.len() != expected.len() {
        return f64::INFINITY;
    }
    let differences = found.iter().zip(expected).map(|(&found, &expected)| {
        let expected = expected.into();
        let difference = (f64::from(found) - expected).abs() / expected.abs().max(1.0);
        if difference.is_nan() { f64::INFINITY } else { difference }
    });
    differences.fold(0.0, f64::max)
}

/// Fail, naming `what`, if [`max_difference`] exceeds `tolerance`; how close it came is printed either way.
#[track_caller]
pub fn assert_close<E: Into<f64> + Copy>(what: &str, found: &[f32], expected: &[E], tolerance: f64) {
    let difference = max_difference(found, expected);
    println!("{what}: off by {difference:.2e}, allowed {tolerance:.2e}");
    assert!(difference <= tolerance, "{what}: off by {difference:.2e}, allowed {tolerance:.2e}");
}

/// Say that a test cannot run here, where a reader of the log sees it: past the test harness, which keeps what passing tests
/// print to itself.
///
/// # Panics
/// If everything has to run, which `ITERA_REQUIRE_ALL=1` says.
#[track_caller]
pub fn skip(reason: &str) {
    let place = std::panic::Location::caller();
    assert!(std::env::var_os("ITERA_REQUIRE_ALL").is_none_or(|asked| asked != "1"), "skipped: {reason}");
    // nothing is lost if nobody listens
    let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("skipped {place}: {reason}\n").as_bytes());
}

/// The texts of an error and of all its causes, as a program prints them: `cannot use a.json: it is not valid JSON: …`.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nan_or_a_missing_value_is_never_close() {
        assert_eq!(max_difference(&[f32::NAN], &[0.0f32]), f64::INFINITY);
        assert_eq!(max_difference(&[1.0], &[f32::NAN]), f64::INFINITY);
        assert_eq!(max_difference(&[1.0], &[1.0, 2.0]), f64::INFINITY);
        assert_eq!(max_difference(&[1.0, 30.0], &[1.0, 20.0]), 0.5);
    }

    #[test]
    fn numbers_are_in_range_and_depend_on_the_seed() {
        let numbers = uniform(1000, -2.0, 3.0, 1);
        assert!(numbers.iter().all(|x| (-2.0..3.0).contains(x)));
        assert!(numbers.iter().any(|x| *x < -1.5) && numbers.iter().any(|x| *x > 2.5));
        assert_ne!(numbers, uniform(1000, -2.0, 3.0, 2));
    }
}
