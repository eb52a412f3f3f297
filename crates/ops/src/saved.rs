//! How activations are saved for the backward pass, and how many bytes of them are alive
//!
//! ```text
//! forward → Kept → ledger: storage → owners, bytes → saved_bytes()
//! ```

use std::{
    cell::Cell,
    collections::HashMap,
    sync::{LazyLock, Mutex, PoisonError},
};

use crate::buffers;

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
    with_ledger(|ledger| ledger.bytes)
}

#[derive(Default)]
struct Ledger {
    bytes: usize,
    owners: HashMap<usize, usize>,
}

fn with_ledger<T>(f: impl FnOnce(&mut Ledger) -> T) -> T {
    static LEDGER: LazyLock<Mutex<Ledger>> = LazyLock::new(Mutex::default);
    f(&mut LEDGER.lock().unwrap_or_else(PoisonError::into_inner))
}

#[cfg(feature = "flex")]
/// Note that one more owner keeps the `bytes` at `address` alive until it calls [`release`].
pub(crate) fn keep(address: usize, bytes: usize) {
    with_ledger(|ledger| {
        let owners = ledger.owners.entry(address).or_default();
        *owners += 1;
        if *owners == 1 {
            ledger.bytes += bytes;
        }
    });
}

#[cfg(feature = "flex")]
/// Undo one [`keep`]. When nothing is left, every backward pass is over.
pub(crate) fn release(address: usize, bytes: usize) {
    let nothing_left = with_ledger(|ledger| {
        if let Some(owners) = ledger.owners.get_mut(&address) {
            *owners -= 1;
            if *owners == 0 {
                ledger.owners.remove(&address);
                ledger.bytes -= bytes;
            }
        }
        ledger.owners.is_empty()
    });
    if nothing_left {
        buffers::trim();
    }
}
