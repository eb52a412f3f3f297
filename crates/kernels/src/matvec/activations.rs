//! Vectors as the kernels read them.
//!
//! ```text
//! 1..=4 vectors   one after the other
//! more            tiles of 8, interleaved: element k of all 8, or elements 4k..4k + 4 as int8, side by side
//! int8            scale = max |x| / 127 of each 32, code = x / scale to the nearest, ties to even; Σ codes of each 16
//! ```

use super::{BLOCK, LANES, Operand, SUM, TILES, round};

/// Vectors from which a tile pays although some of its lanes may be empty.
const MIN_TILED: usize = 5;

/// How activations take part in a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activations {
    /// As they are.
    Exact,
    /// Rounded to 8 bits in blocks of 32, where the weights have codes too.
    Int8,
}

/// How the vectors of batches take part in products, and memory to prepare them in, which is kept between batches.
#[derive(Clone, Debug)]
pub struct BatchMemory {
    activations: Activations,
    /// [tiles, len, lanes]
    exact: Vec<f32>,
    /// [tiles, blocks · 32 / 4, lanes, 4]
    codes: Vec<i8>,
    /// [tiles, blocks, lanes]
    scales: Vec<f32>,
    /// [tiles, blocks · 2, lanes]
    sums: Vec<i32>,
}

/// Vectors that one or several matrices are multiplied by, prepared when the first matrix of a sort asks for them.
#[derive(Debug)]
pub struct Batch<'a> {
    x: &'a [f32],
    count: usize,
    len: usize,
    lanes: usize,
    is_interleaved: bool,
    is_rounded: bool,
    memory: &'a mut BatchMemory,
}

/// A tile of codes, laid out as in [`BatchMemory`].
#[derive(Clone, Copy)]
pub(super) struct Int8<'a> {
    pub codes: &'a [i8],
    pub scales: &'a [f32],
    pub sums: &'a [i32],
}

impl BatchMemory {
    /// Without memory yet.
    pub fn new(activations: Activations) -> Self {
        let (exact, codes, scales, sums) = Default::default();
        Self { activations, exact, codes, scales, sums }
    }

    /// Bytes of the heap that it holds.
    pub fn size_bytes(&self) -> usize {
        let floats = self.exact.capacity() + self.scales.capacity();
        self.codes.capacity() + size_of::<f32>() * floats + size_of::<i32>() * self.sums.capacity()
    }

    /// Bytes of the heap that it holds at most for `count` vectors of up to `len` elements.
    pub fn most_bytes(count: usize, len: usize) -> usize {
        let count = count.checked_next_multiple_of(LANES).unwrap_or(usize::MAX);
        let of_vector = len.next_multiple_of(BLOCK) * (size_of::<f32>() + 1)
            + len.div_ceil(BLOCK) * size_of::<f32>()
            + len.div_ceil(SUM) * size_of::<i32>();
        count.saturating_mul(of_vector)
    }

    /// The vectors of `len` elements that lie one after the other in `x`.
    ///
    /// In int8 a block with a NaN or an infinity makes all that is multiplied by it NaN.
    ///
    /// # Panics
    /// If `x` is not whole vectors.
    pub fn batch<'a>(&'a mut self, x: &'a [f32], len: usize) -> Batch<'a> {
        let count = if x.is_empty() { 0 } else { x.len() / len.max(1) };
        assert_eq!(count * len, x.len(), "whole vectors of {len} elements");
        let lanes = if count < MIN_TILED { 1 } else { LANES };
        Batch { x, count, len, lanes, is_interleaved: false, is_rounded: false, memory: self }
    }

    /// Interleave `x`.
    fn interleave(&mut self, x: &[f32], len: usize) {
        let tile_len = LANES * len;
        fit(&mut self.exact, x.len().next_multiple_of(tile_len.max(1)), 0.0);
        let tiles = x.chunks(tile_len).zip(self.exact.chunks_exact_mut(tile_len));
        tiles.for_each(|(x, tile)| interleave(x, len, tile));
    }

    /// Round `x`, and interleave it unless there is but one lane.
    fn round(&mut self, x: &[f32], len: usize, lanes: usize) {
        let tile_len = lanes * len;
        let all = x.len().next_multiple_of(tile_len.max(1));
        fit(&mut self.codes, all, 0);
        fit(&mut self.scales, all / BLOCK, 0.0);
        fit(&mut self.sums, all / SUM, 0);
        if all == 0 {
            return;
        }
        let tiles = x.chunks(tile_len).zip(self.codes.chunks_exact_mut(tile_len));
        let sums = self.scales.chunks_exact_mut(tile_len / BLOCK).zip(self.sums.chunks_exact_mut(tile_len / SUM));
        for ((x, codes), (scales, sums)) in tiles.zip(sums) {
            match lanes {
                1 => round::one(x, codes, scales, sums),
                _ => round::tile(x, len, codes, scales, sums),
            }
        }
    }
}

/// Make a buffer as long as that, and no larger than it must be.
fn fit<T: Copy>(buffer: &mut Vec<T>, len: usize, zero: T) {
    buffer.reserve_exact(len.saturating_sub(buffer.len()));
    buffer.resize(len, zero);
}

impl Batch<'_> {
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

    /// Prepare the vectors for a matrix with codes, or for one without.
    pub(super) fn prepare(&mut self, coded: bool) {
        if self.is_int8(coded) {
            if !self.is_rounded {
                self.memory.round(self.x, self.len, self.lanes);
                self.is_rounded = true;
            }
        } else if self.lanes > 1 && !self.is_interleaved {
            self.memory.interleave(self.x, self.len);
            self.is_interleaved = true;
        }
    }

    /// The vectors from `first`, a multiple of [`Batch::vectors_at_once`], on, for such a matrix.
    pub(super) fn operand(&self, first: usize, coded: bool) -> Operand<'_> {
        let count = (self.count.next_multiple_of(self.lanes) - first).min(self.vectors_at_once());
        let (start, len) = (first * self.len, count * self.len);
        let BatchMemory { exact, codes, scales, sums, .. } = &*self.memory;
        let all = Int8 { codes, scales, sums };
        match (self.is_int8(coded), self.lanes) {
            (true, 1) => Operand::OneInt8(all.part(start, len)),
            (true, _) => Operand::ManyInt8(all.part(start, len)),
            (false, 1) => Operand::One(&self.x[start..][..len]),
            (false, _) => Operand::Many(&exact[start..][..len]),
        }
    }

    fn is_int8(&self, coded: bool) -> bool {
        self.memory.activations == Activations::Int8 && coded
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
