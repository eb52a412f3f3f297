//! Views of matrices in slices.

use crate::stored::Stored;

/// What a product sees of its operands. Sums are in f32 either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Operands {
    /// The numbers themselves.
    #[default]
    F32,
    /// Each number rounded to the nearest bfloat16, ties to even, and subnormal ones to 0.
    Bf16,
}

/// A matrix to read: element (r, c) is `data[r · row_stride + c · col_stride]`.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    pub(super) data: &'a [f32],
    pub(super) operands: Operands,
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) row_stride: usize,
    pub(super) col_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Dense rows of `cols` elements.
    ///
    /// # Panics
    /// If `data` is too short.
    pub fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols, 1)
    }

    /// Any strides, in elements.
    ///
    /// # Panics
    /// If `data` ends before the last element.
    pub fn strided(data: &'a [f32], rows: usize, cols: usize, row_stride: usize, col_stride: usize) -> Self {
        assert_inside(data.len(), rows, cols, row_stride, col_stride);
        Self { data, operands: Operands::F32, rows, cols, row_stride, col_stride }
    }

    /// The same, to be multiplied as `operands` says; what the right operand says counts.
    pub fn with_operands(self, operands: Operands) -> Self {
        Self { operands, ..self }
    }

    /// (rows, columns)
    pub fn shape(&self) -> (usize, usize) {
        (self.rows, self.cols)
    }

    /// Element (r, c).
    ///
    /// # Panics
    /// If there is none.
    pub fn at(&self, r: usize, c: usize) -> f32 {
        assert!(r < self.rows && c < self.cols, "element ({r}, {c}) of a {}×{} matrix", self.rows, self.cols);
        self.data[r * self.row_stride + c * self.col_stride]
    }

    /// The transpose, of the same data.
    pub fn t(self) -> Self {
        Self { rows: self.cols, cols: self.rows, row_stride: self.col_stride, col_stride: self.row_stride, ..self }
    }

    /// `count` rows from `start`.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn row_range(self, start: usize, count: usize) -> Self {
        assert!(start + count <= self.rows, "rows {start}..{} of {}", start + count, self.rows);
        let from = (start * self.row_stride).min(self.data.len());
        Self { data: &self.data[from..], rows: count, ..self }
    }

    /// `count` columns from `start`.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn col_range(self, start: usize, count: usize) -> Self {
        self.t().row_range(start, count).t()
    }
}

/// A right operand: numbers, or dense rows of numbers that were rounded before.
#[derive(Clone, Copy, Debug)]
pub enum Right<'a> {
    /// Numbers, read as the matrix says.
    Matrix(Matrix<'a>),
    /// Rows of bfloat16, which are multiplied as [`Operands::Bf16`].
    Rounded {
        /// [rows, cols]
        numbers: &'a [u16],
        /// Rows.
        rows: usize,
        /// Columns.
        cols: usize,
    },
}

impl<'a> From<Matrix<'a>> for Right<'a> {
    fn from(b: Matrix<'a>) -> Self {
        Self::Matrix(b)
    }
}

impl<'a> Right<'a> {
    /// Dense rows of stored numbers, to be multiplied as `operands` says, or as [`Operands::Bf16`] if they were rounded.
    ///
    /// # Panics
    /// If there are fewer numbers.
    pub fn stored(numbers: Stored<'a>, rows: usize, cols: usize, operands: Operands) -> Self {
        match numbers {
            Stored::F32(numbers) => Matrix::new(numbers, rows, cols).with_operands(operands).into(),
            Stored::Bf16(numbers) => Self::Rounded { numbers: &numbers[..rows * cols], rows, cols },
        }
    }

    pub(super) fn shape(&self) -> (usize, usize) {
        match self {
            Self::Matrix(b) => b.shape(),
            Self::Rounded { rows, cols, .. } => (*rows, *cols),
        }
    }

    pub(super) fn operands(&self) -> Operands {
        match self {
            Self::Matrix(b) => b.operands,
            Self::Rounded { .. } => Operands::Bf16,
        }
    }

    /// `count` rows from `start`.
    pub(super) fn row_range(self, start: usize, count: usize) -> Self {
        match self {
            Self::Matrix(b) => b.row_range(start, count).into(),
            Self::Rounded { numbers, cols, .. } => {
                Self::Rounded { numbers: &numbers[start * cols..][..count * cols], rows: count, cols }
            }
        }
    }
}

/// A matrix to write: element (r, c) is `data[r · row_stride + c]`.
#[derive(Debug)]
pub struct MatrixMut<'a> {
    pub(super) data: &'a mut [f32],
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) row_stride: usize,
}

impl<'a> MatrixMut<'a> {
    /// Dense rows of `cols` elements.
    ///
    /// # Panics
    /// If `data` is too short.
    pub fn new(data: &'a mut [f32], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols)
    }

    /// Rows `row_stride` elements apart.
    ///
    /// # Panics
    /// If `data` ends before the last element, or rows overlap.
    pub fn strided(data: &'a mut [f32], rows: usize, cols: usize, row_stride: usize) -> Self {
        assert_inside(data.len(), rows, cols, row_stride, 1);
        assert!(row_stride >= cols || rows <= 1, "rows of {cols} columns overlap at stride {row_stride}");
        Self { data, rows, cols, row_stride }
    }
}

fn assert_inside(len: usize, rows: usize, cols: usize, row_stride: usize, col_stride: usize) {
    if rows > 0 && cols > 0 {
        let last = (rows - 1) * row_stride + (cols - 1) * col_stride;
        assert!(
            last < len,
            "a {rows}×{cols} matrix with strides {row_stride}, {col_stride} does not fit {len} elements"
        );
    }
}
