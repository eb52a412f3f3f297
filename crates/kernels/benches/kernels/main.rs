//! How fast every kernel is, at the shapes of `configs/bench-tiny.toml`.
//!
//! ```text
//! cargo bench -p itera-kernels                        all of them, on every core
//! RAYON_NUM_THREADS=1 cargo bench -p itera-kernels -- adamw
//! ```
//!
//! Beside the time: bytes a second, those that the kernel must read and write at least once, and "items" a second,
//! which are floating-point operations (a multiply-add is two). `itera doctor` measures the roofs of both.
//!
//! A kernel is a file here: one function that takes a [`Shape`](support::Shape) and hands [`bench`](support::bench) its
//! [`Work`](support::Work) and the call.

mod adamw;
mod attention;
mod conv;
mod cross_entropy;
mod distillation;
mod embedding;
mod gated_norm;
mod gemm;
mod matvec;
mod mlp;
mod moe;
mod muon;
mod norm;
mod quant;
mod rms_norm;
mod scan;
mod support;
mod vector;

fn main() {
    divan::main();
}
