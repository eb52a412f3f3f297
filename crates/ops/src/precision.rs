//! In which type fused operators multiply matrices, and save what their backward passes read

use std::cell::Cell;

use itera_shape::Precision;

use crate::scoped::scoped;

/// The precision of one operator.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(not(any(feature = "flex", feature = "cube")), expect(dead_code, reason = "fused operators alone read it"))]
pub(crate) struct Precisions {
    /// Of products, forward and backward.
    pub(crate) products: Precision,
    /// Of what forward saves.
    pub(crate) saved: Precision,
}

thread_local! {
    static PRECISIONS: Cell<Precisions> = const {
        Cell::new(Precisions { products: Precision::F32, saved: Precision::F32 })
    };
}

/// Run `forward` in `precision`, whatever was set around it.
///
/// In bf16 fused operators round what PyTorch's autocast rounds, by 2⁻⁸ of it at most, in f16 by 2⁻¹¹ of it or by 2⁻²⁵: the
/// operands of the products of linear layers, attention, MLPs, the head and Muon, and the copies of activations
/// that are saved, at half the memory. In f32 saved activations are shared with whoever else holds them. Sums are in f32
/// either way, and so are weights, the router, softmaxes, the scan, and the few numbers a row that backward divides by. On a GPU
/// attention, experts but the shared one, and Muon stay in f32.
///
/// It holds for the operators that `forward` calls on this thread, and for their backward passes wherever they run. Which
/// precisions a device has, [`expect_precision`](crate::device::expect_precision) says.
///
/// # Panics
/// The operators of a device do, in a precision that it does not have.
pub fn with_precision<T>(precision: Precision, forward: impl FnOnce() -> T) -> T {
    with_precisions(Precisions { products: precision, saved: precision }, forward)
}

pub(crate) fn with_precisions<T>(precisions: Precisions, forward: impl FnOnce() -> T) -> T {
    scoped(&PRECISIONS, precisions, forward)
}

/// The precision in force.
#[cfg_attr(not(any(feature = "flex", feature = "cube")), expect(dead_code, reason = "fused operators alone read it"))]
pub(crate) fn precisions() -> Precisions {
    PRECISIONS.get()
}

/// The precision of products in force, for kernels of the CPU.
#[cfg(feature = "flex")]
pub(crate) fn products() -> itera_kernels::gemm::Operands {
    on_cpu(precisions().products)
}

/// That of what forward saves.
#[cfg(feature = "flex")]
pub(crate) fn saved() -> itera_kernels::gemm::Operands {
    on_cpu(precisions().saved)
}

#[cfg(feature = "flex")]
fn on_cpu(precision: Precision) -> itera_kernels::gemm::Operands {
    match precision {
        Precision::F32 => itera_kernels::gemm::Operands::F32,
        Precision::Bf16 => itera_kernels::gemm::Operands::Bf16,
        Precision::F16 => panic!("no kernel of the CPU multiplies in f16"),
    }
}
