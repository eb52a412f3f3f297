//! CPU kernels on slices, and their reference twins
