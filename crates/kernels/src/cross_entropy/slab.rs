//! The weights of many tokens, which blocks of tokens write side by side and the gradient of the head reads by rows.

use std::marker::PhantomData;

use crate::{
    simd::simd,
    softmax::{COLUMNS, exp_sum_and},
};

/// One block's columns in every row of a slab.
pub(super) struct Slab<'a> {
    first: *mut f32,
    stride: usize,
    rows: usize,
    slab: PhantomData<&'a mut [f32]>,
}

#[expect(unsafe_code, reason = "see SAFETY")]
// SAFETY: `columns` hands out ranges that do not overlap, so two threads never write the same element.
unsafe impl Send for Slab<'_> {}

impl<'a> Slab<'a> {
    /// The blocks of a slab whose rows are `stride` apart.
    pub(super) fn columns(slab: &'a mut [f32], stride: usize) -> impl Iterator<Item = Self> {
        let (rows, first) = (slab.len() / stride, slab.as_mut_ptr());
        (0..stride / COLUMNS).map(move |block| Self {
            first: first.wrapping_add(block * COLUMNS),
            stride,
            rows,
            slab: PhantomData,
        })
    }

    #[inline(always)]
    #[expect(unsafe_code, reason = "see SAFETY")]
    fn write_row(&mut self, row: usize, values: &[f32; COLUMNS]) {
        assert!(row < self.rows);
        // SAFETY: the row is one of the slab's, checked above, and this block's columns lie inside it since
        // (block + 1)·COLUMNS ≤ stride.
        unsafe { self.first.add(row * self.stride).cast::<[f32; COLUMNS]>().write(*values) }
    }
}

simd! {
    /// [`exp_and_sum`](crate::softmax::exp_and_sum) that writes the exponentials into rows from `first` of `slab` too.
    pub(super) fn exp_and_sum_twice<S>(
        z: &mut [f32],
        max: &[f32; COLUMNS],
        first: usize,
        slab: &mut Slab<'_>,
    ) -> [f32; COLUMNS] {
        exp_sum_and::<S>(z, max, |row, values| slab.write_row(first + row, values))
    }
}
