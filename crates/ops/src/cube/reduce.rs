//! units of a cube → their sum, their maximum; rows → the sum of each column

use cubecl::prelude::*;

use super::array::{Array, units};

/// The sum of `value` over the units of a cube, of which there are [`UNITS`](super::array::UNITS), in each of them. All
/// units call it.
#[cube]
pub(crate) fn cube_sum(value: f32, #[comptime] n_units: usize) -> f32 {
    cube_reduce(value, false, n_units)
}

/// The largest `value` of the units of a cube, as [`cube_sum`].
#[cube]
pub(crate) fn cube_max(value: f32, #[comptime] n_units: usize) -> f32 {
    cube_reduce(value, true, n_units)
}

#[cube]
fn cube_reduce(value: f32, #[comptime] is_max: bool, #[comptime] n_units: usize) -> f32 {
    let mut shared = Shared::new_slice(n_units);
    let unit = UNIT_POS as usize;
    shared[unit] = value;
    sync_cube();
    let mut half = comptime![n_units / 2].runtime();
    while half > 0 {
        if unit < half {
            let other = shared[unit + half];
            if comptime![is_max] {
                shared[unit] = max(shared[unit], other);
            } else {
                shared[unit] += other;
            }
        }
        half /= 2;
        sync_cube();
    }
    let result = shared[0];
    // the memory may be that of the next one too
    sync_cube();
    result
}

#[cube(launch)]
fn column_sums_kernel(rows: &[f32], sums: &mut [f32], n_rows: usize) {
    let column = ABSOLUTE_POS;
    let width = sums.len();
    if column < width {
        let mut sum = 0.0f32;
        for row in 0..n_rows {
            sum += rows[row * width + column];
        }
        sums[column] = sum;
    }
}

/// The sum of each column of rows `[n, d]` → `[d]`: what blocks of a pass over all tokens found of a weight's gradient.
pub(crate) fn column_sums(rows: &Array) -> Array {
    let width = rows.width();
    let sums = rows.beside([width]);
    let (count, dim) = units(rows.client(), width);
    column_sums_kernel::launch(rows.client(), count, dim, rows.arg(), sums.arg(), rows.len() / width);
    sums
}
