//! y = x·Wᵀ for rows of x, W packed as in its file.
//!
//! ```text
//! steps   rows of x, prepared once → products with packed rows of W            a row's bits depend on nothing else
//! chunk   panels of 64 rows of W → f32 → packed → matrix product               nor here, but they are others
//! ```
//!
//! A panel is the only part of W that is ever in f32. Threads share a product only where it takes longer than to wake them.

use itera_kernels::{
    gemm::{Matrix, MatrixMut, Packed, Write, gemm_packed, par_gemm_packed},
    matvec::{Activations, Batch, BatchMemory, multiply},
    quant::{QuantMatrix, Scales, dequantize},
};

use crate::buffer::{bytes, sized};

/// Rows of W that are expanded at a time.
const PANEL: usize = 64;

/// Multiply-adds from which a product is shared among threads: some 30 µs of one, as long as another takes to wake and to be joined.
const SHARED: usize = 1 << 21;

/// By which kernels rows are multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Few rows, against W as it is packed.
    Steps,
    /// Enough rows to make expanding W worth while.
    Chunk,
}

/// A matrix as it is packed in its file, and its scales, which steps want side by side.
pub(crate) struct Weight<'a> {
    packed: QuantMatrix<'a>,
    scales: Scales,
}

impl<'a> Weight<'a> {
    pub(crate) fn new(packed: QuantMatrix<'a>) -> Self {
        Self { packed, scales: packed.scales() }
    }

    /// As it lies in its file.
    pub(crate) fn packed(&self) -> QuantMatrix<'a> {
        self.packed
    }

    /// Bytes of the heap that its scales hold.
    pub(crate) fn scales_bytes(&self) -> usize {
        self.scales.size_bytes()
    }
}

/// Memory for the input of products, and for a panel.
#[derive(Debug)]
pub(crate) struct Scratch {
    batches: BatchMemory,
    panel: Vec<f32>,
    packed: Vec<f32>,
}

impl Scratch {
    pub(crate) fn new(activations: Activations) -> Self {
        Self { batches: BatchMemory::new(activations), panel: vec![], packed: vec![] }
    }

    /// Bytes of the heap that it holds.
    pub(crate) fn size_bytes(&self) -> usize {
        self.batches.size_bytes() + bytes(&self.panel) + bytes(&self.packed)
    }

    /// Bytes of the heap that it holds at most for `rows` rows of up to `k` numbers in this form, and for single ones.
    pub(crate) fn most_bytes(form: Form, rows: usize, k: usize) -> usize {
        match form {
            Form::Steps => BatchMemory::most_bytes(rows, k),
            Form::Chunk => BatchMemory::most_bytes(1, k) + size_of::<f32>() * (PANEL * k + Packed::len(k, PANEL)),
        }
    }

    /// Rows of `k` numbers, to be multiplied by one or several matrices.
    pub(crate) fn input<'a>(&'a mut self, form: Form, x: &'a [f32], k: usize) -> Input<'a> {
        match form {
            Form::Steps => Input::Steps(self.batches.batch(x, k)),
            Form::Chunk => {
                Input::Chunk { x: Matrix::new(x, x.len() / k, k), panel: &mut self.panel, packed: &mut self.packed }
            }
        }
    }
}

/// Rows that are ready to be multiplied.
pub(crate) enum Input<'a> {
    Steps(Batch<'a>),
    Chunk { x: Matrix<'a>, panel: &'a mut Vec<f32>, packed: &'a mut Vec<f32> },
}

impl Input<'_> {
    /// `y = x·Wᵀ`.
    ///
    /// # Shapes
    /// `w`: [o, k], x: [t, k], `y`: [t, o]
    pub(crate) fn times(&mut self, w: &Weight<'_>, y: &mut [f32]) {
        match self {
            Self::Steps(x) => multiply(w.packed.with_scales(&w.scales), x, y),
            Self::Chunk { x, panel, packed } => times_panels(*x, w.packed, panel, packed, y),
        }
    }
}

fn times_panels(x: Matrix<'_>, w: QuantMatrix<'_>, panel: &mut Vec<f32>, packed: &mut Vec<f32>, y: &mut [f32]) {
    let ((rows, k), outputs) = (x.shape(), w.rows());
    let packed = sized(packed, Packed::len(k, PANEL));
    for start in (0..outputs).step_by(PANEL) {
        let count = PANEL.min(outputs - start);
        let panel = sized(panel, count * k);
        dequantize(w.kind(), w.row_range(start, count).bytes(), panel);
        let packed = Packed::pack(Matrix::new(panel, count, k).t(), packed);
        let y = MatrixMut::strided(&mut y[start..], rows, count, outputs);
        match rows * k * count {
            ..SHARED => gemm_packed(x, packed, y, Write::Set),
            _ => par_gemm_packed(x, packed, y, Write::Set),
        }
    }
}

/// Row `index` of W times `m`.
pub(crate) fn lookup(w: QuantMatrix<'_>, index: usize, m: f32, y: &mut [f32]) {
    dequantize(w.kind(), w.row(index), y);
    if m != 1.0 {
        y.iter_mut().for_each(|y| *y *= m);
    }
}
