//! Which form of an operator runs: that of its device, or its composite
//!
//! An operator has a composite and may have a file for a device; all hold a function of the operator's own name and
//! signature. Its public function checks shapes and ends in `dispatch!`.

use std::cell::Cell;

use crate::scoped::scoped;

/// `dispatch!(flex: x => op(args))` ends its function with `flex::op(args)` where the fused operators of that device serve
/// the tensor `x`, and elsewhere with `composite::op(args)`. `dispatch!(flex, cube: …)` has a form for two, and
/// `dispatch!(cube: …)` for the other.
macro_rules! dispatch {
    (flex: $x:expr => $op:ident $args:tt) => {{
        $crate::dispatch::on_flex!($x => $op $args);
        composite::$op $args
    }};
    (cube: $x:expr => $op:ident $args:tt) => {{
        $crate::dispatch::on_cube!($x => $op $args);
        composite::$op $args
    }};
    (flex, cube: $x:expr => $op:ident $args:tt) => {{
        $crate::dispatch::on_flex!($x => $op $args);
        $crate::dispatch::on_cube!($x => $op $args);
        composite::$op $args
    }};
}

macro_rules! on_flex {
    ($x:expr => $op:ident $args:tt) => {
        #[cfg(feature = "flex")]
        if $crate::dispatch::fused($x) == Some($crate::dispatch::Fused::Flex) {
            return flex::$op $args;
        }
    };
}

macro_rules! on_cube {
    ($x:expr => $op:ident $args:tt) => {
        #[cfg(feature = "cube")]
        if $crate::dispatch::fused($x) == Some($crate::dispatch::Fused::Cube) {
            return cube::$op $args;
        }
    };
}

pub(crate) use dispatch;
pub(crate) use on_cube;
pub(crate) use on_flex;

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

/// Devices with fused operators.
#[cfg(any(feature = "flex", feature = "cube"))]
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fused {
    #[cfg(feature = "flex")]
    Flex,
    /// All that CubeCL compiles for.
    #[cfg(feature = "cube")]
    Cube,
}

/// Whose fused operators compute in the type and on the device of `x`, unless this thread is inside [`only`].
#[cfg(any(feature = "flex", feature = "cube"))]
pub(crate) fn fused<const D: usize>(x: &burn::tensor::Tensor<D>) -> Option<Fused> {
    use burn::{backend::DispatchDevice, tensor::DType};
    if x.dtype() != DType::F32 || ONLY.get() {
        return None;
    }
    match x.device().inner().as_dispatch() {
        #[cfg(feature = "flex")]
        DispatchDevice::Flex(_) => Some(Fused::Flex),
        #[cfg(feature = "cube")]
        DispatchDevice::Cube(_) => Some(Fused::Cube),
        #[allow(unreachable_patterns, reason = "of the devices compiled in, all may be above")]
        _ => None,
    }
}
