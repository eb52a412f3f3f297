//! One Muon step over matrices: momentum, then the nearest semi-orthogonal matrix of it, as the update.
//!
//! ```text
//! tensors → the matrices in each → rayon, a task each
//! gradient, momentum → update u → X = u/‖u‖ → X = (a + b·X·Xᵀ + c·(X·Xᵀ)²)·X, a few times → weight
//! ```
//!
//! A matrix is one task and its products run on that task's thread, so the result cannot depend on the number of threads.

use rayon::prelude::*;

use crate::{
    gemm::{Matrix, MatrixMut, Operands, Write, gemm},
    norm::sum_of_squares,
    scratch,
    simd::simd,
};

/// Hyperparameters of one step; `lr` is the scheduled rate of that step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Muon<'a> {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the mean of gradients, in 0..1.
    pub momentum: f64,
    /// Decoupled weight decay: each step multiplies a weight by `1 − lr · weight_decay`.
    pub weight_decay: f64,
    /// Root mean square of an update at rate 1.
    pub update_rms: f64,
    /// a, b, c of each step `X = (a + b·X·Xᵀ + c·(X·Xᵀ)²)·X` towards the polar factor.
    pub polar: &'a [[f64; 3]],
    /// What the products of those steps see of a matrix.
    pub operands: Operands,
}

impl Muon<'_> {
    /// What the update of such a matrix is multiplied by.
    pub(crate) fn update_scale(&self, [rows, cols]: [usize; 2]) -> f64 {
        self.update_rms * (rows.max(cols) as f64).sqrt()
    }
}

/// A tensor that a step changes, with its gradient and momentum: slices of one length.
#[derive(Debug)]
pub struct Parameter<'a> {
    /// The values, row by row.
    pub values: &'a mut [f32],
    /// Their gradient, before `grad_scale`.
    pub grad: &'a [f32],
    /// The moving mean of the gradients.
    pub momentum: &'a mut [f32],
    /// Rows of each matrix in the tensor, from the first on. All are as wide.
    pub matrices: &'a [usize],
}

/// Updates all `parameters` and their momentum for the gradients `grad_scale · grad`.
///
/// ```text
/// g = grad_scale · grad     m = β·m + (1 − β)·g     u = β·m + (1 − β)·g       (Nesterov)
/// w = w·(1 − lr·weight_decay) − lr · update_rms·√max(rows, cols) · X           X from u/‖u‖ by the steps of `polar`
/// ```
///
/// (Muon, K. Jordan 2024, with the factor of arXiv 2502.16982 §2.2.)
///
/// # Panics
///
/// If the slices of a parameter differ in length, or its matrices do not share its values into rows of one width.
pub fn muon_step(parameters: Vec<Parameter<'_>>, grad_scale: f32, hyper: &Muon<'_>) {
    let mut tasks = Vec::new();
    for parameter in parameters {
        let cols = columns(&parameter);
        let Parameter { mut values, mut grad, mut momentum, matrices } = parameter;
        for &rows in matrices {
            let (values_here, grad_here, momentum_here);
            (values_here, values) = values.split_at_mut(rows * cols);
            (grad_here, grad) = grad.split_at(rows * cols);
            (momentum_here, momentum) = momentum.split_at_mut(rows * cols);
            tasks.push((values_here, grad_here, momentum_here, rows, cols));
        }
    }
    tasks.into_par_iter().for_each(|(values, grad, momentum, rows, cols)| {
        step_matrix(values, grad, momentum, [rows, cols], grad_scale, hyper);
    });
}

/// Columns of the matrices of a parameter; the contract that the kernel shares with its twin.
pub(crate) fn columns(Parameter { values, grad, momentum, matrices }: &Parameter<'_>) -> usize {
    assert!(
        [grad.len(), momentum.len()] == [values.len(); 2],
        "Muon slices differ in length: values {}, grad {}, momentum {}",
        values.len(),
        grad.len(),
        momentum.len()
    );
    let rows = matrices.iter().sum::<usize>();
    assert!(rows > 0 && values.len().is_multiple_of(rows), "{} values in {rows} rows", values.len());
    values.len() / rows
}

/// The step of one matrix, on this thread.
fn step_matrix(
    values: &mut [f32],
    grad: &[f32],
    momentum: &mut [f32],
    [rows, cols]: [usize; 2],
    grad_scale: f32,
    hyper: &Muon<'_>,
) {
    let small = rows.min(cols);
    scratch::with_parts([values.len(), values.len(), small * small, small * small], |[x, next, gram, polynomial]| {
        let (beta, rest) = (hyper.momentum as f32, (1.0 - hyper.momentum) as f32);
        nesterov(grad, grad_scale, beta, rest, momentum, x);
        let norm = sum_of_squares(x).sqrt();
        if norm > 0.0 {
            scale(x, (1.0 / norm) as f32);
            orthogonalize(hyper, x, [next, gram, polynomial], [rows, cols]);
        }
        let decay = (1.0 - hyper.lr * hyper.weight_decay) as f32;
        apply(x, decay, (hyper.lr * hyper.update_scale([rows, cols])) as f32, values);
    });
}

/// `x` towards its polar factor, with room for as much as `x` and for two squares of its smaller side.
fn orthogonalize(hyper: &Muon<'_>, x: &mut [f32], [next, gram, polynomial]: [&mut [f32]; 3], [rows, cols]: [usize; 2]) {
    let small = rows.min(cols);
    fn matrix<'a>(values: &'a [f32], [rows, cols]: [usize; 2], operands: Operands) -> Matrix<'a> {
        Matrix::new(values, rows, cols).with_operands(operands)
    }
    for &[a, b, c] in hyper.polar {
        let of_x = matrix(x, [rows, cols], hyper.operands);
        // the smaller of X·Xᵀ and Xᵀ·X; with the latter the polynomial stands on the right
        let is_wide = rows <= cols;
        let (left, right) = if is_wide { (of_x, of_x.t()) } else { (of_x.t(), of_x) };
        gemm(left, right, MatrixMut::new(gram, small, small), Write::Set);
        let of_gram = matrix(gram, [small, small], hyper.operands);
        gemm(of_gram, of_gram, MatrixMut::new(polynomial, small, small), Write::Set);
        combine(gram, b as f32, c as f32, polynomial);
        polynomial.iter_mut().step_by(small + 1).for_each(|diagonal| *diagonal += a as f32);
        let of_polynomial = matrix(polynomial, [small, small], hyper.operands);
        let (left, right) = if is_wide { (of_polynomial, of_x) } else { (of_x, of_polynomial) };
        gemm(left, right, MatrixMut::new(next, rows, cols), Write::Set);
        x.copy_from_slice(next);
    }
}

simd! {
    /// The mean of gradients, and the update that looks a step ahead of it.
    fn nesterov<S>(grad: &[f32], grad_scale: f32, beta: f32, rest: f32, momentum: &mut [f32], update: &mut [f32]) {
        for ((grad, m), update) in grad.iter().zip(momentum).zip(update) {
            let grad = rest * (grad * grad_scale);
            *m = beta * *m + grad;
            *update = beta * *m + grad;
        }
    }
}

simd! {
    fn scale<S>(x: &mut [f32], by: f32) {
        x.iter_mut().for_each(|x| *x *= by);
    }
}

simd! {
    /// `square = b·gram + c·square`
    fn combine<S>(gram: &[f32], b: f32, c: f32, square: &mut [f32]) {
        for (gram, square) in gram.iter().zip(square) {
            *square = b * gram + c * *square;
        }
    }
}

simd! {
    /// `values = decay·values − rate·update`
    fn apply<S>(update: &[f32], decay: f32, rate: f32, values: &mut [f32]) {
        for (update, value) in update.iter().zip(values) {
            *value = *value * decay - rate * update;
        }
    }
}

#[cfg(test)]
mod tests;
