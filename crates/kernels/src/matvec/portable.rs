//! The definition of both products, in loops that any compiler vectorises: what runs where there is no kernel by hand.

use super::{BLOCK, SUM, activations::Int8, dot::Dot};
use crate::{
    quant::{Block, QuantMatrix, dequantize, for_block},
    simd::{Isa, mul_add},
};

/// Chains of multiply-adds that a sum is made of.
pub(super) const CHAINS: usize = 8;

/// Elements of a row that are decoded at a time; every block length divides it.
const STRIP: usize = 64;

/// Exact product with `N` interleaved vectors; `y` is the rows of the first vector, then of the second, for as many as
/// there are.
#[inline(always)]
pub(super) fn exact<const N: usize, S: Isa>(w: QuantMatrix<'_>, x: &[f32], y: &mut [f32]) {
    let strip_bytes = w.kind().block_bytes() * (STRIP / w.kind().block_len());
    for row in 0..w.rows() {
        let mut chains = [[0.0; N]; CHAINS];
        for (bytes, x) in w.row(row).chunks(strip_bytes).zip(x.chunks(STRIP * N)) {
            let mut strip = [0.0; STRIP];
            let strip = &mut strip[..x.len() / N];
            dequantize(w.kind(), bytes, strip);
            // the chains of a vector alone become the lanes of a register only if it is always all of them
            let whole = if N == 1 { strip.len() / CHAINS * CHAINS } else { 0 };
            let ((strip, rest), (x, x_rest)) = (strip.split_at(whole), x.split_at(whole * N));
            for (w, x) in strip.chunks_exact(CHAINS).zip(x.chunks_exact(CHAINS * N)) {
                add::<N, S>(&mut chains, w, x);
            }
            for (w, x) in rest.chunks(CHAINS).zip(x_rest.chunks(CHAINS * N)) {
                add::<N, S>(&mut chains, w, x);
            }
        }
        for (lane, y) in y.chunks_exact_mut(w.rows()).enumerate() {
            let [a, b, c, d, e, f, g, h] = chains.map(|chain| chain[lane]);
            y[row] = ((a + c) + (b + d)) + ((e + g) + (f + h));
        }
    }
}

/// The next element of each chain, or of the first few.
#[inline(always)]
fn add<const N: usize, S: Isa>(chains: &mut [[f32; N]; CHAINS], w: &[f32], x: &[f32]) {
    for ((chain, &w), x) in chains.iter_mut().zip(w).zip(x.chunks_exact(N)) {
        for (sum, &x) in chain.iter_mut().zip(x) {
            *sum = mul_add::<S>(w, x, *sum);
        }
    }
}

/// Product in int8 with `N` interleaved vectors, `y` as in [`exact`].
///
/// # Panics
/// If `w` is of a kind without codes.
pub(super) fn int8<const N: usize>(dot: impl Dot, w: QuantMatrix<'_>, x: Int8<'_>, y: &mut [f32]) {
    for_block!(w.kind(), B => int8_of::<N, B>(dot, w, x, y), _ => unreachable!("{} has no codes", w.kind().name()))
}

fn int8_of<const N: usize, B: Block>(dot: impl Dot, w: QuantMatrix<'_>, x: Int8<'_>, y: &mut [f32]) {
    for row in 0..w.rows() {
        let mut total = [0.0; N];
        for (block, bytes) in w.row(row).chunks_exact(B::BYTES).enumerate() {
            let codes = B::codes(bytes);
            let minimum = B::minimum(bytes);
            for (group, codes) in codes[..B::LEN].chunks_exact(B::GROUP).enumerate() {
                let start = block * B::LEN + group * B::GROUP;
                let scale = B::scale(bytes, group);
                let x_scales = &x.scales[start / BLOCK * N..][..N];
                let products = dot.dot::<N>(codes, &x.codes[start * N..][..B::GROUP * N]);
                let sums = x.sums[start / SUM * N..][..B::GROUP / SUM * N].chunks_exact(N);
                let sums =
                    sums.fold([0; N], |total: [i32; N], sums| std::array::from_fn(|lane| total[lane] + sums[lane]));
                for (lane, total) in total.iter_mut().enumerate() {
                    *total += scale * x_scales[lane] * products[lane] as f32;
                    if B::HAS_MINIMUM {
                        *total += minimum * (x_scales[lane] * sums[lane] as f32);
                    }
                }
            }
        }
        for (y, total) in y.chunks_exact_mut(w.rows()).zip(total) {
            y[row] = total;
        }
    }
}
