//! Which instruction set is used: the best that was detected, or a lower one that was asked for.

use std::{cell::Cell, sync::OnceLock};

#[cfg(target_arch = "x86_64")]
use super::{Avx512Bf16, chains::pairs_are_faster, features};

/// Instruction sets with a body of their own, from the slowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What the build target guarantees.
    Portable,
    /// aarch64 with DotProd: dot products of bytes. All else is as portable.
    DotProd,
    /// x86-64 with AVX2, FMA and F16C.
    Avx2,
    /// x86-64 with AVX-512 F, VL, BW and DQ.
    Avx512,
    /// The same with BF16: dot products of pairs of bfloat16, at twice the speed of f32 on processors of AMD, at half of it on some
    /// of Intel.
    Avx512Bf16,
}

impl Level {
    /// The level to use where none is asked for: the best one, but that dot products of BF16, which are the same bits as two
    /// multiply-adds each, count only where they are found to be faster.
    pub fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        if Avx512Bf16::detected().is_some_and(|isa| !pairs_are_faster(isa)) {
            return Self::Avx512;
        }
        Self::detect()
    }

    /// The level of all that this processor has.
    fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            match (features!(avx2 detect), features!(avx512 detect), features!(avx512bf16 detect)) {
                (true, true, true) => return Self::Avx512Bf16,
                (true, true, false) => return Self::Avx512,
                (true, false, _) => return Self::Avx2,
                (false, ..) => {}
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

/// The level in use: [`asked_level`], or [`Level::best`].
pub fn level() -> Level {
    static LEVEL: OnceLock<Level> = OnceLock::new();
    if let Some(level) = FORCED.get() {
        return level;
    }
    *LEVEL.get_or_init(|| asked_level().ok().flatten().unwrap_or_else(Level::best))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_go_by_their_names_and_others_are_refused_with_a_list() {
        for level in Level::available() {
            assert_eq!(named(level.name()), Ok(level));
        }
        for asked in ["", "AVX2", "avx3", "avx512f"] {
            let error = named(asked).expect_err("refused").to_string();
            assert!(error.contains(&format!("{asked:?}")) && error.contains("portable"), "{error}");
        }
        assert!(Level::available().contains(&Level::best()));
        let other = if cfg!(target_arch = "aarch64") { "avx2" } else { "dotprod" };
        assert!(named(other).is_err());
    }
}
