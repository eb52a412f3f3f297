//! How activations are saved for the backward pass, and how many bytes of them are alive

use std::cell::Cell;

/// Type in which fused operators save activations for their backward pass. Arithmetic is in f32 either way, and so
/// are weights and the few numbers a row that backward divides by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SavedDtype {
    /// The activations themselves, shared with whoever else holds them.
    #[default]
    F32,
    /// A copy rounded to bfloat16: half the memory, a relative error of 2⁻⁹ in what backward reads.
    Bf16,
}

thread_local! {
    static SAVED_DTYPE: Cell<SavedDtype> = const { Cell::new(SavedDtype::F32) };
}

/// Run `forward` with activations saved as `dtype`, whatever was set around it.
///
/// It holds for the operators that `forward` calls on this thread. A device without fused operators ignores it.
pub fn with_saved_dtype<T>(dtype: SavedDtype, forward: impl FnOnce() -> T) -> T {
    struct Restore(SavedDtype);
    impl Drop for Restore {
        fn drop(&mut self) {
            SAVED_DTYPE.set(self.0);
        }
    }
    let _restore = Restore(SAVED_DTYPE.replace(dtype));
    forward()
}

/// The type that [`with_saved_dtype`] set.
pub fn saved_dtype() -> SavedDtype {
    SAVED_DTYPE.get()
}

/// Bytes that fused operators hold for backward passes which have not run yet, in the whole process. Storage that
/// several of them saved counts once, weights do not count.
pub fn saved_bytes() -> usize {
    #[cfg(feature = "flex")]
    return crate::ledger::bytes();
    #[cfg(not(feature = "flex"))]
    0
}
