//! One body, compiled for each instruction set; the best one is chosen once, at run time.
//!
//! ```text
//! simd! { fn f<S>(x: &[f32]) { loop } } → f: level() → AVX-512 body | AVX2+FMA body | portable body
//! ```
//!
//! Bodies are plain loops over slices that the compiler vectorises for the instruction set it compiles them for. They
//! call the branch-free scalar functions below, generic over [`Isa`] because a fused multiply-add is one instruction
//! on some sets and a slow library call on others. A build needs no `-C target-cpu`.
//!
//! On aarch64 the portable body is the fast one: NEON with fused multiply-add is part of the base architecture. WebAssembly
//! cannot ask what there is: the portable body is compiled for what the build says, and is the only one.

use std::{cell::Cell, sync::OnceLock};

/// Instruction sets with a body of their own, from the slowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What the build target guarantees.
    Portable,
    /// aarch64 with DotProd: dot products of bytes. All else is as portable.
    DotProd,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// x86-64 with AVX-512 F, VL, BW and DQ.
    Avx512,
    /// The same with BF16: dot products of pairs of bfloat16, at twice the speed of f32 on some processors.
    Avx512Bf16,
}

impl Level {
    /// The best level of this processor.
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq");
            if avx2 && avx512 {
                return if is_x86_feature_detected!("avx512bf16") { Self::Avx512Bf16 } else { Self::Avx512 };
            }
            if avx2 {
                return Self::Avx2;
            }
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("dotprod") {
            return Self::DotProd;
        }
        Self::Portable
    }

    /// Every level that this processor can run, from the slowest.
    pub fn available() -> Vec<Self> {
        let all: &[Self] = match cfg!(target_arch = "aarch64") {
            true => &[Self::Portable, Self::DotProd],
            false => &[Self::Portable, Self::Avx2, Self::Avx512, Self::Avx512Bf16],
        };
        all.iter().copied().filter(|level| *level <= Self::detect()).collect()
    }

    /// The name by which `ITERA_SIMD` asks for this level.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::DotProd => "dotprod",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Avx512Bf16 => "avx512bf16",
        }
    }
}

/// The environment variable `ITERA_SIMD` names a level that this processor does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ITERA_SIMD is {asked:?}, which this processor lacks; it has {}", names(&Level::available()))]
pub struct NoSuchLevel {
    /// What the variable says.
    pub asked: String,
}

fn names(levels: &[Level]) -> String {
    levels.iter().map(|level| level.name()).collect::<Vec<_>>().join(", ")
}

/// The level that the environment variable `ITERA_SIMD` names (`avx512bf16`, `avx512`, `avx2`, `dotprod`, `portable`), if
/// it is set. A program asks once, before it computes: kernels have no way to tell of an error, and use the best level.
///
/// # Errors
/// If this processor does not have the level, or there is none of this name.
pub fn asked_level() -> Result<Option<Level>, NoSuchLevel> {
    std::env::var_os("ITERA_SIMD").map(|asked| named(&asked.to_string_lossy())).transpose()
}

fn named(asked: &str) -> Result<Level, NoSuchLevel> {
    let level = Level::available().into_iter().find(|level| level.name() == asked);
    level.ok_or_else(|| NoSuchLevel { asked: asked.to_owned() })
}

/// The level in use: [`asked_level`], or the best of this processor.
pub fn level() -> Level {
    static LEVEL: OnceLock<Level> = OnceLock::new();
    if let Some(level) = FORCED.get() {
        return level;
    }
    *LEVEL.get_or_init(|| asked_level().ok().flatten().unwrap_or_else(Level::detect))
}

thread_local! {
    static FORCED: Cell<Option<Level>> = const { Cell::new(None) };
}

/// Run `f` in a thread pool of its own, with every kernel in it at `level`: for tests and measurements. WebAssembly has no
/// threads and one level, so that there `f` just runs.
///
/// # Panics
/// If this processor does not have `level`.
pub fn with_level<T: Send>(level: Level, threads: usize, f: impl FnOnce() -> T + Send) -> T {
    assert!(Level::available().contains(&level), "this processor does not have {}", level.name());
    if cfg!(target_family = "wasm") {
        return f();
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).start_handler(move |_| FORCED.set(Some(level)));
    pool.build().expect("a small thread pool").install(f)
}

/// What a body may know about the instruction set it is compiled for.
pub(crate) trait Isa: Copy {
    /// Whether a fused multiply-add is one instruction.
    const FMA: bool;
}

/// The base set of the build target.
#[derive(Clone, Copy)]
pub(crate) struct Base;

impl Isa for Base {
    const FMA: bool = cfg!(any(target_feature = "fma", target_arch = "aarch64"));
}

/// A set with fused multiply-add.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(crate) struct Fused;

#[cfg(target_arch = "x86_64")]
impl Isa for Fused {
    const FMA: bool = true;
}

/// Define a function whose body is compiled for every [`Level`].
macro_rules! simd {
    ($(#[$meta:meta])* $vis:vis fn $name:ident<$isa:ident>($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        #[allow(unsafe_code, reason = "calls the body that was compiled for the level in use")]
        #[allow(clippy::too_many_arguments, reason = "a kernel takes its slices and its sizes")]
        $vis fn $name($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            #[allow(clippy::extra_unused_type_parameters, reason = "one form for all bodies")]
            fn body<$isa: $crate::simd::Isa>($($arg: $ty),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
            fn avx512($($arg: $ty),*) $(-> $ret)? {
                body::<$crate::simd::Fused>($($arg),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($arg: $ty),*) $(-> $ret)? {
                body::<$crate::simd::Fused>($($arg),*)
            }

            match $crate::simd::level() {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: `level` returned a level that this processor was found to have.
                $crate::simd::Level::Avx512Bf16 | $crate::simd::Level::Avx512 => unsafe { avx512($($arg),*) },
                #[cfg(target_arch = "x86_64")]
                // SAFETY: as above.
                $crate::simd::Level::Avx2 => unsafe { avx2($($arg),*) },
                _ => body::<$crate::simd::Base>($($arg),*),
            }
        }
    };
}
pub(crate) use simd;

/// Ask for the cache lines of `x`, which will be read soon. Nothing happens where there is no such instruction.
#[inline(always)]
#[cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "the prefetch instruction takes a pointer"))]
pub(crate) fn prefetch<T>(x: &[T]) {
    #[cfg(target_arch = "x86_64")]
    for line in x.chunks(64 / size_of::<T>()) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing, and every x86-64 processor has it.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = x;
}

/// `a·b + c`, fused where that is one instruction.
#[inline(always)]
pub(crate) fn mul_add<S: Isa>(a: f32, b: f32, c: f32) -> f32 {
    if S::FMA { a.mul_add(b, c) } else { a * b + c }
}

/// Adding 1.5·2²³ leaves the nearest integer in the low bits of the sum, for |x| < 2²².
pub(crate) const ROUND: f32 = 12_582_912.0;

/// eˣ to 1 ulp or so; arguments below −87.33 give exactly 0, so that no result is subnormal, those above 88.37 give ∞.
///
/// x = n·ln 2 + r with |r| ≤ ln 2 / 2; eʳ by its Taylor polynomial of degree 7 in Horner form, 2ⁿ by its bits.
#[inline(always)]
pub(crate) fn exp<S: Isa>(x: f32) -> f32 {
    const LOW: f32 = -87.33;
    const HIGH: f32 = 88.37;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let clamped = x.clamp(LOW, HIGH);
    let rounded = mul_add::<S>(clamped, std::f32::consts::LOG2_E, ROUND);
    let n = rounded - ROUND;
    let r = mul_add::<S>(n, -LN_2_LOW, mul_add::<S>(n, -LN_2_HIGH, clamped));
    let mut p = 1.0 / 5040.0;
    for c in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = mul_add::<S>(p, r, c);
    }
    let exponent = rounded.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127);
    let y = p * f32::from_bits(exponent << 23);
    let y = if x < LOW { 0.0 } else { y };
    if x > HIGH { f32::INFINITY } else { y }
}

/// σ(x) = 1 / (1 + e⁻ˣ).
#[inline(always)]
pub(crate) fn sigmoid<S: Isa>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<S>(-x))
}

/// x·σ(x).
#[inline(always)]
pub(crate) fn silu<S: Isa>(x: f32) -> f32 {
    x * sigmoid::<S>(x)
}

/// d silu(x) / dx = σ(x)·(1 + x·(1 − σ(x))).
#[inline(always)]
pub(crate) fn silu_derivative<S: Isa>(x: f32) -> f32 {
    let s = sigmoid::<S>(x);
    s * mul_add::<S>(x, 1.0 - s, 1.0)
}

/// [`silu`] and [`silu_derivative`] of one x, for the price of one exponential.
#[inline(always)]
pub(crate) fn silu_and_derivative<S: Isa>(x: f32) -> (f32, f32) {
    let s = sigmoid::<S>(x);
    let silu = x * s;
    (silu, mul_add::<S>(silu, 1.0 - s, s))
}

/// ln x for normal x > 0, to 2 ulp or so.
///
/// x = 2ᵉ·m with m in √½..√2; ln m = 2·atanh(s), s = (m − 1)/(m + 1), by its odd series to s⁹.
#[inline(always)]
pub(crate) fn ln<S: Isa>(x: f32) -> f32 {
    const SQRT_HALF_BITS: i32 = 0x3f35_04f3;
    let shifted = x.to_bits() as i32 - SQRT_HALF_BITS;
    let e = shifted >> 23;
    let m = f32::from_bits(((shifted & 0x007f_ffff) + SQRT_HALF_BITS) as u32);
    let s = (m - 1.0) / (m + 1.0);
    let s2 = s * s;
    let mut p = 2.0 / 9.0;
    for c in [2.0 / 7.0, 2.0 / 5.0, 2.0 / 3.0, 2.0] {
        p = mul_add::<S>(p, s2, c);
    }
    mul_add::<S>(e as f32, std::f32::consts::LN_2, p * s)
}

/// softplus(x) = ln(1 + eˣ), as max(x, 0) + ln(1 + e^−|x|).
#[inline(always)]
pub(crate) fn softplus<S: Isa>(x: f32) -> f32 {
    let small = exp::<S>(-x.abs());
    // ln(1 + u) loses u's low bits to the 1; (u − ((1 + u) − 1)) / (1 + u) gives them back
    let one_plus = 1.0 + small;
    let lost = small - (one_plus - 1.0);
    x.max(0.0) + (ln::<S>(one_plus) + lost / one_plus)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Scalar = fn(&[f32], &mut [f32]);

    macro_rules! over_slices {
        ($($name:ident),*) => { $(
            simd! { pub(super) fn $name<S>(x: &[f32], y: &mut [f32]) { for (x, y) in x.iter().zip(y) { *y = super::$name::<S>(*x); } } }
        )* };
    }
    mod slices {
        over_slices!(exp, sigmoid, silu, silu_derivative, softplus, ln);
    }

    /// Largest |fast − exact| / max(|exact|, floor) over `x`, at every level.
    fn worst(f: Scalar, exact: fn(f64) -> f64, x: &[f32], floor: f64) -> f64 {
        let mut worst: f64 = 0.0;
        for level in Level::available() {
            let mut y = vec![f32::NAN; x.len()];
            with_level(level, 1, || f(x, &mut y));
            for (&x, &y) in x.iter().zip(&y) {
                let exact = exact(f64::from(x));
                let error = (f64::from(y) - exact).abs() / exact.abs().max(floor);
                assert!(!error.is_nan(), "{x} at {level:?}");
                worst = worst.max(error);
            }
        }
        worst
    }

    fn grid(low: f32, high: f32) -> Vec<f32> {
        (0..=100_003).map(|i| low + (high - low) * i as f32 / 100_003.0).collect()
    }

    #[test]
    fn scalar_functions_are_exact_to_a_few_ulp() {
        let sigma = |x: f64| 1.0 / (1.0 + (-x).exp());
        let ulp = f64::from(f32::EPSILON);
        assert!(worst(slices::exp, f64::exp, &grid(-87.0, 88.3), 0.0) < 1.5 * ulp);
        assert!(worst(slices::sigmoid, sigma, &grid(-80.0, 80.0), 0.0) < 3.0 * ulp);
        assert!(worst(slices::silu, |x| x / (1.0 + (-x).exp()), &grid(-80.0, 80.0), 1e-30) < 3.0 * ulp);
        let derivative = |x: f64| {
            let s = 1.0 / (1.0 + (-x).exp());
            s * (1.0 + x * (1.0 - s))
        };
        // 1 − σ(x) is off by half an ulp of 1, and x multiplies it
        assert!(worst(slices::silu_derivative, derivative, &grid(-40.0, 40.0), 1.0) < 10.0 * ulp);
        assert!(
            worst(slices::softplus, |x| x.max(0.0) + (-x.abs()).exp().ln_1p(), &grid(-80.0, 80.0), 0.0) < 4.0 * ulp
        );
        assert!(worst(slices::ln, f64::ln, &grid(1e-3, 10.0), 1e-3) < 4.0 * ulp);
    }

    #[test]
    fn levels_go_by_their_names_and_others_are_refused_with_a_list() {
        for level in Level::available() {
            assert_eq!(named(level.name()), Ok(level));
        }
        for asked in ["", "AVX2", "avx3", "avx512f"] {
            let error = named(asked).expect_err("refused").to_string();
            assert!(error.contains(&format!("{asked:?}")) && error.contains("portable"), "{error}");
        }
        let other = if cfg!(target_arch = "aarch64") { "avx2" } else { "dotprod" };
        assert!(named(other).is_err());
    }

    #[test]
    fn exp_ends_cleanly() {
        let x = [-1e30, -100.0, -87.4, 0.0, 88.8, 1e30, f32::INFINITY, f32::NEG_INFINITY];
        let expected = [0.0, 0.0, 0.0, 1.0, f32::INFINITY, f32::INFINITY, f32::INFINITY, 0.0];
        for level in Level::available() {
            let mut y = [f32::NAN; 8];
            with_level(level, 1, || slices::exp(&x, &mut y));
            assert_eq!(y, expected, "{level:?}");
            let mut y = [0.0];
            with_level(level, 1, || slices::exp(&[f32::NAN], &mut y));
            assert!(y[0].is_nan(), "{level:?}");
        }
    }

    #[test]
    fn nothing_is_subnormal() {
        let x = grid(-110.0, -80.0);
        let mut y = vec![0.0; x.len()];
        slices::exp(&x, &mut y);
        assert!(y.iter().all(|y| *y == 0.0 || y.is_normal()));
    }
}
