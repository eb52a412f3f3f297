//! One head's state driven through the positions of a chunk: the loop that all four passes of the scan share.
//!
//! ```text
//! at position t:   out_t = β_t · Σ_r w_t[r] · S[r] + γ_t · v_t          v_t, out_t and S[r] are vectors of lanes
//!                  S[r] ← S[r] + k_t[r] · (α_t · v_t)                  for every row r
//! ```
//!
//! The decay is in α and β, with s the product of the decays since the state's scale was last settled (see
//! [`Gates`](super::gates::Gates)), so that it costs nothing per element of the state. What v_t itself adds to out_t is in
//! γ, or is left to the caller where what came before is needed alone:
//!
//! | pass  | time | rows | k  | lanes | v  | w  | out   | α   | β   | γ            |
//! |-------|------|------|----|-------|----|----|-------|-----|-----|--------------|
//! | y     | →    | n    | B  | p     | x  | C  | y     | Δ/s | s   | Δ·⟨B, C⟩ + D |
//! | dC    | →    | p    | x  | n     | B  | dy | dC    | Δ/s | s   | 0            |
//! | d(Δx) | ←    | n    | C  | p     | dy | B  | d(Δx) | s   | 1/s | 0            |
//! | dB    | ←    | p    | dy | n     | C  | x  | dB    | s   | Δ/s | Δ·⟨x, dy⟩    |
//!
//! Tiles of rows × lanes stay in registers over the whole chunk, two fused multiply-adds an element and position. Sums
//! over rows are in order within a tile and tiles are added in order.

#![expect(unsafe_code, reason = "tiles work on pointers into rows that other tasks write beside")]

use super::{
    lanes::{Lanes, Portable},
    rows::{Rows, RowsMut},
};
use crate::simd::Level;

/// Which way time runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Time {
    Forward,
    Reverse,
}

/// A pass over a chunk of `len` positions. Row t of each operand is position t.
#[derive(Clone, Copy)]
pub(super) struct Sweep<'a> {
    pub time: Time,
    pub len: usize,
    /// Rows of the state, and elements of a row of `k` and `w`.
    pub rows: usize,
    /// Elements of a row of the state, of `v` and of `out`.
    pub lanes: usize,
    pub k: Rows<'a>,
    pub v: Rows<'a>,
    pub w: Rows<'a>,
    pub out: RowsMut<'a>,
    /// Whether to add to `out`.
    pub add: bool,
    /// α, `[len]`.
    pub alpha: &'a [f32],
    /// β, `[len]`.
    pub beta: &'a [f32],
    /// γ, `[len]`; zeros if absent.
    pub gamma: Option<&'a [f32]>,
    /// What the state is multiplied by before each position, and after the last, `[len + 1]`; backwards in reverse.
    pub carry: &'a [f32],
    /// The state before, [rows, lanes].
    pub from: *const f32,
    /// The state after, [rows, lanes]; may be where `from` points.
    pub to: *mut f32,
}

/// States below 2⁻¹⁰⁰ become zero when they are rescaled: they are added to this and lose what is below its last bit.
const FLUSH: f32 = 1.0 / (1u128 << 76) as f32;

/// Rows that memory gets to fetch the next operands: some 500 cycles.
const AHEAD: usize = 16;

/// Runs `sweep` at `level`.
///
/// # Safety
/// The processor has `level`. `k` and `w` have `len` rows of `rows` elements, `v` and `out` of `lanes`; `from` and `to`
/// are [rows, lanes]; nobody else reads or writes what `out` and `to` cover.
pub(super) unsafe fn run(level: Level, sweep: &Sweep<'_>) {
    let Sweep { len, alpha, beta, gamma, carry, .. } = *sweep;
    assert!(
        alpha.len() >= len && beta.len() >= len && gamma.is_none_or(|gamma| gamma.len() >= len) && carry.len() > len
    );
    // SAFETY: the caller's.
    unsafe {
        match level {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => avx512(sweep),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => avx2(sweep),
            _ => both_ways::<Portable, 8, 1>(sweep),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
unsafe fn avx512(sweep: &Sweep<'_>) {
    // SAFETY: the caller's.
    unsafe { both_ways::<super::lanes::Avx512, 16, 1>(sweep) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(sweep: &Sweep<'_>) {
    // SAFETY: the caller's.
    unsafe { both_ways::<super::lanes::Avx2, 8, 1>(sweep) }
}

#[inline(always)]
unsafe fn both_ways<V: Lanes, const R: usize, const W: usize>(sweep: &Sweep<'_>) {
    // SAFETY: the caller's.
    unsafe {
        match sweep.time {
            Time::Forward => over_lanes::<V, R, W, false>(sweep),
            Time::Reverse => over_lanes::<V, R, W, true>(sweep),
        }
    }
}

#[inline(always)]
unsafe fn over_lanes<V: Lanes, const R: usize, const W: usize, const REVERSE: bool>(sweep: &Sweep<'_>) {
    let mut lane = 0;
    while lane < sweep.lanes {
        let left = sweep.lanes - lane;
        // SAFETY: `left` lanes are left.
        unsafe {
            if left >= W * V::N {
                over_rows::<V, R, W, REVERSE, false>(sweep, lane, W * V::N);
                lane += W * V::N;
            } else {
                over_rows::<V, R, 1, REVERSE, true>(sweep, lane, left.min(V::N));
                lane += left.min(V::N);
            }
        }
    }
}

#[inline(always)]
unsafe fn over_rows<V: Lanes, const R: usize, const W: usize, const REVERSE: bool, const PART: bool>(
    sweep: &Sweep<'_>,
    lane: usize,
    lanes: usize,
) {
    let mut row = 0;
    while row < sweep.rows {
        let left = sweep.rows - row;
        // SAFETY: `left` rows are left.
        unsafe {
            if left >= R {
                tile::<V, R, W, REVERSE, PART>(sweep, row, lane, lanes);
                row += R;
            } else if left >= 4 {
                tile::<V, 4, W, REVERSE, PART>(sweep, row, lane, lanes);
                row += 4;
            } else {
                tile::<V, 1, W, REVERSE, PART>(sweep, row, lane, lanes);
                row += 1;
            }
        }
    }
}

/// Rows `row..row + R` by the W vectors from `lane`; of the one vector, `lanes` lanes if PART.
#[inline(always)]
unsafe fn tile<V: Lanes, const R: usize, const W: usize, const REVERSE: bool, const PART: bool>(
    sweep: &Sweep<'_>,
    row: usize,
    lane: usize,
    lanes: usize,
) {
    // SAFETY: rows and lanes are those of the operands by the caller's contract; `run` checked α, β, γ and carry.
    unsafe {
        let load = |from: *const f32| if PART { V::load_part(from, lanes) } else { V::load(from) };
        let store = |x: V, to: *mut f32| if PART { x.store_part(to, lanes) } else { x.store(to) };
        let add = sweep.add || row > 0;
        let gamma = sweep.gamma.filter(|_| row == 0).map(<[f32]>::as_ptr);
        let (alpha, beta, carry) = (sweep.alpha.as_ptr(), sweep.beta.as_ptr(), sweep.carry.as_ptr());

        let mut state = [[V::splat(0.0); W]; R];
        for (r, state) in state.iter_mut().enumerate() {
            for (w, state) in state.iter_mut().enumerate() {
                *state = load(sweep.from.add((row + r) * sweep.lanes + lane + w * V::N));
            }
        }
        if REVERSE {
            rescale(&mut state, *carry.add(sweep.len));
        }
        for i in 0..sweep.len {
            let t = if REVERSE { sweep.len - 1 - i } else { i };
            if !REVERSE {
                rescale(&mut state, *carry.add(t));
            }
            let (k, weight) = (sweep.k.pointer(t).add(row), sweep.w.pointer(t).add(row));
            let (v, out) = (sweep.v.pointer(t).add(lane), sweep.out.row(t).add(lane));
            let ahead = |row: usize| if REVERSE { row.wrapping_sub(AHEAD) } else { row + AHEAD };
            if lane == 0 {
                V::prefetch(sweep.k.pointer(ahead(t)).wrapping_add(row));
                V::prefetch(sweep.w.pointer(ahead(t)).wrapping_add(row));
            }
            if row == 0 {
                V::prefetch(sweep.v.pointer(ahead(t)).wrapping_add(lane));
                V::prefetch(sweep.out.row(ahead(t)).wrapping_add(lane));
            }
            let mut input = [V::splat(0.0); W];
            let mut base = [V::splat(0.0); W];
            for w in 0..W {
                let v = load(v.add(w * V::N));
                input[w] = v.mul(V::splat(*alpha.add(t)));
                if add {
                    base[w] = load(out.add(w * V::N));
                }
                if let Some(gamma) = gamma {
                    base[w] = v.mul_add(V::splat(*gamma.add(t)), base[w]);
                }
            }
            let mut sums = [[V::splat(0.0); W]; 2];
            for (r, state) in state.iter_mut().enumerate() {
                let k = V::splat(*k.add(r));
                let weight = V::splat(*weight.add(r));
                for w in 0..W {
                    sums[r % 2][w] = weight.mul_add(state[w], sums[r % 2][w]);
                    state[w] = k.mul_add(input[w], state[w]);
                }
            }
            for w in 0..W {
                let sum = sums[0][w].add(sums[1][w]);
                store(sum.mul_add(V::splat(*beta.add(t)), base[w]), out.add(w * V::N));
            }
            if REVERSE {
                rescale(&mut state, *carry.add(t));
            }
        }
        if !REVERSE {
            rescale(&mut state, *carry.add(sweep.len));
        }
        for (r, state) in state.into_iter().enumerate() {
            for (w, state) in state.into_iter().enumerate() {
                store(state, sweep.to.add((row + r) * sweep.lanes + lane + w * V::N));
            }
        }
    }
}

/// Multiplies the state by `factor`; what is left below 2⁻¹⁰⁰ is exactly zero, so that nothing gets subnormal.
#[inline(always)]
unsafe fn rescale<V: Lanes, const R: usize, const W: usize>(state: &mut [[V; W]; R], factor: f32) {
    if factor == 1.0 {
        return;
    }
    // SAFETY: the caller's.
    unsafe {
        if factor == 0.0 {
            *state = [[V::splat(0.0); W]; R];
            return;
        }
        let (factor, flush) = (V::splat(factor), V::splat(FLUSH));
        for state in state.as_flattened_mut() {
            *state = state.mul_add(factor, flush).sub(flush);
        }
    }
}
