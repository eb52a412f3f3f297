//! y = W·x with W in the form it has in a file, for one vector or a batch of them.
//!
//! ```text
//! x: [n, cols] → Batch: f32, or int8 with a scale for each 32           once for all matrices that read x
//! W: rows of blocks ─┐
//!   f32 activations  ├→ numbers of a block in registers, fused multiply-adds in 8 chains   ─┐
//!   int8 activations ┴→ codes × codes, summed exactly in i32, times both scales            ─┴→ y: [n, rows]
//! ```
//!
//! W is read once for up to 32 vectors of a batch; nothing of it is expanded but a strip of a few rows.
//!
//! # What is equal to what
//!
//! - A row of y is the same bits whatever else is in the batch, and whichever rows of W are asked for.
//! - **Exact** (f32 activations): element k goes to chain k mod 8, chains are fused multiply-adds in order of k, and are
//!   joined as ((0+2)+(1+3)) + ((4+6)+(5+7)). Every level with fused multiply-add gives the same bits, and so does
//!   aarch64; where there is none, the products are rounded too.
//! - **Int8**: blocks in order, `y += (scale of W · scale of x) · (Σ codes · codes)`, then, for a kind with a minimum,
//!   `y += minimum · (scale of x · Σ codes of x)`. Sums of codes are integers and nothing is fused, so every level and
//!   every machine gives the same bits.

mod activations;
mod dot;
mod portable;
mod round;
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "instructions of sets that were detected, on operands whose sizes were checked")]
mod x86;

pub use activations::{Activations, Batch, BatchMemory};

use crate::{quant::QuantMatrix, simd::Base};
use activations::Int8;

/// `y = W·x`, exact, without preparing x: for a vector that one matrix reads.
///
/// # Panics
/// If `x` is not a row's elements long, or `y` not the rows.
pub fn matvec(w: QuantMatrix<'_>, x: &[f32], y: &mut [f32]) {
    assert_eq!((x.len(), y.len()), (w.cols(), w.rows()), "operands of a {} × {} matrix", w.rows(), w.cols());
    run(w, Operand::One(x), y);
}

/// `y[i] = W·x[i]` for each vector of the batch.
///
/// In int8 if these are [`Activations::Int8`] and W has codes; kinds that are floats are multiplied exactly.
///
/// # Shapes
/// `x`: [n, cols], `y`: [n, rows]
///
/// # Panics
/// If the vectors are not a row's elements long, or `y` not n times the rows.
pub fn multiply(w: QuantMatrix<'_>, x: &mut Batch<'_>, y: &mut [f32]) {
    assert_eq!(
        (x.len(), y.len()),
        (w.cols(), x.count() * w.rows()),
        "operands of a {} × {} matrix",
        w.rows(),
        w.cols()
    );
    let coded = w.kind().block_len() > 1;
    x.prepare(coded);
    let (rows, vectors) = (w.rows(), x.vectors_at_once());
    for first in (0..x.count()).step_by(vectors) {
        let last = x.count().min(first + vectors);
        run(w, x.operand(first, coded), &mut y[first * rows..last * rows]);
    }
}

/// Vectors of an interleaved tile: the f32 of an AVX2 register.
const LANES: usize = 8;

/// Elements of x that share a scale.
const BLOCK: usize = 32;
/// Elements of x whose codes are summed.
const SUM: usize = 16;
/// Codes of a vector that lie side by side, the most that one instruction sums.
const QUAD: usize = 4;

/// Tiles that a kernel may take at once, so that what it reads of W serves more vectors.
const TILES: usize = 4;

/// What a kernel multiplies by: one vector, or up to [`TILES`] tiles of [`LANES`] interleaved ones, of the last of which
/// y wants the first few.
#[derive(Clone, Copy)]
enum Operand<'a> {
    One(&'a [f32]),
    OneInt8(Int8<'a>),
    /// [tiles, cols, lanes]
    Many(&'a [f32]),
    ManyInt8(Int8<'a>),
}

fn run(w: QuantMatrix<'_>, x: Operand<'_>, y: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if let Some(set) = x86::Set::in_use() {
        return set.run(w, x, y);
    }
    match x {
        Operand::One(x) => portable::exact::<1, Base>(w, x, y),
        Operand::OneInt8(x) => int8::<1>(w, x, y),
        Operand::Many(x) => {
            for_tiles(w, y, &[1], |start, len| &x[start..][..len], |_, x, y| portable::exact::<LANES, Base>(w, x, y));
        }
        Operand::ManyInt8(x) => {
            for_tiles(w, y, &[1], |start, len| x.part(start, len), |_, x, y| int8::<LANES>(w, x, y));
        }
    }
}

/// Product in int8 with `N` interleaved vectors where there is no kernel for it by hand, but maybe a dot product.
fn int8<const N: usize>(w: QuantMatrix<'_>, x: Int8<'_>, y: &mut [f32]) {
    #[cfg(target_arch = "aarch64")]
    if let Some(dot) = dot::neon::DotProd::in_use() {
        return portable::int8::<N>(dot, w, x, y);
    }
    portable::int8::<N>(dot::Guaranteed, w, x, y);
}

/// Call `kernel` for all tiles of vectors, as many at once as the largest of `sizes` that is left: with their number, their
/// `part(start, len)` of x, and their part of `y`.
fn for_tiles<X>(
    w: QuantMatrix<'_>,
    mut y: &mut [f32],
    sizes: &[usize],
    part: impl Fn(usize, usize) -> X,
    kernel: impl Fn(usize, X, &mut [f32]),
) {
    let (x_len, y_len) = (LANES * w.cols(), LANES * w.rows());
    let mut first = 0;
    while !y.is_empty() {
        let left = y.len().div_ceil(y_len);
        let tiles = sizes.iter().copied().find(|size| *size <= left).unwrap_or(1);
        let (now, later) = y.split_at_mut(y.len().min(tiles * y_len));
        kernel(tiles, part(first * x_len, tiles * x_len), now);
        (y, first) = (later, first + tiles);
    }
}

#[cfg(test)]
mod tests;
