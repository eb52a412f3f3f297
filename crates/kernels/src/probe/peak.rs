//! Peak arithmetic: independent fused multiply-adds that never leave the registers.
//!
//! ```text
//! acc₀ … acc₁₁ ← acc · scale + shift, over and over                 f32
//! acc₀ … acc₁₁ ← acc + scale · shift + scale · shift                bfloat16, where there is an instruction for that
//! ```
//!
//! A core starts up to two vector FMAs a cycle and finishes each four cycles later, so at least eight must be in
//! flight; twelve accumulators leave room for both constants in the sixteen registers of AVX2.

use std::hint::black_box;
use std::time::Duration;

use super::{Gflops, best_of_repeated, time_together};
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx512Bf16, features};
use crate::{
    gemm::Operands,
    simd::{Isa, Lanes, simd},
};

/// Vector registers that accumulate.
const ACCUMULATORS: usize = 12;

/// Every accumulator tends to 1, far from numbers that are slow to handle.
const SCALE: f32 = 0.75;
const SHIFT: f32 = 0.25;

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
        return of_pairs(isa, iterations);
    }
    let _ = operands;
    of_numbers(iterations)
}

simd! {
    fn of_numbers<S>[isa](iterations: u64) -> usize {
        chains::<S, false>(isa, iterations)
    }
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "calls what was compiled for a set that a token proves")]
fn of_pairs(isa: Avx512Bf16, iterations: u64) -> usize {
    features! {
        avx512bf16 compile fn compiled(isa: Avx512Bf16, iterations: u64) -> usize {
            chains::<_, true>(isa, iterations)
        }
    }
    // SAFETY: the token proves that the processor has the features that the function is compiled for.
    unsafe { compiled(isa, iterations) }
}

/// Accumulators start out different, so that the compiler cannot fold them into one.
#[inline(always)]
fn chains<S: Isa, const PAIRS: bool>(isa: S, iterations: u64) -> usize {
    let (scale, shift) = (isa.splat(SCALE), isa.splat(SHIFT));
    let mut accumulators = [isa.splat(0.0); ACCUMULATORS];
    for (i, accumulator) in accumulators.iter_mut().enumerate() {
        *accumulator = isa.splat(black_box(i as f32));
    }
    for _ in 0..iterations {
        for acc in &mut accumulators {
            // the bits of an f32 are two bfloat16, of which the upper is nearly the same number
            *acc = if PAIRS { isa.add_pairs(scale, shift, *acc) } else { acc.mul_add(scale, shift) };
        }
    }
    black_box(accumulators);
    ACCUMULATORS * S::Lanes::N * if PAIRS { 2 } else { 1 }
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
