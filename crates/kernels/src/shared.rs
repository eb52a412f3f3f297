//! Rows of matrices: to read, to write, and to write while other tasks write other columns of the same rows.
//!
//! ```text
//! &mut [f32] → Shared, which every task has → a task claims its part: RowsMut → no other task has these elements
//! ```
//!
//! All bounds are checked when a part is made or claimed, and again at every step of a pointer in debug builds.

#![expect(unsafe_code, reason = "disjoint columns of one row-major matrix")]

use std::marker::PhantomData;

/// Rows to read: `width` floats each, `stride` apart, from the start of `data`.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    data: &'a [f32],
    pub(crate) stride: usize,
    pub(crate) width: usize,
}

impl<'a> Rows<'a> {
    /// Columns from `column` of rows from `row` of a matrix of `stride` columns.
    pub(crate) fn new(data: &'a [f32], stride: usize, row: usize, column: usize, width: usize) -> Self {
        Self { data: &data[row * stride + column..], stride, width }
    }

    /// The rows from `row` on.
    #[inline(always)]
    pub(crate) fn from(self, row: usize) -> Self {
        Self { data: &self.data[row * self.stride..], ..self }
    }

    /// Fails unless there are `rows` rows.
    #[inline(always)]
    pub(crate) fn assert_rows(&self, rows: usize) {
        assert!(end(self.stride, rows, self.width) <= self.data.len(), "{rows} rows of {} floats", self.width);
    }

    /// Element `column` of row `row`, the first of `len` that are there.
    #[inline(always)]
    pub(crate) fn at(&self, row: usize, column: usize, len: usize) -> *const f32 {
        debug_assert!(column + len <= self.width && row * self.stride + column + len <= self.data.len());
        self.address(row, column)
    }

    /// Where element `column` of row `row` is or would be: the row need not exist.
    #[inline(always)]
    pub(crate) fn address(&self, row: usize, column: usize) -> *const f32 {
        self.data.as_ptr().wrapping_add(row.wrapping_mul(self.stride).wrapping_add(column))
    }
}

/// Rows `stride` floats apart, of which tasks claim parts.
#[derive(Clone, Copy)]
pub(crate) struct Shared<'a> {
    start: *mut f32,
    /// Floats from `start` to the end of the data.
    len: usize,
    stride: usize,
    lifetime: PhantomData<&'a mut [f32]>,
}

// SAFETY: nothing is read or written through it but what `claim`, `slice` and `read` hand out, whose callers answer for
// no two tasks having the same elements.
unsafe impl Send for Shared<'_> {}
// SAFETY: a shared reference gives what a copy gives, see above.
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    /// Rows of `data`.
    pub(crate) fn new(data: &'a mut [f32], stride: usize) -> Self {
        Self { start: data.as_mut_ptr(), len: data.len(), stride, lifetime: PhantomData }
    }

    /// The rows from row `row` and column `column`.
    ///
    /// # Panics
    /// If these begin after the end of the data.
    pub(crate) fn at(self, row: usize, column: usize) -> Self {
        let offset = row * self.stride + column;
        assert!(offset <= self.len, "row {row}, column {column} of {} floats", self.len);
        Self { start: self.start.wrapping_add(offset), len: self.len - offset, ..self }
    }

    /// Where the start of row `row` is or would be: it need not exist.
    #[inline(always)]
    pub(crate) fn address(&self, row: usize) -> *const f32 {
        self.start.wrapping_add(row.wrapping_mul(self.stride))
    }

    /// The first `width` elements of each of the first `rows` rows.
    ///
    /// # Safety
    /// - Nobody else reads or writes these elements as long as the part exists.
    ///
    /// # Panics
    /// If there are fewer rows, or they overlap.
    pub(crate) unsafe fn claim(self, rows: usize, width: usize) -> RowsMut<'a> {
        assert!(end(self.stride, rows, width) <= self.len && width <= self.stride, "{rows} rows of {width} floats");
        RowsMut { start: self.start, stride: self.stride, rows, width, lifetime: PhantomData }
    }

    /// The first `len` elements of row `row`.
    ///
    /// # Safety
    /// - Nobody else reads or writes these elements as long as the slice exists.
    ///
    /// # Panics
    /// If they leave the data.
    pub(crate) unsafe fn slice(self, row: usize, len: usize) -> &'a mut [f32] {
        let part = self.at(row, 0);
        assert!(len <= part.len, "{len} floats from row {row}");
        // SAFETY: `part` begins in the data and `len` floats of it are left, checked above; they are the caller's alone.
        unsafe { std::slice::from_raw_parts_mut(part.start, len) }
    }

    /// Everything, to read.
    ///
    /// # Safety
    /// - Nobody writes any of it as long as the slice exists.
    pub(crate) unsafe fn read(self) -> &'a [f32] {
        // SAFETY: `start` and `len` are of one slice, since `new` and `at` keep them so; nobody writes it.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }
}

/// Rows to write, which nobody else has.
pub(crate) struct RowsMut<'a> {
    start: *mut f32,
    stride: usize,
    pub(crate) rows: usize,
    pub(crate) width: usize,
    lifetime: PhantomData<&'a mut [f32]>,
}

// SAFETY: the elements are this part's alone, so that another thread may have them as well as this one.
unsafe impl Send for RowsMut<'_> {}

impl<'a> RowsMut<'a> {
    /// The dense rows of `data`, as many as it has.
    pub(crate) fn new(data: &'a mut [f32], width: usize) -> Self {
        Self { start: data.as_mut_ptr(), stride: width, rows: data.len() / width, width, lifetime: PhantomData }
    }

    /// Element `column` of row `row`, the first of `len` that are there.
    #[inline(always)]
    pub(crate) fn at(&self, row: usize, column: usize, len: usize) -> *mut f32 {
        debug_assert!(row < self.rows && column + len <= self.width);
        self.address(row, column)
    }

    /// Where element `column` of row `row` is or would be: the row need not exist.
    #[inline(always)]
    pub(crate) fn address(&self, row: usize, column: usize) -> *mut f32 {
        self.start.wrapping_add(row.wrapping_mul(self.stride).wrapping_add(column))
    }
}

/// Floats from the start of the first to the end of the last of `rows` rows.
#[inline(always)]
fn end(stride: usize, rows: usize, width: usize) -> usize {
    if rows == 0 { 0 } else { (rows - 1) * stride + width }
}
