//! The weights of many tokens, which blocks of tokens write side by side and the gradient of the head reads by rows.

#![expect(unsafe_code, reason = "blocks are columns of the same rows")]

use crate::{
    shared::{RowsMut, Shared},
    simd::simd,
    softmax::{COLUMNS, exp_sum_and},
};

/// Each block's columns in every row of a slab whose rows are `stride` apart.
pub(super) fn columns(slab: &mut [f32], stride: usize) -> impl Iterator<Item = RowsMut<'_>> {
    let rows = slab.len() / stride;
    let slab = Shared::new(slab, stride);
    // SAFETY: the columns of two blocks are different ones, and nobody else has the slab as long as the blocks exist.
    (0..stride / COLUMNS).map(move |block| unsafe { slab.at(0, block * COLUMNS).claim(rows, COLUMNS) })
}

simd! {
    /// [`exp_and_sum`](crate::softmax::exp_and_sum) that writes the exponentials into rows from `first` of `block` too.
    pub(super) fn exp_and_sum_twice<S>(
        z: &mut [f32],
        max: &[f32; COLUMNS],
        first: usize,
        block: &mut RowsMut<'_>,
    ) -> [f32; COLUMNS] {
        let rows = z.len() / COLUMNS;
        assert!(block.width == COLUMNS && first + rows <= block.rows, "rows {first}.. + {rows} of {}", block.rows);
        exp_sum_and::<S>(z, max, |row, values| {
            let to = block.at(first + row, 0, COLUMNS).cast::<[f32; COLUMNS]>();
            // SAFETY: the row is one of the block's, since `row` < `rows` of the assertion, and is as wide as `values`.
            unsafe { to.write(*values) };
        })
    }
}
