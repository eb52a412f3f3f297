//! What the fused operators of CubeCL's devices compute on, and what their kernels share
//!
//! One source serves wgpu and CUDA. Kernels add in an order that the shapes alone decide, without atomics, so that a step
//! gives the same bits again.

pub(crate) mod array;
pub(crate) mod maths;
pub(crate) mod operand;
pub(crate) mod reduce;
