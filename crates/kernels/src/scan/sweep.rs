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
    lanes::{Lanes, lanes},
    rows::{Rows, RowsMut},
};

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
    /// Rows of `rows` elements that are written next, to have them in the cache by then.
    pub next: Option<RowsMut<'a>>,
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
    /// The positions at which spans without any such multiplication inside begin, then `len`.
    pub bounds: &'a [usize],
    /// The state before, [rows, lanes].
    pub from: *const f32,
    /// The state after, [rows, lanes]; may be where `from` points.
    pub to: *mut f32,
}

/// States below 2⁻¹⁰⁰ become zero when they are rescaled: they are added to this and lose what is below its last bit.
const FLUSH: f32 = 1.0 / (1u128 << 76) as f32;

/// Rows by which operands are asked for ahead: some 1,500 cycles.
const AHEAD: usize = 48;

/// Chains in which the sum over the rows of a tile runs, so that none waits for its own additions.
const SUMS: usize = 4;

lanes! {
    /// Runs `sweep`.
    ///
    /// # Safety
    /// `k` and `w` have `len` rows of `rows` elements, `v` and `out` of `lanes`; `from` and `to` are [rows, lanes];
    /// nobody else reads or writes what `out` and `to` cover.
    pub(super) unsafe fn run<V>(sweep: &Sweep<'_>) {
        let Sweep { len, alpha, beta, gamma, carry, bounds, .. } = *sweep;
        assert!(alpha.len() >= len && beta.len() >= len && carry.len() > len);
        assert!(gamma.is_none_or(|gamma| gamma.len() >= len));
        assert!(bounds[0] == 0 && bounds[bounds.len() - 1] == len && bounds.is_sorted());
        // SAFETY: the caller's.
        unsafe {
            // what registers hold: 16 of 32 of them, or 8 of 16
            match (V::N == 16, sweep.time) {
                (true, Time::Forward) => over_lanes::<V, 16, false>(sweep),
                (true, Time::Reverse) => over_lanes::<V, 16, true>(sweep),
                (false, Time::Forward) => over_lanes::<V, 8, false>(sweep),
                (false, Time::Reverse) => over_lanes::<V, 8, true>(sweep),
            }
        }
    }
}

/// `sweep` in tiles of R rows of one vector.
#[inline(always)]
unsafe fn over_lanes<V: Lanes, const R: usize, const REVERSE: bool>(sweep: &Sweep<'_>) {
    for lane in (0..sweep.lanes).step_by(V::N) {
        // SAFETY: the lanes from `lane` on.
        unsafe {
            match sweep.lanes - lane {
                left if left >= V::N => over_rows::<V, R, REVERSE, false>(sweep, lane, V::N),
                left => over_rows::<V, R, REVERSE, true>(sweep, lane, left),
            }
        }
    }
}

#[inline(always)]
unsafe fn over_rows<V: Lanes, const R: usize, const REVERSE: bool, const PART: bool>(
    sweep: &Sweep<'_>,
    lane: usize,
    lanes: usize,
) {
    let mut row = 0;
    while row < sweep.rows {
        let place = Place { row, lane, lanes };
        // SAFETY: as many rows as are left.
        row += unsafe {
            match sweep.rows - row {
                left if left >= R => tile::<V, R, REVERSE, PART>(sweep, place),
                left if left >= 4 => tile::<V, 4, REVERSE, PART>(sweep, place),
                _ => tile::<V, 1, REVERSE, PART>(sweep, place),
            }
        };
    }
}

/// Where a tile is: its first row, its first lane, and the lanes it has if fewer than a vector.
#[derive(Clone, Copy)]
struct Place {
    row: usize,
    lane: usize,
    lanes: usize,
}

impl Place {
    #[inline(always)]
    unsafe fn load<V: Lanes, const PART: bool>(self, from: *const f32) -> V {
        // SAFETY: the caller's.
        unsafe { if PART { V::load_part(from, self.lanes) } else { V::load(from) } }
    }

    #[inline(always)]
    unsafe fn store<V: Lanes, const PART: bool>(self, x: V, to: *mut f32) {
        // SAFETY: the caller's.
        unsafe { if PART { x.store_part(to, self.lanes) } else { x.store(to) } }
    }
}

/// R rows of one vector, over all positions; returns R.
#[inline(always)]
unsafe fn tile<V: Lanes, const R: usize, const REVERSE: bool, const PART: bool>(
    sweep: &Sweep<'_>,
    place: Place,
) -> usize {
    // SAFETY: rows and lanes are those of the operands by the caller's contract; `run` checked carry and bounds.
    unsafe {
        let carry = sweep.carry.as_ptr();
        let start = place.row * sweep.lanes + place.lane;
        let mut state = [V::splat(0.0); R];
        for (r, state) in state.iter_mut().enumerate() {
            *state = place.load::<V, PART>(sweep.from.add(start + r * sweep.lanes));
        }
        if REVERSE {
            rescale(&mut state, *carry.add(sweep.len));
            for span in sweep.bounds.windows(2).rev() {
                if alone(sweep, span) {
                    step_alone::<V, REVERSE, PART>(sweep, place, span[0]);
                    continue;
                }
                for t in (span[0]..span[1]).rev() {
                    step::<V, R, REVERSE, PART>(sweep, place, t, &mut state);
                }
                rescale(&mut state, *carry.add(span[0]));
            }
        } else {
            for span in sweep.bounds.windows(2) {
                if alone(sweep, span) {
                    step_alone::<V, REVERSE, PART>(sweep, place, span[0]);
                    continue;
                }
                rescale(&mut state, *carry.add(span[0]));
                for t in span[0]..span[1] {
                    step::<V, R, REVERSE, PART>(sweep, place, t, &mut state);
                }
            }
            rescale(&mut state, *carry.add(sweep.len));
        }
        for (r, state) in state.into_iter().enumerate() {
            place.store::<V, PART>(state, sweep.to.add(start + r * sweep.lanes));
        }
    }
    R
}

/// One position of a tile.
#[inline(always)]
unsafe fn step<V: Lanes, const R: usize, const REVERSE: bool, const PART: bool>(
    sweep: &Sweep<'_>,
    place: Place,
    t: usize,
    state: &mut [V; R],
) {
    // SAFETY: as in `tile`; `run` checked α, β and γ; a prefetch may be of anything.
    unsafe {
        let ahead = ahead::<REVERSE>(t);
        if place.lane == 0 {
            V::prefetch(sweep.k.pointer(ahead).wrapping_add(place.row));
            V::prefetch(sweep.w.pointer(ahead).wrapping_add(place.row));
            if let Some(next) = sweep.next {
                V::prefetch_to_write(next.row(t).wrapping_add(place.row));
            }
        }
        let (k, w) = (sweep.k.pointer(t).add(place.row), sweep.w.pointer(t).add(place.row));
        let (v, base, out) = ends::<V, REVERSE, PART>(sweep, place, t);
        let input = v.mul(V::splat(*sweep.alpha.as_ptr().add(t)));
        let mut sums = [V::splat(0.0); SUMS];
        for (r, state) in state.iter_mut().enumerate() {
            sums[r % SUMS] = V::splat(*w.add(r)).mul_add(*state, sums[r % SUMS]);
            *state = V::splat(*k.add(r)).mul_add(input, *state);
        }
        let mut sum = sums[0];
        for other in &sums[1..] {
            sum = sum.add(*other);
        }
        place.store::<V, PART>(sum.mul_add(V::splat(*sweep.beta.as_ptr().add(t)), base), out);
    }
}

/// v of a position, what its output is added to, and where that goes.
#[inline(always)]
unsafe fn ends<V: Lanes, const REVERSE: bool, const PART: bool>(
    sweep: &Sweep<'_>,
    place: Place,
    t: usize,
) -> (V, V, *mut f32) {
    // SAFETY: as in `step`.
    unsafe {
        let v = place.load::<V, PART>(sweep.v.pointer(t).add(place.lane));
        let out = sweep.out.row(t).add(place.lane);
        let mut base = V::splat(0.0);
        if place.row == 0 {
            let ahead = ahead::<REVERSE>(t);
            V::prefetch(sweep.v.pointer(ahead).wrapping_add(place.lane));
            V::prefetch_to_write(sweep.out.row(ahead).wrapping_add(place.lane));
            if let Some(gamma) = sweep.gamma {
                base = v.mul(V::splat(*gamma.as_ptr().add(t)));
            }
        }
        if sweep.add || place.row > 0 {
            base = base.add(place.load::<V, PART>(out));
        }
        (v, base, out)
    }
}

/// The row to prefetch at position t.
#[inline(always)]
fn ahead<const REVERSE: bool>(t: usize) -> usize {
    if REVERSE { t.wrapping_sub(AHEAD) } else { t + AHEAD }
}

/// Whether a span is one position whose state comes from nothing and goes to nothing.
#[inline(always)]
fn alone(sweep: &Sweep<'_>, span: &[usize]) -> bool {
    span[1] - span[0] == 1 && sweep.carry[span[0]] == 0.0 && sweep.carry[span[1]] == 0.0
}

/// [`step`] at a position that is [`alone`]: only v_t itself reaches out_t.
#[inline(always)]
unsafe fn step_alone<V: Lanes, const REVERSE: bool, const PART: bool>(sweep: &Sweep<'_>, place: Place, t: usize) {
    // SAFETY: as in `step`.
    unsafe {
        let (_, base, out) = ends::<V, REVERSE, PART>(sweep, place, t);
        place.store::<V, PART>(base, out);
    }
}

/// Multiplies the state by `factor`; what is left below 2⁻¹⁰⁰ is exactly zero, so that nothing gets subnormal.
#[inline(always)]
unsafe fn rescale<V: Lanes, const R: usize>(state: &mut [V; R], factor: f32) {
    if factor == 1.0 {
        return;
    }
    // SAFETY: the caller's.
    unsafe {
        if factor == 0.0 {
            *state = [V::splat(0.0); R];
            return;
        }
        let (factor, flush) = (V::splat(factor), V::splat(FLUSH));
        for state in state {
            *state = state.mul_add(factor, flush).sub(flush);
        }
    }
}
