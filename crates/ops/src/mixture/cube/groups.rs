//! slots, each an expert of a token → rows sorted by expert, by counting
//!
//! Rows of an expert begin at a multiple of [`TILE`], so that no tile of a product has two experts, and there is room for
//! the most that padding can take: no host needs to know how many tokens an expert got.

#![expect(clippy::needless_range_loop, reason = "slices of a kernel have no iterators")]

use cubecl::prelude::*;

use super::route::Routed;
use crate::cube::array::{Array, Indices, units};

/// Rows of a tile.
pub(super) const TILE: usize = 32;

/// Slots that a unit counts.
const BLOCK: usize = 256;

/// Rows sorted by expert, and those of an expert in the order of their slots.
pub(super) struct Groups {
    /// The slot of each row, −1 where there is none.
    pub slots: Indices,
    /// The row of each slot.
    pub rows: Indices,
    /// The expert of each tile, −1 where there is none.
    pub experts: Indices,
    /// First tile of each expert, and the end of the last one.
    pub starts: Indices,
    pub tiles: usize,
    pub top_k: usize,
    pub n_experts: usize,
}

impl Groups {
    pub(super) fn new(routed: &Routed, n_experts: usize) -> Self {
        let weights = &routed.weights;
        let (n_slots, top_k) = (weights.len(), weights.width());
        let client = weights.client();
        let blocks = n_slots.div_ceil(BLOCK);
        // each expert but an empty one may leave all but one row of a tile empty
        let tiles = (n_slots + n_experts.min(n_slots) * (TILE - 1)).div_ceil(TILE);
        let indices = |len| Indices::beside(weights, len);
        let counts = indices(blocks * n_experts);
        let (count, dim) = units(client, blocks * n_experts);
        count_slots::launch(client, count, dim, routed.ids.arg(), counts.arg(), n_slots, n_experts, BLOCK);
        let starts = indices(n_experts + 1);
        begin_experts::launch(
            client,
            CubeCount::new_single(),
            CubeDim::new_1d(1),
            counts.arg(),
            starts.arg(),
            blocks,
            n_experts,
            TILE,
        );
        let (experts, slots, rows) = (indices(tiles), indices(tiles * TILE), indices(n_slots));
        let (count, dim) = units(client, tiles);
        begin_tiles::launch(client, count, dim, starts.arg(), experts.arg(), slots.arg(), n_experts, TILE);
        let (count, dim) = units(client, blocks * n_experts);
        place_slots::launch(
            client,
            count,
            dim,
            routed.ids.arg(),
            counts.arg(),
            starts.arg(),
            slots.arg(),
            rows.arg(),
            n_slots,
            n_experts,
            BLOCK,
            TILE,
        );
        Self { slots, rows, experts, starts, tiles, top_k, n_experts }
    }

    /// `base` [t, d] and, of each token, its rows [r, d], times its weights [t, k] where there are some.
    pub(super) fn sum_of_tokens(&self, of_rows: &Array, weights: Option<&Array>, base: &Array) -> Array {
        let sum = base.like();
        let (count, dim) = units(base.client(), base.len());
        sum_rows::launch(
            base.client(),
            count,
            dim,
            of_rows.arg(),
            self.rows.arg(),
            weights.unwrap_or(base).arg(),
            base.arg(),
            sum.arg(),
            weights.is_some(),
            base.width(),
            self.top_k,
        );
        sum
    }
}

/// A unit an expert and a block of slots.
#[cube(launch)]
fn count_slots(
    ids: &[i32],
    counts: &mut [i32],
    n_slots: usize,
    #[comptime] n_experts: usize,
    #[comptime] block: usize,
) {
    let at = ABSOLUTE_POS;
    if at < counts.len() {
        let expert = (at % n_experts) as i32;
        let first = at / n_experts * block;
        let mut count = 0i32;
        for slot in first..(first + block).min(n_slots) {
            if ids[slot] == expert {
                count += 1;
            }
        }
        counts[at] = count;
    }
}

/// One unit: counts become those of the blocks before, and experts get their tiles.
#[cube(launch)]
fn begin_experts(
    counts: &mut [i32],
    starts: &mut [i32],
    blocks: usize,
    #[comptime] n_experts: usize,
    #[comptime] tile: usize,
) {
    let mut tiles = 0usize;
    for expert in 0..n_experts {
        let mut before = 0i32;
        for block in 0..blocks {
            let at = block * n_experts + expert;
            let count = counts[at];
            counts[at] = before;
            before += count;
        }
        starts[expert] = tiles as i32;
        tiles += (before as usize).div_ceil(tile);
    }
    starts[n_experts] = tiles as i32;
}

/// A unit a tile: its expert, and no slots yet.
#[cube(launch)]
fn begin_tiles(
    starts: &[i32],
    experts: &mut [i32],
    slots: &mut [i32],
    #[comptime] n_experts: usize,
    #[comptime] tile: usize,
) {
    let at = ABSOLUTE_POS;
    if at < experts.len() {
        let mut of_tile = i32::new(-1);
        for expert in 0..n_experts {
            if starts[expert] <= at as i32 && (at as i32) < starts[expert + 1] {
                of_tile = expert as i32;
            }
        }
        experts[at] = of_tile;
        for row in at * tile..(at + 1) * tile {
            slots[row] = i32::new(-1);
        }
    }
}

/// A unit an expert and a block of slots.
#[cube(launch)]
fn place_slots(
    ids: &[i32],
    counts: &[i32],
    starts: &[i32],
    slots: &mut [i32],
    rows: &mut [i32],
    n_slots: usize,
    #[comptime] n_experts: usize,
    #[comptime] block: usize,
    #[comptime] tile: usize,
) {
    let at = ABSOLUTE_POS;
    if at < counts.len() {
        let expert = at % n_experts;
        let first = at / n_experts * block;
        let mut row = starts[expert] as usize * tile + counts[at] as usize;
        for slot in first..(first + block).min(n_slots) {
            if ids[slot] == expert as i32 {
                slots[row] = slot as i32;
                rows[slot] = row as i32;
                row += 1;
            }
        }
    }
}

#[cube(launch)]
fn sum_rows(
    of_rows: &[f32],
    rows: &[i32],
    weights: &[f32],
    base: &[f32],
    sum: &mut [f32],
    #[comptime] is_weighed: bool,
    #[comptime] width: usize,
    #[comptime] top_k: usize,
) {
    let at = ABSOLUTE_POS;
    if at < sum.len() {
        let token = at / width;
        let mut value = base[at];
        for rank in 0..top_k {
            let slot = token * top_k + rank;
            let of_row = of_rows[rows[slot] as usize * width + at % width];
            if comptime![is_weighed] {
                value += weights[slot] * of_row;
            } else {
                value += of_row;
            }
        }
        sum[at] = value;
    }
}
