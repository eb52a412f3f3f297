//! Instruction sets as values: a token exists only where the processor was found to have the set.

#![expect(unsafe_code, reason = "loads take a pointer")]

#[cfg(target_arch = "x86_64")]
use super::{Avx2, Avx512, Level, level};
use super::{Four, Lanes};

/// An instruction set that bodies are compiled for. A value of it proves that the processor has the set.
pub(crate) trait Isa: Copy {
    /// Whether a fused multiply-add is one instruction.
    const FMA: bool;
    /// The widest vectors that loops use.
    type Lanes: Lanes;
    /// Registers that hold vectors: AVX-512 and NEON have 32.
    const REGISTERS: usize = if Self::Lanes::N == 16 || cfg!(target_arch = "aarch64") { 32 } else { 16 };

    /// `x` in every lane.
    fn splat(self, x: f32) -> Self::Lanes;

    /// As many floats as there are lanes.
    ///
    /// # Safety
    /// - `from` is valid for reads of [`Lanes::N`] floats, of any alignment.
    unsafe fn load(self, from: *const f32) -> Self::Lanes;

    /// The first `lanes` ≤ [`Lanes::N`] floats, then zeros.
    ///
    /// # Safety
    /// - `from` is valid for reads of `lanes` floats, of any alignment.
    unsafe fn load_part(self, from: *const f32, lanes: usize) -> Self::Lanes;

    /// The first `lanes` floats, any number of them, then zeros.
    ///
    /// # Safety
    /// - `from` is valid for reads of `lanes.min(N)` floats, of any alignment.
    #[inline(always)]
    unsafe fn load_up_to(self, from: *const f32, lanes: usize) -> Self::Lanes {
        // SAFETY: `load_part` reads `lanes` floats where these are fewer than N, `load` reads N elsewhere.
        unsafe { if lanes < Self::Lanes::N { self.load_part(from, lanes) } else { self.load(from) } }
    }

    /// `sum` + a·b, rounded once where a fused multiply-add is one instruction. Lanes of [`Avx512Bf16`](super::Avx512Bf16) are pairs of
    /// bfloat16, the first in its lower half: `sum` + a₁·b₁, and a₀·b₀ added to that.
    #[inline(always)]
    fn add_product(self, a: Self::Lanes, b: Self::Lanes, sum: Self::Lanes) -> Self::Lanes {
        a.mul_add(b, sum)
    }

    /// Ask for the cache line at an address, which need not exist, to read it soon.
    #[inline(always)]
    fn prefetch(address: *const f32) {
        hint::<READ>(address);
    }

    /// Ask for the cache line at an address, which need not exist, to write it soon.
    #[inline(always)]
    fn prefetch_to_write(address: *const f32) {
        hint::<WRITE>(address);
    }

    /// Ask for the cache line at an address, which need not exist, to have it in L2 when it is asked for again.
    #[inline(always)]
    fn prefetch_to_l2(address: *const f32) {
        hint::<L2>(address);
    }
}

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{_MM_HINT_ET0 as WRITE, _MM_HINT_T0 as READ, _MM_HINT_T1 as L2};
#[cfg(not(target_arch = "x86_64"))]
const READ: i32 = 0;
#[cfg(not(target_arch = "x86_64"))]
const WRITE: i32 = 1;
#[cfg(not(target_arch = "x86_64"))]
const L2: i32 = 2;

#[inline(always)]
fn hint<const HINT: i32>(address: *const f32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing, whatever its address, and every x86-64 processor has the instruction.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<HINT>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// What the build target guarantees.
#[derive(Clone, Copy)]
pub(crate) struct Base;

impl Isa for Base {
    const FMA: bool = cfg!(any(target_feature = "fma", target_arch = "aarch64"));
    type Lanes = Four;

    #[inline(always)]
    fn splat(self, x: f32) -> Four {
        Four::splat(x)
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> Four {
        // SAFETY: this contract.
        unsafe { Four::load(from) }
    }

    #[inline(always)]
    unsafe fn load_part(self, from: *const f32, lanes: usize) -> Four {
        let mut four = [0.0; 4];
        for (i, x) in four.iter_mut().enumerate().take(lanes) {
            // SAFETY: only the first `lanes` floats are read, which are there by this function's contract.
            *x = unsafe { from.add(i).read_unaligned() };
        }
        // SAFETY: these are four.
        unsafe { Four::load(four.as_ptr()) }
    }
}

/// The set that `simd!` bodies run on.
#[derive(Clone, Copy)]
pub(crate) enum Set {
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    Base(Base),
}

impl Set {
    /// The set of the [`level`] in use.
    #[inline(always)]
    pub(crate) fn in_use() -> Self {
        // a level is in use only if this processor was found to have it, so that these tokens tell the truth
        #[cfg(target_arch = "x86_64")]
        match level() {
            Level::Avx512Bf16 | Level::Avx512 => return Self::Avx512(Avx512(())),
            Level::Avx2 => return Self::Avx2(Avx2(())),
            _ => {}
        }
        Self::Base(Base)
    }
}
