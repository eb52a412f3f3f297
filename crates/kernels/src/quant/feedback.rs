//! rows, and in which directions an error costs → blocks whose errors make up for each other
//!
//! ```text
//! column j of a row → code under the scale of its span → error → the columns after j move against it
//! ```
//!
//! GPTQ (arXiv 2210.17323): rounding one column costs least if the columns that are still free make good what they can.
//! That is `x_k −= (x_j − q_j)·U_jk / U_jj` for k > j, where H⁻¹ = UᵀU. The scale of a span is chosen when its first column
//! is reached, from what its numbers have become by then.

use rayon::prelude::*;

use super::block::{MAX_LEN, Scaled, decode_block};
use super::{Iq4Nl, Kind, Mxfp4, Nvfp4, Q2_0, Q4_0, Q5_0, Q8_0, quantize_closest};

/// What is added to the diagonal of H, as a share of its mean: H may have no inverse.
const DAMPING: f64 = 0.01;

/// What an error in one column of a matrix costs, and what it has to do with errors in the others.
#[derive(Clone, Debug)]
pub struct Feedback {
    /// U_jk / U_jj, upper triangular `[cols, cols]`.
    upper: Vec<f32>,
    /// Diagonal of H.
    weights: Vec<f32>,
}

impl Feedback {
    /// From H `[cols, cols]`, symmetric and positive semidefinite: an error e `[cols]` in a row costs eᵀHe.
    ///
    /// # Panics
    /// If `hessian` is not `cols`² numbers.
    pub fn new(hessian: &[f32], cols: usize) -> Self {
        assert_eq!(hessian.len(), cols * cols, "a square");
        let mean = (0..cols).map(|j| f64::from(hessian[j * cols + j])).sum::<f64>() / cols as f64;
        // nothing is known of what is never used
        let damping = if mean > 0.0 { DAMPING * mean } else { 1.0 };
        let h = |i: usize, j: usize| f64::from(hessian[i * cols + j]) + if i == j { damping } else { 0.0 };
        // H = R·Rᵀ with R upper triangular, the last column first; then U = R⁻¹
        let mut r = vec![0.0; cols * cols];
        for j in (0..cols).rev() {
            for i in (0..=j).rev() {
                let known: f64 = (j + 1..cols).map(|k| r[i * cols + k] * r[j * cols + k]).sum();
                let rest = h(i, j) - known;
                r[i * cols + j] = if i == j { rest.max(damping).sqrt() } else { rest / r[j * cols + j] };
            }
        }
        let mut upper = vec![0.0; cols * cols];
        for j in 0..cols {
            upper[j * cols + j] = 1.0 / r[j * cols + j];
            for i in (0..j).rev() {
                let known: f64 = (i + 1..=j).map(|k| r[i * cols + k] * upper[k * cols + j]).sum();
                upper[i * cols + j] = -known / r[i * cols + i];
            }
        }
        for (j, row) in upper.chunks_exact_mut(cols).enumerate() {
            let diagonal = row[j];
            row.iter_mut().for_each(|u| *u /= diagonal);
        }
        Self {
            upper: upper.into_iter().map(|u| u as f32).collect(),
            weights: (0..cols).map(|j| h(j, j) as f32).collect(),
        }
    }

    /// What an error in each column costs by itself: the diagonal of H, damped.
    #[cfg(test)]
    pub(super) fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// Columns of the matrices that it is for.
    pub fn cols(&self) -> usize {
        self.weights.len()
    }
}

/// Round rows to blocks so that the sum of eᵀHe over them is small, e being the error of a row.
///
/// The kinds without a scale, or with a minimum, get the blocks of [`quantize`](super::quantize).
///
/// # Shapes
/// `x`: [rows, cols], `bytes`: the whole blocks of it.
///
/// # Panics
/// If a row is not whole blocks, or the lengths do not fit.
pub fn quantize_with_feedback(kind: Kind, x: &[f32], feedback: &Feedback, bytes: &mut [u8]) {
    let cols = feedback.cols();
    let row_bytes = kind.row_bytes(cols).expect("rows are whole blocks");
    assert_eq!(Some(bytes.len()), kind.row_bytes(x.len()), "bytes of {} elements of {}", x.len(), kind.name());
    let round: fn(Kind, &[f32], &Feedback, &mut [u8]) = match kind {
        Kind::Q8_0 => round_row::<Q8_0>,
        Kind::Q5_0 => round_row::<Q5_0>,
        Kind::Q4_0 => round_row::<Q4_0>,
        Kind::Iq4Nl => round_row::<Iq4Nl>,
        Kind::Mxfp4 => round_row::<Mxfp4>,
        Kind::Nvfp4 => round_row::<Nvfp4>,
        Kind::Q2_0 => round_row::<Q2_0>,
        Kind::F32 | Kind::F16 | Kind::Bf16 | Kind::F8E4M3 | Kind::Q4_1 | Kind::Q5_1 => {
            return super::quantize(kind, x, bytes);
        }
    };
    let rows = x.par_chunks_exact(cols).zip(bytes.par_chunks_exact_mut(row_bytes));
    rows.for_each(|(x, bytes)| round(kind, x, feedback, bytes));
}

fn round_row<B: Scaled>(kind: Kind, x: &[f32], feedback: &Feedback, bytes: &mut [u8]) {
    let cols = x.len();
    let mut x = x.to_vec();
    for (index, block) in bytes.chunks_exact_mut(B::BYTES).enumerate() {
        let begin = index * B::LEN;
        for span in 0..B::LEN / B::SPAN {
            let begin = begin + span * B::SPAN;
            // the scales of the groups before stay as they are: their numbers lie on their codes
            let whole = index * B::LEN..(index + 1) * B::LEN;
            let scale = {
                let mut found = [0; 36];
                let found = &mut found[..B::BYTES];
                quantize_closest(kind, &x[whole.clone()], Some(&feedback.weights[whole]), found);
                B::span_scale(found, span)
            };
            for column in begin..begin + B::SPAN {
                B::encode_span(&x[begin..begin + B::SPAN], span, scale, block);
                let mut numbers = [0.0; MAX_LEN];
                decode_block::<B>(block, &mut numbers[..B::LEN]);
                let rounded = numbers[column - index * B::LEN];
                let error = x[column] - rounded;
                x[column] = rounded;
                let row = &feedback.upper[column * cols..][..cols];
                x[column + 1..].iter_mut().zip(&row[column + 1..]).for_each(|(x, u)| *x -= error * u);
            }
            B::encode_span(&x[begin..begin + B::SPAN], span, scale, block);
        }
    }
}
