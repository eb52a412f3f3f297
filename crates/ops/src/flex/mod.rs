//! What the fused operators of the device `flex` stand on: Burn's autodiff ↔ kernels on slices, and the memory between.

pub(crate) mod array;
pub(crate) mod buffers;
pub(crate) mod function;
pub(crate) mod kept;
pub(crate) mod ledger;
