//! Rows of matrices by pointer, so that tasks can write different columns of the same rows.

#![expect(unsafe_code, reason = "disjoint columns of one row-major matrix")]

use std::marker::PhantomData;

/// Rows to read: `width` floats each, `stride` apart, from the start of `data`.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub data: &'a [f32],
    pub stride: usize,
    pub width: usize,
}

impl<'a> Rows<'a> {
    /// Columns from `column` of rows from `row` of a matrix of `stride` columns.
    pub fn new(data: &'a [f32], stride: usize, row: usize, column: usize, width: usize) -> Self {
        Self { data: &data[row * stride + column..], stride, width }
    }

    /// The rows from `row` on.
    #[inline(always)]
    pub fn from(self, row: usize) -> Self {
        Self { data: &self.data[row * self.stride..], ..self }
    }

    /// The start of row `row`, which need not exist.
    #[inline(always)]
    pub fn pointer(&self, row: usize) -> *const f32 {
        self.data.as_ptr().wrapping_add(row.wrapping_mul(self.stride))
    }
}

/// Rows to write, `stride` floats apart.
#[derive(Clone, Copy)]
pub(super) struct RowsMut<'a> {
    start: *mut f32,
    stride: usize,
    lifetime: PhantomData<&'a mut [f32]>,
}

// SAFETY: a pointer; whoever uses it promises that tasks keep to their own elements.
unsafe impl Send for RowsMut<'_> {}
// SAFETY: as above.
unsafe impl Sync for RowsMut<'_> {}

impl<'a> RowsMut<'a> {
    /// Rows of `data`.
    pub fn new(data: &'a mut [f32], stride: usize) -> Self {
        Self { start: data.as_mut_ptr(), stride, lifetime: PhantomData }
    }

    /// The rows from row `row` and column `column`.
    pub fn at(self, row: usize, column: usize) -> Self {
        Self { start: self.row(row).wrapping_add(column), ..self }
    }

    /// The start of row `row`.
    #[inline(always)]
    pub fn row(self, row: usize) -> *mut f32 {
        self.start.wrapping_add(row.wrapping_mul(self.stride))
    }

    /// The first `len` elements of row `row`.
    ///
    /// # Safety
    /// They exist, and nobody else reads or writes them.
    #[inline(always)]
    pub unsafe fn slice(self, row: usize, len: usize) -> &'a mut [f32] {
        // SAFETY: the caller's.
        unsafe { std::slice::from_raw_parts_mut(self.row(row), len) }
    }
}
