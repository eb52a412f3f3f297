//! Vectors as the kernels read them.
//!
//! ```text
//! 1..=4 vectors   one after the other
//! more            tiles of 8, interleaved: element k of all 8, or elements 4k..4k + 4 as int8, side by side
//! int8            scale = max |x| / 127 of each 32, code = x / scale to the nearest, ties to even; Σ codes of each 16
//! ```

use super::{LANES, Operand, TILES, round};

/// Elements that share a scale.
pub(super) const BLOCK: usize = 32;
/// Elements whose codes are summed.
pub(super) const SUM: usize = 16;
/// Sums of a block.
const SUMS: usize = BLOCK / SUM;
/// Codes of a vector that lie side by side, the most that one instruction sums.
pub(super) const QUAD: usize = 4;

/// Vectors from which a tile pays although some of its lanes may be empty.
const MIN_TILED: usize = 5;

/// How activations take part in a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// As they are.
    Exact,
    /// Rounded to 8 bits in blocks of 32, where the weights have codes too.
    Int8,
}

/// A batch of vectors, prepared once for all the matrices that they are multiplied by. Memory is kept between batches.
#[derive(Clone, Debug)]
pub struct Activations {
    precision: Precision,
    count: usize,
    len: usize,
    lanes: usize,
    /// [tiles, len, lanes]
    exact: Vec<f32>,
    /// [tiles, blocks · 32 / 4, lanes, 4]
    codes: Vec<i8>,
    /// [tiles, blocks, lanes]
    scales: Vec<f32>,
    /// [tiles, blocks · 2, lanes]
    sums: Vec<i32>,
}

/// A tile of codes, laid out as in [`Activations`].
#[derive(Clone, Copy)]
pub(super) struct Int8<'a> {
    pub codes: &'a [i8],
    pub scales: &'a [f32],
    pub sums: &'a [i32],
}

impl Activations {
    /// No vectors yet.
    pub fn new(precision: Precision) -> Self {
        let (exact, codes, scales, sums) = Default::default();
        Self { precision, count: 0, len: 0, lanes: 1, exact, codes, scales, sums }
    }

    /// Take the vectors of `len` elements that lie one after the other in `x`.
    ///
    /// In int8 a block with a NaN or an infinity makes all that is multiplied by it NaN.
    ///
    /// # Panics
    /// If `x` is not whole vectors.
    pub fn set(&mut self, x: &[f32], len: usize) {
        let count = if x.is_empty() { 0 } else { x.len() / len.max(1) };
        assert_eq!(count * len, x.len(), "whole vectors of {len} elements");
        (self.count, self.len) = (count, len);
        self.lanes = if count < MIN_TILED { 1 } else { LANES };
        let tiles = count.div_ceil(self.lanes);
        self.exact.resize(tiles * self.lanes * len, 0.0);
        if self.lanes == 1 {
            self.exact.copy_from_slice(x);
        } else {
            let tiles = x.chunks(LANES * len).zip(self.exact.chunks_exact_mut(LANES * len));
            tiles.for_each(|(x, tile)| interleave(x, len, tile));
        }
        // no kind with codes has rows of other lengths
        if self.precision == Precision::Int8 && len.is_multiple_of(BLOCK) {
            let blocks = len / BLOCK * self.lanes;
            self.codes.resize(tiles * blocks * BLOCK, 0);
            self.scales.resize(tiles * blocks, 0.0);
            self.sums.resize(tiles * blocks * SUMS, 0);
            let tiles = x.chunks((self.lanes * len).max(1)).zip(self.codes.chunks_exact_mut((blocks * BLOCK).max(1)));
            let sums =
                self.scales.chunks_exact_mut(blocks.max(1)).zip(self.sums.chunks_exact_mut((blocks * SUMS).max(1)));
            for ((x, codes), (scales, sums)) in tiles.zip(sums) {
                match self.lanes {
                    1 => round::one(x, codes, scales, sums),
                    _ => round::tile(x, len, codes, scales, sums),
                }
            }
        }
    }

    /// Vectors.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Elements of a vector.
    #[expect(clippy::len_without_is_empty, reason = "the length of every vector, not the number of them")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Vectors that an [`Operand`] is made of.
    pub(super) fn vectors_at_once(&self) -> usize {
        if self.lanes == 1 { 1 } else { TILES * LANES }
    }

    /// The vectors from `first`, a multiple of [`Activations::vectors_at_once`], on, for weights that have codes or not.
    pub(super) fn operand(&self, first: usize, coded: bool) -> Operand<'_> {
        let count = (self.count.next_multiple_of(self.lanes) - first).min(self.vectors_at_once());
        let (start, len) = (first * self.len, count * self.len);
        let all = Int8 { codes: &self.codes, scales: &self.scales, sums: &self.sums };
        match (self.precision == Precision::Int8 && coded, self.lanes) {
            (true, 1) => Operand::OneInt8(all.part(start, len)),
            (true, _) => Operand::ManyInt8(all.part(start, len)),
            (false, 1) => Operand::One(&self.exact[start..][..len]),
            (false, _) => Operand::Many(&self.exact[start..][..len]),
        }
    }
}

impl Int8<'_> {
    /// `len` codes from `start` on, and what belongs to them; both in whole blocks.
    pub(super) fn part(self, start: usize, len: usize) -> Self {
        Self {
            codes: &self.codes[start..][..len],
            scales: &self.scales[start / BLOCK..][..len / BLOCK],
            sums: &self.sums[start / SUM..][..len / SUM],
        }
    }
}

/// Put element k of `x`'s up to [`LANES`] vectors side by side.
fn interleave(x: &[f32], len: usize, tile: &mut [f32]) {
    for (lane, x) in x.chunks_exact(len).enumerate() {
        for (x, among) in x.iter().zip(tile.chunks_exact_mut(LANES)) {
            among[lane] = *x;
        }
    }
}
