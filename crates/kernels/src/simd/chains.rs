//! Independent fused multiply-adds that never leave the registers: what a processor can do at most.
//!
//! ```text
//! acc₀ … acc₁₁ ← acc · scale + shift, over and over                 f32
//! acc₀ … acc₁₁ ← acc + scale · shift + scale · shift                bfloat16, where there is an instruction for that
//! ```
//!
//! A core starts up to two vector FMAs a cycle and finishes each four cycles later, so at least eight must be in
//! flight; twelve accumulators leave room for both constants in the sixteen registers of AVX2.

use std::hint::black_box;
#[cfg(target_arch = "x86_64")]
use std::time::Instant;

#[cfg(target_arch = "x86_64")]
use super::{Avx512, Avx512Bf16, features};
use super::{Isa, Lanes};

/// Vector registers that accumulate.
const ACCUMULATORS: usize = 12;

/// Every accumulator tends to 1, far from numbers that are slow to handle.
const SCALE: f32 = 0.75;
const SHIFT: f32 = 0.25;

/// Accumulators start out different, so that the compiler cannot fold them into one.
#[inline(always)]
pub(crate) fn chains<S: Isa, const PAIRS: bool>(isa: S, iterations: u64) -> usize {
    let (scale, shift) = (isa.splat(SCALE), isa.splat(SHIFT));
    let mut accumulators = [isa.splat(0.0); ACCUMULATORS];
    for (i, accumulator) in accumulators.iter_mut().enumerate() {
        *accumulator = isa.splat(black_box(i as f32));
    }
    for _ in 0..iterations {
        for acc in &mut accumulators {
            // the bits of an f32 are two bfloat16, of which the upper is nearly the same number
            *acc = if PAIRS { isa.add_product(scale, shift, *acc) } else { acc.mul_add(scale, shift) };
        }
    }
    black_box(accumulators);
    ACCUMULATORS * S::Lanes::N * if PAIRS { 2 } else { 1 }
}

/// [`chains`] of dot products of pairs.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "calls what was compiled for a set that a token proves")]
pub(crate) fn chains_of_pairs(isa: Avx512Bf16, iterations: u64) -> usize {
    features! {
        avx512bf16 compile fn compiled(isa: Avx512Bf16, iterations: u64) -> usize {
            chains::<_, true>(isa, iterations)
        }
    }
    // SAFETY: the token proves that the processor has the features that the function is compiled for.
    unsafe { compiled(isa, iterations) }
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "calls what was compiled for a set that a token proves")]
fn chains_of_numbers(isa: Avx512, iterations: u64) -> usize {
    features! {
        avx512 compile fn compiled(isa: Avx512, iterations: u64) -> usize {
            chains::<_, false>(isa, iterations)
        }
    }
    // SAFETY: the token proves that the processor has the features that the function is compiled for.
    unsafe { compiled(isa, iterations) }
}

/// Whether dot products of pairs do more a second than multiply-adds of numbers, by the best of some samples of ten microseconds
/// each, taken in turns. Processors have them at twice the speed or at half of it, so nothing hangs on a tenth.
#[cfg(target_arch = "x86_64")]
pub(super) fn pairs_are_faster(isa: Avx512Bf16) -> bool {
    const ITERATIONS: u64 = 4096;
    let rate = |multiply_adds: &dyn Fn(u64) -> usize| {
        let began = Instant::now();
        multiply_adds(ITERATIONS) as f64 / began.elapsed().as_secs_f64()
    };
    let (mut of_pairs, mut of_numbers) = (0.0_f64, 0.0_f64);
    for _ in 0..8 {
        of_pairs = of_pairs.max(rate(&|iterations| chains_of_pairs(isa, iterations)));
        of_numbers = of_numbers.max(rate(&|iterations| chains_of_numbers(isa.into(), iterations)));
    }
    of_pairs > 1.1 * of_numbers
}
