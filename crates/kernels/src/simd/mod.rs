//! One body, compiled for each instruction set; the best one is chosen at run time, so that a build needs no
//! `-C target-cpu`.
//!
//! ```text
//! simd! { fn f<S>(…) { body } }  →  Set::in_use() → Avx512 → body compiled for AVX-512
//!                                                   Avx2   → body compiled for AVX2, FMA and F16C
//!                                                   Base   → body compiled for what the build target guarantees
//! ```
//!
//! # Which form for which kernel
//!
//! | the kernel | what to write |
//! |---|---|
//! | a loop over slices that the compiler vectorises | `simd! { fn f<S>(x: &[f32]) { … } }` with the functions of `math` |
//! | sums that must stay in registers over many passes (gemm, scan) | `simd! { fn f<S>[isa](…) { … } }` with `isa.load`, `isa.splat` and the methods of [`Lanes`] |
//! | products of bytes, and instructions that only some sets have | a function for the set by [`features!`], called with its token |
//!
//! The first form is the default. It is portable, safe, and as fast as any other where every number is read, used and
//! written once. The compiler does not keep an array of a hundred accumulators in registers, though: it spills them
//! at every turn of a loop. That is what [`Lanes`] are for. The third form is for `crate::matvec`, whose kinds of block
//! are unpacked by shuffles that no loop expresses.
//!
//! # A token proves the instruction set
//!
//! A function with `#[target_feature]` is undefined behaviour on a processor without the feature, so Rust lets nobody
//! call it safely. [`Avx2`], [`Avx512`], [`Avx512Bf16`] and [`Vnni`] are values that only detection makes. Whoever holds
//! one may use the instructions: a vector can only be made from a token, so the methods of a vector are safe, and
//! what remains `unsafe` in a kernel is its pointers.
//!
//! # What to know when writing a body
//!
//! - **A helper is `#[inline(always)]` and generic over [`Isa`].** A function that is not inlined is compiled for the
//!   base set: it would pass vectors through memory and call a library for a fused multiply-add.
//! - **No closures around vectors or hot loops.** A body has no target feature; it is inlined into a function that has. Its
//!   closures are functions of their own for the base set, and stay that where `map` or `for_each` calls them: a sum of
//!   registers by `[0, 4, 8, 12].map(|i| …)` made the gradient of the scan a third slower. Loops say what is meant.
//! - **`S` decides only what is fused.** [`mul_add`] is one rounding where that is one instruction, and two elsewhere;
//!   all sets with fused multiply-add give the same bits.
//! - **`&mut` parameters stay parameters.** The compiler knows that two of them do not overlap; of two fields of a
//!   struct it does not, and then it tests at run time, or does not vectorise.
//!
//! # What was tried
//!
//! - A trait with the kernel as a type and its operands as fields (as `pulp` has it) would hold the features in one
//!   function instead of one macro. The operands lose their no-alias promise, see above.
//! - `std::simd` is not stable. Lanes of const-generic width on arrays do not stay in registers.
//! - A set of its own for 256 bits of AVX-512 gave nothing, except in `crate::matvec`, which does that by hand.
//!
//! On aarch64 the base set is the fast one: NEON with fused multiply-add is part of the architecture. Its [`Four`] lanes are
//! intrinsics there; of arrays of four the compiler made tiles whose edges add up one number at a time. A WebAssembly module
//! cannot ask what its host can do: its base set is what the build says, and is the only one.

mod chains;
mod compile;
mod isa;
mod lanes;
mod level;
mod math;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(not(target_arch = "aarch64"))]
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(crate) use chains::chains;
#[cfg(target_arch = "x86_64")]
pub(crate) use chains::chains_of_pairs;
pub(crate) use compile::{features, simd};
pub(crate) use isa::{Base, Isa, Set};
pub(crate) use lanes::{Lanes, MAX_LANES};
pub use level::{Level, NoSuchLevel, asked_level, level, with_level};
pub(crate) use math::{ROUND, exp, ln, mul_add, sigmoid, silu, silu_and_derivative, silu_derivative, softplus};
#[cfg(target_arch = "aarch64")]
pub(crate) use neon::Four;
#[cfg(not(target_arch = "aarch64"))]
pub(crate) use portable::Four;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512, Avx512Bf16, Vnni};

/// Ask for the cache lines of `x`, which will be read soon. Nothing happens where there is no such instruction.
#[inline(always)]
pub(crate) fn prefetch<T>(x: &[T]) {
    for line in x.chunks(64 / size_of::<T>()) {
        Base::prefetch(line.as_ptr().cast());
    }
}
