//! Products of rows that are sorted by expert with the matrix of their expert, and the gradients of those matrices
//!
//! A cube has a tile of [`TILE`] × [`TILE`] of the result, of which each unit has [`EACH`] numbers of a row. It goes along the
//! inner dimension in steps of [`TILE`], for which it has a tile of each operand in shared memory.

use cubecl::prelude::*;

use super::groups::{Groups, TILE};
use crate::cube::array::Array;

/// Columns of a tile that a unit computes.
const EACH: usize = 8;

/// Units of a cube.
const TEAM: usize = TILE * TILE / EACH;

/// Rows of an operand.
#[derive(Clone, Copy)]
pub(super) enum Rows<'a> {
    /// In the order of the rows.
    Sorted(&'a Array),
    /// Of tokens: the row of a slot is that of its token.
    OfTokens(&'a Array),
}

/// How a matrix [e, ·, ·] is multiplied by.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Turned {
    /// [e, o, i]: the result has o columns.
    Yes,
    /// [e, i, o]
    No,
}

impl<'a> Rows<'a> {
    fn array(self) -> &'a Array {
        match self {
            Self::Sorted(array) | Self::OfTokens(array) => array,
        }
    }

    fn are_of_tokens(self) -> bool {
        matches!(self, Self::OfTokens(_))
    }
}

impl Groups {
    /// Every row by the matrix of its expert: [r, i] → [r, o].
    pub(super) fn rows_by_experts(&self, rows: Rows<'_>, weights: &Array, turned: Turned) -> Array {
        let x = rows.array();
        let inner = x.width();
        let width = weights.len() / self.n_experts / inner;
        let y = x.beside([self.tiles * TILE, width]);
        rows_by_experts::launch(
            x.client(),
            CubeCount::Static(width.div_ceil(TILE) as u32, self.tiles as u32, 1),
            CubeDim::new_1d(TEAM as u32),
            x.arg(),
            weights.arg(),
            self.slots.arg(),
            self.experts.arg(),
            y.arg(),
            rows.are_of_tokens(),
            turned == Turned::Yes,
            inner,
            width,
            self.top_k,
        );
        y
    }

    /// Of each expert, the products of the columns of two operands over its rows: [r, o], [r, i] → [e, o, i].
    pub(super) fn weight_gradient(&self, left: Rows<'_>, right: Rows<'_>) -> Array {
        let (a, b) = (left.array(), right.array());
        let (outer, inner) = (a.width(), b.width());
        let gradient = a.beside([self.n_experts, outer, inner]);
        weight_gradient::launch(
            a.client(),
            CubeCount::Static(inner.div_ceil(TILE) as u32, outer.div_ceil(TILE) as u32, self.n_experts as u32),
            CubeDim::new_1d(TEAM as u32),
            a.arg(),
            b.arg(),
            self.slots.arg(),
            self.starts.arg(),
            gradient.arg(),
            left.are_of_tokens(),
            right.are_of_tokens(),
            outer,
            inner,
            self.top_k,
        );
        gradient
    }
}

/// A number of a row of an operand, zero where there is none.
#[cube]
fn number(
    x: &[f32],
    slots: &[i32],
    row: usize,
    column: usize,
    #[comptime] of_tokens: bool,
    #[comptime] width: usize,
    #[comptime] top_k: usize,
) -> f32 {
    let mut value = 0.0f32;
    if column < width {
        if comptime![of_tokens] {
            if slots[row] >= 0 {
                value = x[slots[row] as usize / top_k * width + column];
            }
        } else {
            value = x[row * width + column];
        }
    }
    value
}

#[cube(launch)]
fn rows_by_experts(
    x: &[f32],
    weights: &[f32],
    slots: &[i32],
    experts: &[i32],
    y: &mut [f32],
    #[comptime] of_tokens: bool,
    #[comptime] turned: bool,
    #[comptime] inner: usize,
    #[comptime] width: usize,
    #[comptime] top_k: usize,
) {
    let unit = UNIT_POS as usize;
    let first_row = CUBE_POS_Y as usize * TILE;
    let first_column = CUBE_POS_X as usize * TILE;
    let expert = experts[CUBE_POS_Y as usize];
    let mut left = Shared::new_slice(comptime![TILE * TILE]);
    let mut right = Shared::new_slice(comptime![TILE * TILE]);
    let own_row = unit / comptime![TILE / EACH];
    let own_column = unit % comptime![TILE / EACH] * EACH;
    let mut sums = cubecl::prelude::Array::<f32>::new(EACH);
    #[unroll]
    for j in 0..EACH {
        sums[j] = 0.0;
    }
    let steps = comptime![inner.div_ceil(TILE)];
    for step in 0..steps {
        for at in range_stepped(unit, comptime![TILE * TILE], TEAM) {
            let k = step * TILE + at % TILE;
            left[at] = number(x, slots, first_row + at / TILE, k, of_tokens, inner, top_k);
            // the inner dimension goes down the right tile
            let mut value = 0.0f32;
            if expert >= 0 {
                let first = expert as usize * inner * width;
                if comptime![turned] {
                    let column = first_column + at / TILE;
                    if column < width && k < inner {
                        value = weights[first + column * inner + k];
                    }
                } else {
                    let column = first_column + at % TILE;
                    let row = step * TILE + at / TILE;
                    if column < width && row < inner {
                        value = weights[first + row * width + column];
                    }
                }
            }
            if comptime![turned] {
                right[at % TILE * TILE + at / TILE] = value;
            } else {
                right[at] = value;
            }
        }
        sync_cube();
        for k in 0..TILE {
            let a = left[own_row * TILE + k];
            #[unroll]
            for j in 0..EACH {
                sums[j] += a * right[k * TILE + own_column + j];
            }
        }
        sync_cube();
    }
    #[unroll]
    for j in 0..EACH {
        let column = first_column + own_column + j;
        if column < width {
            y[(first_row + own_row) * width + column] = sums[j];
        }
    }
}

#[cube(launch)]
fn weight_gradient(
    a: &[f32],
    b: &[f32],
    slots: &[i32],
    starts: &[i32],
    gradient: &mut [f32],
    #[comptime] a_of_tokens: bool,
    #[comptime] b_of_tokens: bool,
    #[comptime] outer: usize,
    #[comptime] inner: usize,
    #[comptime] top_k: usize,
) {
    let unit = UNIT_POS as usize;
    let expert = CUBE_POS_Z as usize;
    let first_row = CUBE_POS_Y as usize * TILE;
    let first_column = CUBE_POS_X as usize * TILE;
    let mut left = Shared::new_slice(comptime![TILE * TILE]);
    let mut right = Shared::new_slice(comptime![TILE * TILE]);
    let own_row = unit / comptime![TILE / EACH];
    let own_column = unit % comptime![TILE / EACH] * EACH;
    let mut sums = cubecl::prelude::Array::<f32>::new(EACH);
    #[unroll]
    for j in 0..EACH {
        sums[j] = 0.0;
    }
    let first = starts[expert] as usize;
    let end = starts[expert + 1] as usize;
    for tile in first..end {
        for at in range_stepped(unit, comptime![TILE * TILE], TEAM) {
            let row = tile * TILE + at / TILE;
            left[at] = number(a, slots, row, first_row + at % TILE, a_of_tokens, outer, top_k);
            right[at] = number(b, slots, row, first_column + at % TILE, b_of_tokens, inner, top_k);
        }
        sync_cube();
        for k in 0..TILE {
            let a = left[k * TILE + own_row];
            #[unroll]
            for j in 0..EACH {
                sums[j] += a * right[k * TILE + own_column + j];
            }
        }
        sync_cube();
    }
    let row = first_row + own_row;
    if row < outer {
        #[unroll]
        for j in 0..EACH {
            let column = first_column + own_column + j;
            if column < inner {
                gradient[(expert * outer + row) * inner + column] = sums[j];
            }
        }
    }
}
