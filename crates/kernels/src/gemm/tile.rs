//! One tile of C in registers: `M × NV` vectors of accumulators, a broadcast of A and a row of B at a time.
//!
//! ```text
//! for each step of k:   b ← B[step, 0..NV·N]          NV loads
//!                       for r in 0..M:  acc[r] += A[r, step] · b        one broadcast, NV products
//! ```
//!
//! An element is 32 bits: one f32, and a step is one k; or two bfloat16, and a step is a pair of them,
//! `acc ← a₀·b₀ + (a₁·b₁ + acc)`, each addition rounded once. That is what the BF16 dot product of AVX-512 computes, so two steps
//! of numbers in that order give the same bits (but for sums below 2⁻¹²⁶, which the dot product takes for 0).
//!
//! Each element of C is one chain of fused multiply-adds in order of k, so AVX-512, AVX2 and any other set with a fused
//! multiply-add give the same bits.

#![expect(unsafe_code, reason = "tiles work on pointers into slices whose bounds were checked")]

use crate::simd::{Isa, Lanes};

/// Where a tile reads and writes. All pointers and strides are in elements of 32 bits.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    /// Steps of k.
    pub steps: usize,
    pub a: *const f32,
    pub a_row: usize,
    pub a_step: usize,
    pub b: *const f32,
    pub b_step: usize,
    pub c: *mut f32,
    pub c_row: usize,
    /// Rows, 1..=MR.
    pub m: usize,
    /// Columns, 1..=NR.
    pub n: usize,
    /// What the product is added to, laid out as C (it may be C), or null.
    pub base: *const f32,
    /// What later tiles will read: a line of it is asked for every STEPS_PER_LINE steps. Any address will do.
    pub ahead: *const f32,
}

/// Rows of a tile at most.
pub(super) const MR: usize = 12;
/// Steps between two lines that are asked for ahead.
pub(super) const STEPS_PER_LINE: usize = 4;
/// Floats of a cache line.
pub(super) const LINE: usize = 16;
/// Columns of a tile at most, and of a packed panel.
pub(super) const NR: usize = 32;

/// Compute one tile in pieces that registers hold.
///
/// # Safety
/// With m in 1..=MR, n in 1..=NR, steps ≥ 1 and the strides of the tile:
///
/// - `a` is valid for reads of the elements m × steps,
/// - `b` is valid for reads of n elements at each step,
/// - `c` is valid for writes of the elements m × n, and `base` for reads of as many unless it is null.
#[inline(always)]
pub(super) unsafe fn run<S: Isa>(isa: S, tile: &Tile) {
    debug_assert!((1..=MR).contains(&tile.m) && (1..=NR).contains(&tile.n) && tile.steps > 0);
    let lanes = S::Lanes::N;
    // of 32 registers 24 accumulate, of 16 there are 12
    let rows = match lanes {
        16 => MR,
        8 => 6,
        _ => 4,
    };
    for row in (0..tile.m).step_by(rows) {
        for col in (0..tile.n).step_by(2 * lanes) {
            // SAFETY: row < m and col < n, so that the piece lies in the tile.
            unsafe {
                let piece = tile.piece(row, col, rows, 2 * lanes);
                if piece.n <= lanes {
                    by_rows::<S, 1, true>(isa, &piece, rows);
                } else if lanes < 16 && piece.n == 2 * lanes {
                    by_rows::<S, 2, false>(isa, &piece, rows);
                } else {
                    by_rows::<S, 2, true>(isa, &piece, rows);
                }
            }
        }
    }
}

impl Tile {
    /// The part from (row, col) on, of at most `m` × `n`.
    ///
    /// # Safety
    /// - The tile, which fulfils the contract of [`run`], has an element (row, col).
    #[inline(always)]
    unsafe fn piece(&self, row: usize, col: usize, m: usize, n: usize) -> Self {
        debug_assert!(row < self.m && col < self.n);
        // SAFETY: element (row, 0) of A, (0, col) of B and (row, col) of C and of a base are there by this contract.
        unsafe {
            Self {
                a: self.a.add(row * self.a_row),
                b: self.b.add(col),
                c: self.c.add(row * self.c_row + col),
                base: self.base.wrapping_add(if self.base.is_null() { 0 } else { row * self.c_row + col }),
                m: (self.m - row).min(m),
                n: (self.n - col).min(n),
                ..*self
            }
        }
    }
}

/// [`piece`] with the number of rows, of which there are at most `most`, as a constant.
///
/// # Safety
/// - As for [`piece`].
#[inline(always)]
unsafe fn by_rows<S: Isa, const NV: usize, const PART: bool>(isa: S, tile: &Tile, most: usize) {
    // SAFETY: the arm is of as many rows as the tile has; the rest is this function's contract.
    unsafe {
        match tile.m {
            1 => piece::<S, 1, NV, PART>(isa, tile),
            2 => piece::<S, 2, NV, PART>(isa, tile),
            3 => piece::<S, 3, NV, PART>(isa, tile),
            4 => piece::<S, 4, NV, PART>(isa, tile),
            5 if most > 4 => piece::<S, 5, NV, PART>(isa, tile),
            6 if most > 4 => piece::<S, 6, NV, PART>(isa, tile),
            7 if most > 6 => piece::<S, 7, NV, PART>(isa, tile),
            8 if most > 6 => piece::<S, 8, NV, PART>(isa, tile),
            9 if most > 6 => piece::<S, 9, NV, PART>(isa, tile),
            10 if most > 6 => piece::<S, 10, NV, PART>(isa, tile),
            11 if most > 6 => piece::<S, 11, NV, PART>(isa, tile),
            12 if most > 6 => piece::<S, 12, NV, PART>(isa, tile),
            m => unreachable!("a piece of {m} rows"),
        }
    }
}

/// M rows of NV vectors, of whose columns the last vector has PART or all.
///
/// # Safety
/// - The tile fulfils the contract of [`run`]; m = M, and n is in (NV − 1)·N + 1..=NV·N, its upper end unless PART.
#[inline(always)]
unsafe fn piece<S: Isa, const M: usize, const NV: usize, const PART: bool>(isa: S, tile: &Tile) {
    let lanes = S::Lanes::N;
    let last = tile.n - (NV - 1) * lanes;
    debug_assert!(tile.m == M && (1..=lanes).contains(&last) && (PART || last == lanes));
    let mut acc = [[isa.splat(0.0); NV]; M];
    if lanes == 16 && NV == 2 {
        for r in 0..M {
            // C is not touched until the end: by then its lines have arrived
            let c = tile.c.wrapping_add(r * tile.c_row);
            S::prefetch_to_write(c);
            S::prefetch_to_write(c.wrapping_add(LINE));
        }
    }
    let (mut a, mut b) = (tile.a, tile.b);
    for step in 0..tile.steps {
        if lanes == 16 && NV == 2 && step % STEPS_PER_LINE == 0 {
            S::prefetch_to_l2(tile.ahead.wrapping_add(step / STEPS_PER_LINE * LINE));
        }
        // SAFETY: `b` is at a step < steps, which has n elements; `load_columns` asks for no more.
        let b_row = unsafe { load_columns::<S, NV, PART>(isa, b, last) };
        for (r, acc) in acc.iter_mut().enumerate() {
            // SAFETY: `a` is at a step < steps, which has M rows.
            let x = isa.splat(unsafe { *a.add(r * tile.a_row) });
            for (acc, b) in acc.iter_mut().zip(b_row) {
                *acc = isa.add_product(x, b, *acc);
            }
        }
        // past the last step these may leave the operands: nothing is read there
        (a, b) = (a.wrapping_add(tile.a_step), b.wrapping_add(tile.b_step));
    }
    for (r, acc) in acc.iter_mut().enumerate() {
        // SAFETY: C, and a base that is not null, have M rows of n elements; no more are loaded or stored.
        unsafe {
            if !tile.base.is_null() {
                let base = load_columns::<S, NV, PART>(isa, tile.base.add(r * tile.c_row), last);
                for (acc, base) in acc.iter_mut().zip(base) {
                    *acc = base.add(*acc);
                }
            }
            let c = tile.c.add(r * tile.c_row);
            for (v, acc) in acc.iter().enumerate() {
                let to = c.add(v * lanes);
                if PART && v + 1 == NV { acc.store_part(to, last) } else { acc.store(to) }
            }
        }
    }
}

/// NV vectors from `from` on, `last` lanes of the last one if it is PART of one.
///
/// # Safety
/// - `from` is valid for reads of (NV − 1)·N + `last` floats, and `last` = N unless PART.
#[inline(always)]
unsafe fn load_columns<S: Isa, const NV: usize, const PART: bool>(
    isa: S,
    from: *const f32,
    last: usize,
) -> [S::Lanes; NV] {
    let mut vectors = [isa.splat(0.0); NV];
    for (v, vector) in vectors.iter_mut().enumerate() {
        // SAFETY: v < NV, and only the last vector has fewer than N floats.
        *vector = unsafe {
            let from = from.add(v * S::Lanes::N);
            if PART && v + 1 == NV { isa.load_part(from, last) } else { isa.load(from) }
        };
    }
    vectors
}
