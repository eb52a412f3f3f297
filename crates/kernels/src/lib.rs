//! CPU kernels: slices in, slices out.
//!
//! ```text
//! slices → tasks of TASK_LEN elements → rayon → results joined in a fixed order
//! ```
//!
//! The shape of the work depends on the length of the data alone, so every kernel returns the same bits whatever
//! the number of threads. Each has a slow twin in [`mod@reference`] that is obviously right. This is the one crate
//! with `unsafe` code, all of it in calls to functions compiled for an instruction set that was just detected.

pub mod adamw;
pub mod attention;
pub mod bf16;
#[cfg(test)]
mod check;
pub mod columns;
pub mod conv;
pub mod cross_entropy;
pub mod decode;
pub mod distillation;
pub mod embedding;
pub mod gated_norm;
pub mod gelu;
pub mod gemm;
pub mod layer_norm;
pub mod matvec;
pub mod memory;
pub mod mlp;
pub mod moe;
pub mod muon;
pub mod norm;
pub mod probe;
pub mod quant;
pub mod reference;
pub mod rms_norm;
pub mod scan;
mod scratch;
mod shared;
pub mod simd;
mod softmax;
pub mod stored;
mod sums;
pub mod vector;

/// Elements that one task handles: 64 KiB of `f32`, small enough for a core's L2 and large enough to hide the
/// cost of scheduling it.
pub const TASK_LEN: usize = 1 << 14;

#[cfg(test)]
mod test_data {
    use crate::{
        TASK_LEN, bf16,
        simd::{level, with_level},
    };

    /// Lengths around everything that a kernel cuts its work into.
    pub(crate) const AWKWARD_LENGTHS: [usize; 11] =
        [0, 1, 7, 15, 16, 17, 4099, TASK_LEN - 1, TASK_LEN, TASK_LEN + 1, 3 * TASK_LEN + 5];

    /// `n` numbers spread over [−1, 1), a function of `seed`.
    pub(crate) fn uniform(n: usize, seed: u64) -> Vec<f32> {
        itera_testkit::uniform(n, -1.0, 1.0, seed)
    }

    /// The shapes of a test, or those few that an interpreter gets through.
    pub(crate) fn shapes<T>(all: &'static [T], under_miri: &'static [T]) -> &'static [T] {
        if cfg!(miri) { under_miri } else { all }
    }

    /// `x` rounded to bfloat16: as it is stored, and the numbers that this stands for.
    pub(crate) fn rounded(x: &[f32]) -> (Vec<u16>, Vec<f32>) {
        let (mut stored, mut numbers) = (vec![0; x.len()], vec![0.0; x.len()]);
        bf16::narrow(x, &mut stored);
        bf16::widen(&stored, &mut numbers);
        (stored, numbers)
    }

    /// The value of `f` under a pool of each of 1, 2, 3 and 4 threads.
    pub(crate) fn for_thread_counts<T: Send>(f: impl Fn() -> T + Sync) -> Vec<T> {
        (1..=4).map(|threads| with_level(level(), threads, &f)).collect()
    }
}
