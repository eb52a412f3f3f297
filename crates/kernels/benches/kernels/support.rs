//! Shapes with names, and what a call costs at least.

use std::fmt;

use divan::{
    Bencher, black_box,
    counter::{BytesCount, ItemsCount},
};

pub use itera_testkit::uniform;

/// Sizes by their letters; shown as `b8_l256_h8`.
#[derive(Clone, Copy)]
pub struct Shape<const N: usize>(pub [(&'static str, usize); N]);

impl<const N: usize> Shape<N> {
    /// The sizes, in the order in which they are named.
    pub fn sizes(&self) -> [usize; N] {
        self.0.map(|(_, size)| size)
    }
}

impl<const N: usize> fmt::Display for Shape<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, size)) in self.0.iter().enumerate() {
            write!(f, "{}{name}{size}", if index > 0 { "_" } else { "" })?;
        }
        Ok(())
    }
}

/// What one call must do, however it is written.
pub struct Work {
    /// f32 numbers read and written, each once.
    pub floats: usize,
    /// Floating-point operations.
    pub flops: usize,
}

/// Time `call`, whose operands lie where the call before left them, as they do in training.
pub fn bench<T>(bencher: Bencher<'_, '_>, work: Work, mut call: impl FnMut() -> T) {
    let bytes = BytesCount::new(work.floats * size_of::<f32>());
    bencher.counter(bytes).counter(ItemsCount::new(work.flops)).bench_local(|| black_box(call()));
}
