use super::*;
use crate::{
    reference,
    simd::{Level, with_level},
    test_data::{for_thread_counts, shapes, uniform},
};

/// Steps whose limit is the polar factor exactly, of a matrix whose singular values are not tiny.
const POLAR: [[f64; 3]; 12] = [[1.875, -1.25, 0.375]; 12];
const HYPER: Muon<'_> =
    Muon { lr: 2e-2, momentum: 0.95, weight_decay: 0.1, update_rms: 0.2, polar: &POLAR, operands: Operands::F32 };

/// Width, and rows of each matrix: square, wide, tall, a row, a column, one number.
const SHAPES: [(usize, &[usize]); 6] =
    [(16, &[16]), (40, &[24, 7, 40]), (5, &[33, 12]), (19, &[1]), (1, &[13]), (1, &[1])];

type Step = fn(Vec<Parameter<'_>>, f32, &Muon<'_>);

/// Values and momentum after `steps` steps.
fn trained(step_fn: Step, (cols, matrices): (usize, &[usize]), steps: u64) -> [Vec<f32>; 2] {
    let n = cols * matrices.iter().sum::<usize>();
    let [mut values, mut momentum] = [uniform(n, 1), vec![0.0; n]];
    for step in 1..=steps {
        let grad = uniform(n, 2 + step);
        let (values, momentum) = (&mut values, &mut momentum);
        step_fn(vec![Parameter { values, grad: &grad, momentum, matrices }], 0.7, &HYPER);
    }
    [values, momentum]
}

/// An update is 0.02 · 0.2 · √40 at most in an element; the steps towards the polar factor multiply small singular values,
/// and what rounding left there, by up to 1,000.
#[test]
fn agrees_with_its_twin_in_every_shape() {
    for shape in shapes(&SHAPES, &[(3, &[2, 4])]) {
        for level in Level::available() {
            let fast = with_level(level, 2, || trained(muon_step, *shape, 3));
            let slow = trained(reference::muon_step, *shape, 3);
            for (fast, slow) in fast.iter().flatten().zip(slow.iter().flatten()) {
                assert!((fast - slow).abs() <= 2e-5, "{shape:?} {level:?}: {fast} against {slow}");
            }
        }
    }
}

#[test]
fn an_update_has_singular_values_around_one() {
    for (cols, rows) in [(24, 24), (48, 16), (16, 48)] {
        let grad = uniform(rows * cols, 1);
        let (mut values, mut momentum) = (vec![0.0; rows * cols], vec![0.0; rows * cols]);
        let hyper = Muon { lr: 1.0, momentum: 0.0, weight_decay: 0.0, ..HYPER };
        let parameter = Parameter { values: &mut values, grad: &grad, momentum: &mut momentum, matrices: &[rows] };
        muon_step(vec![parameter], 1.0, &hyper);
        assert_eq!(momentum, grad);
        let scale = hyper.update_scale([rows, cols]);
        let update: Vec<f64> = values.iter().map(|value| f64::from(-value) / scale).collect();
        // Σ σ² of an orthogonal matrix is its smaller side
        let squares: f64 = update.iter().map(|u| u * u).sum();
        let small = rows.min(cols) as f64;
        assert!((0.72 * small..1.27 * small).contains(&squares), "{rows}×{cols}: Σσ² = {squares}");
        // and it descends: Σ g·u is the sum of the gradient's singular values times about 1
        let along: f64 = grad.iter().zip(&update).map(|(g, u)| f64::from(*g) * u).sum();
        let norm = sum_of_squares(&grad).sqrt();
        assert!(along > norm, "{rows}×{cols}: {along} against a Frobenius norm of {norm}");
    }
}

/// bfloat16 has a relative error of 2⁻⁹ an operand, and a step multiplies three of them.
#[test]
fn rounded_operands_move_an_update_little() {
    for shape in [(16, &[16][..]), (40, &[24]), (5, &[33])] {
        let step = |operands| {
            let step: Step = match operands {
                Operands::F32 => muon_step,
                Operands::Bf16 => |parameters, grad_scale, hyper| {
                    muon_step(parameters, grad_scale, &Muon { operands: Operands::Bf16, ..*hyper });
                },
            };
            trained(step, shape, 1)[0].clone()
        };
        let (exact, rounded) = (step(Operands::F32), step(Operands::Bf16));
        let before = trained(muon_step, shape, 0)[0].clone();
        let distance = |from: &[f32]| from.iter().zip(&exact).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
        assert!(distance(&rounded) > 0.0 && distance(&rounded) < 0.05 * distance(&before), "{shape:?}");
    }
}

#[test]
fn every_thread_count_and_every_level_give_the_same_bits() {
    let step = || SHAPES.map(|shape| trained(muon_step, shape, 2));
    let results = for_thread_counts(step);
    assert!(results.iter().all(|result| *result == results[0]));
    let fused = Level::available().into_iter().filter(|level| *level != Level::Portable);
    for level in fused {
        assert_eq!(with_level(level, 2, step), results[0], "{level:?}");
    }
}

#[test]
fn matrices_of_one_tensor_are_updated_as_each_is_alone() {
    let [together, _] = trained(muon_step, (40, &[24, 7]), 1);
    let (grad, mut values, mut momentum) = (uniform(31 * 40, 3), uniform(31 * 40, 1), vec![0.0; 31 * 40]);
    for rows in [0..24, 24..31] {
        let part = rows.start * 40..rows.end * 40;
        let parameter = Parameter {
            values: &mut values[part.clone()],
            grad: &grad[part.clone()],
            momentum: &mut momentum[part],
            matrices: &[rows.len()],
        };
        muon_step(vec![parameter], 0.7, &HYPER);
    }
    assert_eq!(together, values);
}

#[test]
fn a_gradient_of_zeros_only_decays() {
    let (mut values, mut momentum) = ([2.0; 6], [0.0; 6]);
    let parameter = Parameter { values: &mut values, grad: &[0.0; 6], momentum: &mut momentum, matrices: &[2] };
    muon_step(vec![parameter], 1.0, &HYPER);
    assert_eq!((values, momentum), ([2.0 * (1.0 - 2e-3); 6], [0.0; 6]));
}

#[test]
#[should_panic(expected = "6 values in 4 rows")]
fn matrices_that_do_not_fit_are_refused() {
    let parameter = Parameter { values: &mut [0.0; 6], grad: &[0.0; 6], momentum: &mut [0.0; 6], matrices: &[4] };
    muon_step(vec![parameter], 1.0, &HYPER);
}
