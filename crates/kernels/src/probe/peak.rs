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
use crate::gemm::Operands;

/// Vector registers that accumulate.
const ACCUMULATORS: usize = 12;

/// Every accumulator tends to 1, far from numbers that are slow to handle.
const SCALE: f32 = 0.75;
const SHIFT: f32 = 0.25;

/// Shortest sample: long enough that starting threads does not count.
const SAMPLE: Duration = Duration::from_millis(10);

/// An FMA loop compiled for one instruction set.
struct FmaLoop {
    instruction_set: &'static str,
    /// Multiply-adds of an instruction.
    lanes: usize,
    run: fn(iterations: u64),
}

/// GFLOP/s of fused multiply-adds of such `operands` on `threads` threads at once (at least one), with the
/// widest instructions found: those of f32 where there are none for bfloat16.
///
/// The best of several samples of 10 to 20 ms each. Build with optimisation: a debug build measures itself.
pub fn measure_peak(operands: Operands, threads: usize) -> Gflops {
    let threads = threads.max(1);
    let FmaLoop { lanes, run, .. } = FmaLoop::widest(operands);
    let time = |iterations| time_together((0..threads).map(|_| move || run(iterations)));

    let (iterations, seconds) = best_of_repeated(1 << 14, SAMPLE, time);
    let flops = 2.0 * (ACCUMULATORS * lanes * threads) as f64 * iterations as f64;
    Gflops(flops / seconds / 1e9)
}

/// Instruction set that [`measure_peak`] uses here: `AVX-512 BF16`, `AVX-512`, `AVX2+FMA`, `NEON` or `portable`.
pub fn peak_instruction_set(operands: Operands) -> &'static str {
    FmaLoop::widest(operands).instruction_set
}

impl FmaLoop {
    #[cfg_attr(
        any(target_arch = "x86_64", target_arch = "aarch64"),
        expect(unsafe_code, reason = "calls functions compiled for an instruction set that was just detected")
    )]
    #[cfg_attr(not(target_arch = "x86_64"), expect(unused_variables, reason = "one rate for both precisions"))]
    fn widest(operands: Operands) -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if operands == Operands::Bf16 && is_x86_feature_detected!("avx512bf16") {
                // SAFETY: the processor has AVX-512 BF16, and with it AVX-512F, checked on the line above.
                return Self { instruction_set: "AVX-512 BF16", lanes: 32, run: |n| unsafe { avx512_bf16(n) } };
            }
            if is_x86_feature_detected!("avx512f") {
                // SAFETY: the processor has AVX-512F, checked on the line above.
                return Self { instruction_set: "AVX-512", lanes: 16, run: |n| unsafe { avx512(n) } };
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                // SAFETY: the processor has AVX2 and FMA, checked on the line above.
                return Self { instruction_set: "AVX2+FMA", lanes: 8, run: |n| unsafe { avx2(n) } };
            }
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("neon") {
            // SAFETY: the processor has NEON, checked on the line above.
            return Self { instruction_set: "NEON", lanes: 4, run: |n| unsafe { neon(n) } };
        }
        Self { instruction_set: "portable", lanes: PORTABLE_LANES, run: portable }
    }
}

/// Defines `fn $name(iterations)` for one instruction set. Accumulators start out different, so that the compiler
/// cannot fold them into one.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! fma_loop {
    ($name:ident, $feature:literal, $splat:path, |$acc:ident, $scale:ident, $shift:ident| $fma:expr) => {
        #[target_feature(enable = $feature)]
        fn $name(iterations: u64) {
            let ($scale, $shift) = ($splat(SCALE), $splat(SHIFT));
            let mut accumulators = [$splat(0.0); ACCUMULATORS];
            for (i, accumulator) in accumulators.iter_mut().enumerate() {
                *accumulator = $splat(black_box(i as f32));
            }
            for _ in 0..iterations {
                for accumulator in &mut accumulators {
                    let $acc = *accumulator;
                    *accumulator = $fma;
                }
            }
            black_box(accumulators);
        }
    };
}

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m512, __m512bh, _mm256_fmadd_ps, _mm256_set1_ps, _mm512_dpbf16_ps, _mm512_fmadd_ps, _mm512_set1_ps,
};
#[cfg(target_arch = "x86_64")]
fma_loop!(avx512_bf16, "avx512bf16,avx512f", _mm512_set1_ps, |acc, scale, shift| {
    // the bits of an f32 are two bfloat16, of which the upper is nearly the same number
    _mm512_dpbf16_ps(acc, bfloat16(scale), bfloat16(shift))
});
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f")]
#[expect(unsafe_code, reason = "one register under two names")]
fn bfloat16(x: __m512) -> __m512bh {
    // SAFETY: both types are 512 bits without invalid values.
    unsafe { std::mem::transmute(x) }
}
#[cfg(target_arch = "x86_64")]
fma_loop!(avx512, "avx512f", _mm512_set1_ps, |acc, scale, shift| _mm512_fmadd_ps(acc, scale, shift));
#[cfg(target_arch = "x86_64")]
fma_loop!(avx2, "avx2,fma", _mm256_set1_ps, |acc, scale, shift| _mm256_fmadd_ps(acc, scale, shift));

#[cfg(target_arch = "aarch64")]
use std::arch::aarch64::{vdupq_n_f32, vfmaq_f32};
#[cfg(target_arch = "aarch64")]
fma_loop!(neon, "neon", vdupq_n_f32, |acc, scale, shift| vfmaq_f32(shift, acc, scale));

/// Width of the vectors that every 64-bit processor has.
const PORTABLE_LANES: usize = 4;

/// Multiply, then add: without a fused instruction, `mul_add` would be a library call.
fn portable(iterations: u64) {
    let mut accumulators: [[f32; PORTABLE_LANES]; ACCUMULATORS] =
        std::array::from_fn(|i| [black_box(i as f32); PORTABLE_LANES]);
    for _ in 0..iterations {
        for lane in accumulators.as_flattened_mut() {
            *lane = *lane * SCALE + SHIFT;
        }
    }
    black_box(accumulators);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_a_speed_of_the_chosen_instructions() {
        for operands in [Operands::F32, Operands::Bf16] {
            let peak = measure_peak(operands, 1);
            assert!(peak.0.is_finite() && peak.0 > 0.0, "{peak} with {}", peak_instruction_set(operands));
        }
    }

    #[test]
    fn no_threads_means_one() {
        assert!(measure_peak(Operands::F32, 0).0 > 0.0);
    }
}
