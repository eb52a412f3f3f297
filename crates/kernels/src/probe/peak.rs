//! Peak arithmetic: independent fused multiply-adds that never leave the registers ([`chains`]).

use std::time::Duration;

use super::{Gflops, best_of_repeated, time_together};
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx512Bf16, chains_of_pairs};
use crate::{
    gemm::Operands,
    simd::{chains, simd},
};

/// Shortest sample: long enough that starting threads does not count.
const SAMPLE: Duration = Duration::from_millis(10);

/// GFLOP/s of fused multiply-adds of such `operands` on `threads` threads at once (at least one), at the level in use:
/// those of f32 where there are none for bfloat16.
///
/// The best of several samples of 10 to 20 ms each. Build with optimisation: a debug build measures itself.
pub fn measure_peak(operands: Operands, threads: usize) -> Gflops {
    let threads = threads.max(1);
    let time = |iterations| time_together((0..threads).map(|_| move || _ = multiply_adds(operands, iterations)));
    let (iterations, seconds) = best_of_repeated(1 << 14, SAMPLE, time);
    let flops = 2.0 * (multiply_adds(operands, 0) * threads) as f64 * iterations as f64;
    Gflops(flops / seconds / 1e9)
}

/// Iterations of all chains; returns the multiply-adds of one iteration.
fn multiply_adds(operands: Operands, iterations: u64) -> usize {
    #[cfg(target_arch = "x86_64")]
    if let (Operands::Bf16, Some(isa)) = (operands, Avx512Bf16::in_use()) {
        return chains_of_pairs(isa, iterations);
    }
    let _ = operands;
    of_numbers(iterations)
}

simd! {
    fn of_numbers<S>[isa](iterations: u64) -> usize {
        chains::<S, false>(isa, iterations)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_a_speed_with_any_operands_and_no_threads_means_one() {
        for operands in [Operands::F32, Operands::Bf16] {
            let peak = measure_peak(operands, 0);
            assert!(peak.0.is_finite() && peak.0 > 0.0, "{peak} of {operands:?}");
        }
    }
}
