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

use crate::{
    shared::{Rows, RowsMut, Shared},
    simd::{Isa, Lanes, simd},
};

/// Which way time runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Time {
    Forward,
    Reverse,
}

/// A pass over a chunk of positions, as many as `out` has rows. Row t of each operand is position t.
///
/// # Shapes
/// `k`, `w`: [len, rows of the state]; `v`, `out`: [len, lanes of the state]
pub(super) struct Sweep<'a> {
    pub time: Time,
    pub k: Rows<'a>,
    pub v: Rows<'a>,
    pub w: Rows<'a>,
    pub out: RowsMut<'a>,
    /// Rows as wide as those of `k` that are written after the pass, to have them in the cache by then.
    pub next: Option<Shared<'a>>,
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
    /// The state before, [rows, lanes]; what `to` holds if absent.
    pub from: Option<&'a [f32]>,
    /// The state after, [rows, lanes].
    pub to: &'a mut [f32],
}

/// States below 2⁻¹⁰⁰ become zero when they are rescaled: they are added to this and lose what is below its last bit.
const FLUSH: f32 = 1.0 / (1u128 << 76) as f32;

/// Rows by which operands are asked for ahead: some 1,500 cycles.
const AHEAD: usize = 48;

/// Chains in which the sum over the rows of a tile runs, so that none waits for its own additions.
const SUMS: usize = 4;

simd! {
    /// Runs `sweep`.
    ///
    /// # Panics
    /// If an operand is too short, or rows differ in width.
    pub(super) fn run<S>[isa](sweep: Sweep<'_>) {
        let mut sweep = sweep;
        let Sweep { k, v, w, out, alpha, beta, gamma, carry, bounds, from, to, .. } = &mut sweep;
        let (len, rows, lanes) = (out.rows, k.width, out.width);
        k.assert_rows(len);
        v.assert_rows(len);
        w.assert_rows(len);
        assert!(w.width == rows && v.width == lanes, "rows of one width");
        assert!(alpha.len() >= len && beta.len() >= len && carry.len() > len, "a number a position");
        assert!(gamma.is_none_or(|gamma| gamma.len() >= len), "a number a position");
        assert!(bounds[0] == 0 && bounds[bounds.len() - 1] == len && bounds.is_sorted(), "spans of {len} positions");
        assert!(to.len() == rows * lanes && from.is_none_or(|from| from.len() == to.len()), "a state [{rows}, {lanes}]");
        let to = to.as_mut_ptr();
        let state = State { from: from.map_or(to.cast_const(), <[f32]>::as_ptr), to, rows, lanes };
        // what registers hold: 16 of 32 of them, or 8 of 16
        match (S::REGISTERS == 32, sweep.time) {
            (true, Time::Forward) => over_lanes::<S, 16, false>(isa, &sweep, &state),
            (true, Time::Reverse) => over_lanes::<S, 16, true>(isa, &sweep, &state),
            (false, Time::Forward) => over_lanes::<S, 8, false>(isa, &sweep, &state),
            (false, Time::Reverse) => over_lanes::<S, 8, true>(isa, &sweep, &state),
        }
    }
}

/// The state [rows, lanes] that a pass drives: where it comes from and where it goes, perhaps the same place.
struct State {
    from: *const f32,
    to: *mut f32,
    rows: usize,
    lanes: usize,
}

/// `sweep` in tiles of R rows of one vector.
#[inline(always)]
fn over_lanes<S: Isa, const R: usize, const REVERSE: bool>(isa: S, sweep: &Sweep<'_>, state: &State) {
    for lane in (0..state.lanes).step_by(S::Lanes::N) {
        match state.lanes - lane {
            left if left >= S::Lanes::N => over_rows::<S, R, REVERSE, false>(isa, sweep, state, lane, S::Lanes::N),
            left => over_rows::<S, R, REVERSE, true>(isa, sweep, state, lane, left),
        }
    }
}

#[inline(always)]
fn over_rows<S: Isa, const R: usize, const REVERSE: bool, const PART: bool>(
    isa: S,
    sweep: &Sweep<'_>,
    state: &State,
    lane: usize,
    lanes: usize,
) {
    let mut row = 0;
    while row < state.rows {
        let place = Place { row, lane, lanes };
        row += match state.rows - row {
            left if left >= R => tile::<S, R, REVERSE, PART>(isa, sweep, state, place),
            left if left >= 4 => tile::<S, 4, REVERSE, PART>(isa, sweep, state, place),
            _ => tile::<S, 1, REVERSE, PART>(isa, sweep, state, place),
        };
    }
}

/// Where a tile is: its first row, its first lane, and its lanes: those of a vector, or fewer if it is PART of one.
#[derive(Clone, Copy)]
struct Place {
    row: usize,
    lane: usize,
    lanes: usize,
}

impl Place {
    /// # Safety
    /// - `from` is valid for reads of `self.lanes` floats.
    #[inline(always)]
    unsafe fn load<S: Isa, const PART: bool>(self, isa: S, from: *const f32) -> S::Lanes {
        // SAFETY: `load` reads N floats, which `self.lanes` is unless the tile is PART of a vector.
        unsafe { if PART { isa.load_part(from, self.lanes) } else { isa.load(from) } }
    }

    /// # Safety
    /// - `to` is valid for writes of `self.lanes` floats.
    #[inline(always)]
    unsafe fn store<V: Lanes, const PART: bool>(self, x: V, to: *mut f32) {
        // SAFETY: `store` writes N floats, which `self.lanes` is unless the tile is PART of a vector.
        unsafe { if PART { x.store_part(to, self.lanes) } else { x.store(to) } }
    }
}

/// R rows of one vector, over all positions; returns R.
#[inline(always)]
fn tile<S: Isa, const R: usize, const REVERSE: bool, const PART: bool>(
    isa: S,
    sweep: &Sweep<'_>,
    state: &State,
    place: Place,
) -> usize {
    let at = |r: usize| (place.row + r) * state.lanes + place.lane;
    debug_assert!(place.row + R <= state.rows && place.lane + place.lanes <= state.lanes);
    let mut tile = [isa.splat(0.0); R];
    for (r, tile) in tile.iter_mut().enumerate() {
        // SAFETY: `run` checked that `from` is [rows, lanes], and the tile lies in that by `over_rows`, `over_lanes`.
        *tile = unsafe { place.load::<S, PART>(isa, state.from.add(at(r))) };
    }
    let len = sweep.out.rows;
    if REVERSE {
        rescale(isa, &mut tile, sweep.carry[len]);
        for span in sweep.bounds.windows(2).rev() {
            if alone(sweep, span) {
                step_alone::<S, REVERSE, PART>(isa, sweep, place, span[0]);
                continue;
            }
            for t in (span[0]..span[1]).rev() {
                step::<S, R, REVERSE, PART>(isa, sweep, place, t, &mut tile);
            }
            rescale(isa, &mut tile, sweep.carry[span[0]]);
        }
    } else {
        for span in sweep.bounds.windows(2) {
            if alone(sweep, span) {
                step_alone::<S, REVERSE, PART>(isa, sweep, place, span[0]);
                continue;
            }
            rescale(isa, &mut tile, sweep.carry[span[0]]);
            for t in span[0]..span[1] {
                step::<S, R, REVERSE, PART>(isa, sweep, place, t, &mut tile);
            }
        }
        rescale(isa, &mut tile, sweep.carry[len]);
    }
    for (r, tile) in tile.into_iter().enumerate() {
        // SAFETY: `run` checked that `to` is [rows, lanes], and the tile lies in that by `over_rows`, `over_lanes`.
        unsafe { place.store::<S::Lanes, PART>(tile, state.to.add(at(r))) };
    }
    R
}

/// One position of a tile; `t` is one of the positions of `bounds`.
#[inline(always)]
fn step<S: Isa, const R: usize, const REVERSE: bool, const PART: bool>(
    isa: S,
    sweep: &Sweep<'_>,
    place: Place,
    t: usize,
    state: &mut [S::Lanes; R],
) {
    let ahead = ahead::<REVERSE>(t);
    if place.lane == 0 {
        S::prefetch(sweep.k.address(ahead, place.row));
        S::prefetch(sweep.w.address(ahead, place.row));
        if let Some(next) = sweep.next {
            S::prefetch_to_write(next.address(t).wrapping_add(place.row));
        }
    }
    let (k, w) = (sweep.k.at(t, place.row, R), sweep.w.at(t, place.row, R));
    let (v, base, out) = ends::<S, REVERSE, PART>(isa, sweep, place, t);
    // SAFETY: t < len, since `run` checked that `bounds` are sorted and end at len; it checked too that there are as many
    // α and β, and that `k` and `w` have as many rows of the rows of the state, of which the tile has R from `place.row`.
    // `ends` says what `out` has room for.
    unsafe {
        let input = v.mul(isa.splat(*sweep.alpha.get_unchecked(t)));
        let mut sums = [isa.splat(0.0); SUMS];
        for (r, state) in state.iter_mut().enumerate() {
            sums[r % SUMS] = isa.splat(*w.add(r)).mul_add(*state, sums[r % SUMS]);
            *state = isa.splat(*k.add(r)).mul_add(input, *state);
        }
        let mut sum = sums[0];
        for other in &sums[1..] {
            sum = sum.add(*other);
        }
        place.store::<S::Lanes, PART>(sum.mul_add(isa.splat(*sweep.beta.get_unchecked(t)), base), out);
    }
}

/// v of a position, what its output is added to, and where that goes, with room for `place.lanes`.
#[inline(always)]
fn ends<S: Isa, const REVERSE: bool, const PART: bool>(
    isa: S,
    sweep: &Sweep<'_>,
    place: Place,
    t: usize,
) -> (S::Lanes, S::Lanes, *mut f32) {
    let out = sweep.out.at(t, place.lane, place.lanes);
    // SAFETY: t < len, since `run` checked that `bounds` are sorted and end at len; it checked too that there are as many γ
    // if any, and that `v` and `out` have as many rows of the lanes of the state, of which the tile has `place.lanes`.
    unsafe {
        let v = place.load::<S, PART>(isa, sweep.v.at(t, place.lane, place.lanes));
        let mut base = isa.splat(0.0);
        if place.row == 0 {
            let ahead = ahead::<REVERSE>(t);
            S::prefetch(sweep.v.address(ahead, place.lane));
            S::prefetch_to_write(sweep.out.address(ahead, place.lane));
            if let Some(gamma) = sweep.gamma {
                base = v.mul(isa.splat(*gamma.get_unchecked(t)));
            }
        }
        if sweep.add || place.row > 0 {
            base = base.add(place.load::<S, PART>(isa, out));
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
fn step_alone<S: Isa, const REVERSE: bool, const PART: bool>(isa: S, sweep: &Sweep<'_>, place: Place, t: usize) {
    let (_, base, out) = ends::<S, REVERSE, PART>(isa, sweep, place, t);
    // SAFETY: `ends` returns a pointer with room for `place.lanes` floats.
    unsafe { place.store::<S::Lanes, PART>(base, out) };
}

/// Multiplies the state by `factor`; what is left below 2⁻¹⁰⁰ is exactly zero, so that nothing gets subnormal.
#[inline(always)]
fn rescale<S: Isa, const R: usize>(isa: S, state: &mut [S::Lanes; R], factor: f32) {
    if factor == 1.0 {
        return;
    }
    if factor == 0.0 {
        *state = [isa.splat(0.0); R];
        return;
    }
    let (factor, flush) = (isa.splat(factor), isa.splat(FLUSH));
    for state in state {
        *state = state.mul_add(factor, flush).sub(flush);
    }
}
