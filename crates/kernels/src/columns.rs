//! Where an operator's channels lie in the rows of a wider matrix.
//!
//! ```text
//! row: [ .. start .. | width channels | .. ]   stride floats from row to row
//! ```
//!
//! One product computes several inputs of the operators after it side by side (z | x | B | C | Δ); they read their
//! part of each row in place and write its gradient in place.

use crate::stored::Stored;

/// A range of the columns of a row-major matrix, in floats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Columns {
    /// From one row to the next.
    pub stride: usize,
    /// The first column of the range.
    pub start: usize,
    /// Columns in the range.
    pub width: usize,
}

impl Columns {
    /// The range of row `row` of `data`.
    ///
    /// # Panics
    /// If `data` has no such row or the range leaves it.
    #[inline(always)]
    pub(crate) fn row(self, data: &[f32], row: usize) -> &[f32] {
        &data[row * self.stride..][..self.stride][self.start..][..self.width]
    }

    /// The range of row `row` of `data`, to write.
    ///
    /// # Panics
    /// As [`row`](Self::row).
    #[inline(always)]
    pub(crate) fn row_mut(self, data: &mut [f32], row: usize) -> &mut [f32] {
        &mut data[row * self.stride..][..self.stride][self.start..][..self.width]
    }

    /// The range of row `row` of stored numbers.
    ///
    /// # Panics
    /// As [`row`](Self::row).
    #[inline(always)]
    pub(crate) fn stored_row(self, data: Stored<'_>, row: usize) -> Stored<'_> {
        data.range(row * self.stride..(row + 1) * self.stride).range(self.start..self.start + self.width)
    }

    /// The range of the first `rows` rows of `data`, and where it lies: in place, or widened side by side into `buffer`.
    pub(crate) fn read<'b>(self, data: Stored<'b>, rows: usize, buffer: &'b mut [f32]) -> (&'b [f32], Self) {
        match data {
            Stored::F32(data) => (data, self),
            Stored::Bf16(_) => {
                for (row, wide) in buffer.chunks_exact_mut(self.width).enumerate().take(rows) {
                    self.stored_row(data, row).copy_to(wide);
                }
                (buffer, Self { stride: self.width, start: 0, ..self })
            }
        }
    }

    /// Fails unless `len` floats are `rows` whole rows that hold the range.
    #[track_caller]
    pub(crate) fn assert_rows(self, len: usize, rows: usize, what: &str) {
        assert!(self.start + self.width <= self.stride, "{what}: {self:?} leaves its rows");
        assert_eq!(len, rows * self.stride, "{what}: {rows} rows of {} floats", self.stride);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_cut_at_start_and_width() {
        let mut data: Vec<f32> = (0..12).map(|x| x as f32).collect();
        let columns = Columns { stride: 6, start: 2, width: 3 };
        assert_eq!(columns.row(&data, 1), [8.0, 9.0, 10.0]);
        columns.row_mut(&mut data, 0).fill(-1.0);
        assert_eq!(data[..6], [0.0, 1.0, -1.0, -1.0, -1.0, 5.0]);
        let all = Columns { stride: 4, start: 0, width: 4 };
        assert_eq!(all.row(&data, 2), [8.0, 9.0, 10.0, 11.0]);
    }

    #[test]
    #[should_panic(expected = "leaves its rows")]
    fn a_range_past_the_row_is_refused() {
        Columns { stride: 4, start: 2, width: 3 }.assert_rows(8, 2, "z");
    }
}
