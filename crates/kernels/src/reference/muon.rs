//! Muon in f64, its products by their definition.

use crate::muon::{Muon, Parameter, columns};

/// Twin of [`muon_step`](crate::muon::muon_step), rounded when stored.
///
/// # Panics
///
/// If the slices of a parameter differ in length, or its matrices do not share its values into rows of one width.
pub fn muon_step(parameters: Vec<Parameter<'_>>, grad_scale: f32, hyper: &Muon<'_>) {
    for parameter in parameters {
        let cols = columns(&parameter);
        let mut start = 0;
        for &rows in parameter.matrices {
            let range = start..start + rows * cols;
            start = range.end;
            let (mut update, mut squares) = (vec![], 0.0);
            for i in range.clone() {
                let g = f64::from(parameter.grad[i]) * f64::from(grad_scale);
                let m = hyper.momentum * f64::from(parameter.momentum[i]) + (1.0 - hyper.momentum) * g;
                parameter.momentum[i] = m as f32;
                update.push(hyper.momentum * m + (1.0 - hyper.momentum) * g);
                squares += update[update.len() - 1].powi(2);
            }
            let norm = if squares > 0.0 { squares.sqrt() } else { 1.0 };
            update.iter_mut().for_each(|u| *u /= norm);
            let polar = polar(hyper.polar, update, rows, cols);
            for (value, polar) in parameter.values[range].iter_mut().zip(polar) {
                let decayed = f64::from(*value) * (1.0 - hyper.lr * hyper.weight_decay);
                *value = (decayed - hyper.lr * hyper.update_scale([rows, cols]) * polar) as f32;
            }
        }
    }
}

/// Steps of X = a·X + b·(X·Xᵀ)·X + c·(X·Xᵀ)²·X.
fn polar(steps: &[[f64; 3]], mut x: Vec<f64>, rows: usize, cols: usize) -> Vec<f64> {
    for [a, b, c] in steps {
        let transposed: Vec<f64> = (0..rows * cols).map(|i| x[i % rows * cols + i / rows]).collect();
        let gram = product(&x, &transposed, [rows, cols, rows]);
        let third = product(&gram, &x, [rows, rows, cols]);
        let fifth = product(&gram, &third, [rows, rows, cols]);
        for (x, (third, fifth)) in x.iter_mut().zip(third.iter().zip(&fifth)) {
            *x = a * *x + b * third + c * fifth;
        }
    }
    x
}

fn product(a: &[f64], b: &[f64], [m, k, n]: [usize; 3]) -> Vec<f64> {
    let element = |i: usize| (0..k).map(|j| a[i / n * k + j] * b[j * n + i % n]).sum();
    (0..m * n).map(element).collect()
}
