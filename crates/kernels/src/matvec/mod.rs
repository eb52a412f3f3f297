//! y = W·x with W in the form it has in a file.
//!
//! ```text
//! row of blocks → 64 numbers at a time, as f32 → Σ number·x → y[row]
//! ```

use crate::quant::{QuantMatrix, dequantize};

/// Elements of a row that are decoded at a time; every block length divides it.
const STRIP: usize = 64;

/// `y = W·x`, x taken as it is.
///
/// # Panics
/// If `x` is not a row's elements long, or `y` not the rows.
pub fn matvec(w: QuantMatrix<'_>, x: &[f32], y: &mut [f32]) {
    assert_eq!((x.len(), y.len()), (w.cols(), w.rows()), "operands of a {} × {} matrix", w.rows(), w.cols());
    let strip_bytes = w.kind().block_bytes() * (STRIP / w.kind().block_len());
    for (row, y) in y.iter_mut().enumerate() {
        let strips = w.row(row).chunks(strip_bytes).zip(x.chunks(STRIP));
        *y = strips.map(|(bytes, x)| strip(w, bytes, x)).sum();
    }
}

fn strip(w: QuantMatrix<'_>, bytes: &[u8], x: &[f32]) -> f32 {
    let mut numbers = [0.0; STRIP];
    let numbers = &mut numbers[..x.len()];
    dequantize(w.kind(), bytes, numbers);
    numbers.iter().zip(x).map(|(w, x)| w * x).sum()
}
