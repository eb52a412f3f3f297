//! What is saved for backward: address of the storage → its owners; bytes of all storage
//!
//! When the last owner of the last storage is gone, every backward pass is over: the moment to trim the buffers.

use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex, PoisonError},
};

use crate::flex::buffers;

#[derive(Default)]
struct Ledger {
    bytes: usize,
    owners: HashMap<usize, usize>,
}

fn with_ledger<T>(f: impl FnOnce(&mut Ledger) -> T) -> T {
    static LEDGER: LazyLock<Mutex<Ledger>> = LazyLock::new(Mutex::default);
    f(&mut LEDGER.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Bytes of all storage that has an owner.
pub(crate) fn bytes() -> usize {
    with_ledger(|ledger| ledger.bytes)
}

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
