//! Which form of an operator runs: that of its device, or its composite
//!
//! An operator has a composite and may have a file for a device; both hold a function of the operator's own name and
//! signature. Its public function checks shapes and ends in `dispatch!`.

use std::cell::Cell;

use crate::scoped::scoped;

/// `dispatch!(x => op(args))` is `flex::op(args)` where fused operators serve the tensor `x`, and elsewhere
/// `composite::op(args)`.
#[cfg(feature = "flex")]
macro_rules! dispatch {
    ($x:expr => $op:ident($($arg:expr),* $(,)?)) => {
        if $crate::dispatch::fused($x) { flex::$op($($arg),*) } else { composite::$op($($arg),*) }
    };
}

#[cfg(not(feature = "flex"))]
macro_rules! dispatch {
    ($x:expr => $op:ident($($arg:expr),* $(,)?)) => {
        composite::$op($($arg),*)
    };
}

pub(crate) use dispatch;

thread_local! {
    static ONLY: Cell<bool> = const { Cell::new(false) };
}

/// Run `f` with the composite of every operator in the place of its fused form, on any device: for tests and
/// comparisons.
///
/// It holds for the operators that `f` calls on this thread. They have composite backward passes, whenever those run.
pub fn only<T>(f: impl FnOnce() -> T) -> T {
    scoped(&ONLY, true, f)
}

/// Whether fused operators compute in the type and on the device of `x`, and this thread is not inside [`only`].
#[cfg(feature = "flex")]
pub(crate) fn fused<const D: usize>(x: &burn::tensor::Tensor<D>) -> bool {
    use burn::tensor::{DType, Device};
    x.dtype() == DType::F32 && x.device() == Device::flex() && !ONLY.get()
}
