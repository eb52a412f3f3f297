//! Rows of blocks that lie one after the other in somebody else's bytes.

use super::{Kind, Scales};

/// `rows × cols` numbers of one kind, row after row, in bytes of any alignment: a tensor of a mapped file.
#[derive(Clone, Copy, Debug)]
pub struct QuantMatrix<'a> {
    kind: Kind,
    rows: usize,
    cols: usize,
    row_bytes: usize,
    bytes: &'a [u8],
    #[cfg_attr(
        not(target_arch = "x86_64"),
        expect(dead_code, reason = "the kernels there read scales in their blocks")
    )]
    scales: Option<&'a Scales>,
}

/// Bytes that are not the matrix they are said to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MatrixError {
    /// A row is not whole blocks, or there are more bytes than can be addressed.
    #[error("{rows} × {cols} numbers cannot be {}: a row must be a multiple of {}", .kind.name(), .kind.block_len())]
    Shape {
        /// The kind asked for.
        kind: Kind,
        /// Rows asked for.
        rows: usize,
        /// Elements of a row.
        cols: usize,
    },
    /// Another number of bytes than the shape needs.
    #[error("{rows} × {cols} numbers of {} take {expected} bytes, there are {got}", .kind.name())]
    Length {
        /// The kind asked for.
        kind: Kind,
        /// Rows asked for.
        rows: usize,
        /// Elements of a row.
        cols: usize,
        /// Bytes of that many rows.
        expected: usize,
        /// Bytes given.
        got: usize,
    },
}

impl<'a> QuantMatrix<'a> {
    /// View `bytes` as `rows × cols` numbers of `kind`.
    ///
    /// # Errors
    /// If a row is not whole blocks, or `bytes` are not exactly the rows.
    pub fn new(kind: Kind, rows: usize, cols: usize, bytes: &'a [u8]) -> Result<Self, MatrixError> {
        let row_bytes = kind.row_bytes(cols).ok_or(MatrixError::Shape { kind, rows, cols })?;
        let expected = row_bytes.checked_mul(rows).ok_or(MatrixError::Shape { kind, rows, cols })?;
        if bytes.len() != expected {
            return Err(MatrixError::Length { kind, rows, cols, expected, got: bytes.len() });
        }
        Ok(Self { kind, rows, cols, row_bytes, bytes, scales: None })
    }

    /// The kind of every element.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Rows: the length of W·x.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Elements of a row: the length of x in W·x.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Bytes of a row.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn row_bytes(&self) -> usize {
        self.row_bytes
    }

    /// A copy of its scales, for [`QuantMatrix::with_scales`].
    pub fn scales(&self) -> Scales {
        Scales::new(self.kind, self.rows, self.cols, self.bytes)
    }

    /// The same with its scales at hand, which makes products with one vector faster and changes no bit of them.
    ///
    /// # Panics
    /// If these are the scales of a matrix of another kind or shape.
    pub fn with_scales(self, scales: &'a Scales) -> Self {
        scales.assert_of(self.kind, self.rows, self.cols);
        Self { scales: Some(scales), ..self }
    }

    /// What is at hand of its scales.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn scales_at_hand(&self) -> Option<&'a Scales> {
        self.scales
    }

    /// All rows.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The blocks of row `index`, for [`dequantize`](super::dequantize).
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, index: usize) -> &'a [u8] {
        self.row_range(index, 1).bytes
    }

    /// Rows `start .. start + count` alone, without scales at hand: an expert of a stack of experts, a part of a fused projection.
    ///
    /// # Panics
    /// If these are not rows of this matrix.
    pub fn row_range(&self, start: usize, count: usize) -> Self {
        assert!(start <= self.rows && count <= self.rows - start, "rows {start}.. + {count} of {}", self.rows);
        let bytes = &self.bytes[start * self.row_bytes..][..count * self.row_bytes];
        Self { rows: count, bytes, scales: None, ..*self }
    }
}
