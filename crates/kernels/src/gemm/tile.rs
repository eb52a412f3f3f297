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

use crate::simd::{Isa, Lanes, Level, level};

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
    /// Columns, 1..=MOST_COLS.
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
/// Columns of a tile at most.
pub(super) const MOST_COLS: usize = 32;

/// Columns of a tile, and of a packed panel, at the level in use. Two vectors of AVX2 are half of two of AVX-512: a panel of 256
/// steps takes half of a 32 KiB L1 then, where one of 32 columns would drive itself from it.
pub(super) fn panel_cols() -> usize {
    if level() >= Level::Avx512 { cols_by(16) } else { cols_by(8) }
}

/// The same at a level whose vectors have so many lanes.
const fn cols_by(lanes: usize) -> usize {
    if lanes == 16 { MOST_COLS } else { MOST_COLS / 2 }
}

/// How operands lie, where that is known when a tile is compiled. Addresses then cost no instruction, of which a core that runs two
/// threads has few to spare: a step of AVX2 takes 21 instead of 29.
type Walk = u8;
/// In some way that the tile tells.
const ANY: Walk = 0;
/// A in rows, B in panels.
const ROWS: Walk = 1;
/// A in groups of MR rows, each step by step, B in panels.
const GROUPS: Walk = 2;

/// Compute one tile in pieces that registers hold.
///
/// # Safety
/// With m in 1..=MR, n in 1..=MOST_COLS, steps ≥ 1 and the strides of the tile:
///
/// - `a` is valid for reads of the elements m × steps,
/// - `b` is valid for reads of n elements at each step,
/// - `c` is valid for writes of the elements m × n, and `base` for reads of as many unless it is null.
#[inline(always)]
pub(super) unsafe fn run<S: Isa>(isa: S, tile: &Tile) {
    debug_assert!((1..=MR).contains(&tile.m) && (1..=MOST_COLS).contains(&tile.n) && tile.steps > 0);
    let lanes = S::Lanes::N;
    // of 32 registers 24 accumulate, of 16 there are 12, or 8 where products need registers too
    let rows = match (S::REGISTERS, lanes) {
        (32, _) => MR,
        (_, 8) => 6,
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

/// [`piece`] with the number of rows, of which there are at most `most`, and how operands lie, as constants.
///
/// # Safety
/// - As for [`piece`].
#[inline(always)]
unsafe fn by_rows<S: Isa, const NV: usize, const PART: bool>(isa: S, tile: &Tile, most: usize) {
    // SAFETY: the arm is of as many rows as the tile has; the rest is this function's contract.
    unsafe {
        match tile.m {
            1 => piece::<S, 1, NV, PART, ANY>(isa, tile),
            2 => piece::<S, 2, NV, PART, ANY>(isa, tile),
            3 => piece::<S, 3, NV, PART, ANY>(isa, tile),
            4 if most == 4 => whole::<S, 4, NV, PART>(isa, tile),
            4 => piece::<S, 4, NV, PART, ANY>(isa, tile),
            5 if most > 4 => piece::<S, 5, NV, PART, ANY>(isa, tile),
            6 if most == 6 => whole::<S, 6, NV, PART>(isa, tile),
            6 if most > 4 => piece::<S, 6, NV, PART, ANY>(isa, tile),
            7 if most > 6 => piece::<S, 7, NV, PART, ANY>(isa, tile),
            8 if most > 6 => piece::<S, 8, NV, PART, ANY>(isa, tile),
            9 if most > 6 => piece::<S, 9, NV, PART, ANY>(isa, tile),
            10 if most > 6 => piece::<S, 10, NV, PART, ANY>(isa, tile),
            11 if most > 6 => piece::<S, 11, NV, PART, ANY>(isa, tile),
            12 if most == 12 => whole::<S, 12, NV, PART>(isa, tile),
            m => unreachable!("a piece of {m} rows"),
        }
    }
}

/// [`piece`] of as many rows as registers hold, most of all there are, with how operands lie as a constant.
///
/// # Safety
/// - As for [`piece`].
#[inline(always)]
unsafe fn whole<S: Isa, const M: usize, const NV: usize, const PART: bool>(isa: S, tile: &Tile) {
    let lanes = S::Lanes::N;
    let is_in_panels = NV == 2 && tile.b_step == cols_by(lanes);
    // SAFETY: an arm is of operands that lie as the tile says; the rest is this function's contract.
    unsafe {
        match (is_in_panels, tile.a_row, tile.a_step) {
            // of twelve rows the compiler makes more instructions, not less, and of NEON's four steps at once too
            (true, _, 1) if S::REGISTERS == 16 => piece::<S, M, NV, PART, ROWS>(isa, tile),
            (true, 1, MR) if S::REGISTERS == 16 || lanes == 16 => piece::<S, M, NV, PART, GROUPS>(isa, tile),
            _ => piece::<S, M, NV, PART, ANY>(isa, tile),
        }
    }
}

/// M rows of NV vectors, of whose columns the last vector has PART or all, of operands that lie as WALK says.
///
/// # Safety
/// - The tile fulfils the contract of [`run`]; m = M, and n is in (NV − 1)·N + 1..=NV·N, its upper end unless PART.
/// - Its strides are those of WALK: `a_step` is 1, or `a_row` is 1 and `a_step` is MR, and `b_step` is [`cols_by`] of S.
#[inline(always)]
unsafe fn piece<S: Isa, const M: usize, const NV: usize, const PART: bool, const WALK: Walk>(isa: S, tile: &Tile) {
    let lanes = S::Lanes::N;
    let last = tile.n - (NV - 1) * lanes;
    debug_assert!(tile.m == M && (1..=lanes).contains(&last) && (PART || last == lanes));
    let mut acc = [[isa.splat(0.0); NV]; M];
    if lanes >= 8 && NV == 2 {
        for r in 0..M {
            // C is not touched until the end: by then its lines have arrived
            let c = tile.c.wrapping_add(r * tile.c_row);
            S::prefetch_to_write(c);
            S::prefetch_to_write(c.wrapping_add((NV * lanes - 1).min(LINE)));
        }
    }
    let (a_row, a_step, b_step) = match WALK {
        ROWS => (tile.a_row, 1, cols_by(lanes)),
        GROUPS => (1, MR, cols_by(lanes)),
        _ => (tile.a_row, tile.a_step, tile.b_step),
    };
    debug_assert_eq!((a_row, a_step, b_step), (tile.a_row, tile.a_step, tile.b_step), "strides of a walk");
    // every third row, of which ROWS finds the two behind it by an address; the others find all behind the first
    let mut a: [*const f32; MR / 3] = std::array::from_fn(|third| tile.a.wrapping_add(3 * third * a_row));
    let mut b = tile.b;
    let at_once = if WALK == ANY { 1 } else { STEPS_PER_LINE };
    for turn in 0..tile.steps / at_once {
        if lanes == 16 && NV == 2 && turn * at_once % STEPS_PER_LINE == 0 {
            S::prefetch_to_l2(tile.ahead.wrapping_add(turn * at_once / STEPS_PER_LINE * LINE));
        }
        for _ in 0..at_once {
            // SAFETY: `a` and `b` are at a step < steps.
            unsafe { step::<S, M, NV, PART, WALK>(isa, a, a_row, b, last, &mut acc) };
            // past the last step these may leave the operands: nothing is read there
            (a, b) = (a.map(|row| row.wrapping_add(a_step)), b.wrapping_add(b_step));
        }
    }
    for _ in 0..tile.steps % at_once {
        // SAFETY: `a` and `b` are at one of the steps behind the last turn.
        unsafe { step::<S, M, NV, PART, WALK>(isa, a, a_row, b, last, &mut acc) };
        (a, b) = (a.map(|row| row.wrapping_add(a_step)), b.wrapping_add(b_step));
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

/// One step of [`piece`]: the products of M rows of A, of which `a` has every third, and NV vectors of B.
///
/// # Safety
/// - M elements, which are `a_row` apart, are valid for reads; the pointers of `a` are at every third of them.
/// - `b` is valid for reads of (NV − 1)·N + `last` elements, and `last` = N unless PART.
#[inline(always)]
unsafe fn step<S: Isa, const M: usize, const NV: usize, const PART: bool, const WALK: Walk>(
    isa: S,
    a: [*const f32; MR / 3],
    a_row: usize,
    b: *const f32,
    last: usize,
    acc: &mut [[S::Lanes; NV]; M],
) {
    // SAFETY: this contract.
    let b = unsafe { load_columns::<S, NV, PART>(isa, b, last) };
    for (r, acc) in acc.iter_mut().enumerate() {
        let x = match WALK {
            ROWS => a[r / 3].wrapping_add(r % 3 * a_row),
            _ => a[0].wrapping_add(r * a_row),
        };
        // SAFETY: r < M.
        let x = isa.splat(unsafe { *x });
        for (acc, b) in acc.iter_mut().zip(b) {
            *acc = isa.add_product(x, b, *acc);
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
