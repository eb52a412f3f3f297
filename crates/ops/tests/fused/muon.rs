//! muon, lerp

use burn::tensor::{Device, Tensor, TensorData};
use itera_ops::{Muon, MuonParameter, composite, host_values, lerp, muon};
use itera_testkit::{F32_REORDERED, assert_close, uniform};

use crate::case::values;

/// Width, and rows of each matrix: square, wide, tall, a row, a column, one number.
const SHAPES: [(usize, &[usize]); 6] =
    [(32, &[32]), (40, &[24, 7, 40]), (5, &[33, 12]), (19, &[1]), (1, &[13]), (1, &[1])];
const HYPER: Muon = Muon { lr: 1e-2, momentum: 0.95, weight_decay: 0.1 };

fn tensor(len: usize, seed: u64) -> Tensor<1> {
    Tensor::from_data(TensorData::new(uniform(len, -1.0, 1.0, seed), [len]), &Device::flex())
}

/// Weights and momentum after `steps` steps.
fn run(steps: u64) -> Vec<(Tensor<1>, Tensor<1>)> {
    let len = |(cols, rows): (usize, &[usize])| cols * rows.iter().sum::<usize>();
    let mut all: Vec<_> = SHAPES
        .iter()
        .map(|shape| (tensor(len(*shape), len(*shape) as u64), Tensor::zeros([len(*shape)], &Device::flex())))
        .collect();
    for step in 1..=steps {
        let parameters = all.into_iter().zip(SHAPES).map(|((weight, momentum), (cols, rows))| MuonParameter {
            gradient: tensor(len((cols, rows)), 100 * step),
            matrices: rows.to_vec(),
            weight,
            momentum,
        });
        all = muon(parameters.collect(), 0.7, &HYPER);
    }
    all
}

/// The steps towards the polar factor multiply small singular values, and what rounding left there, by up to 1,000.
#[test]
fn muon_is_its_composite_step_after_step() {
    for steps in [1, 2, 10] {
        for (found, expected) in run(steps).into_iter().zip(composite::only(|| run(steps))) {
            let what = format!("{} values after {steps} steps", found.0.dims()[0]);
            assert_close(&what, &values(found.0), &values(expected.0), 100.0 * F32_REORDERED);
            assert_close(&what, &values(found.1), &values(expected.1), F32_REORDERED);
        }
    }
}

#[test]
fn an_update_has_singular_values_around_one() {
    for (cols, rows) in [(24, 24), (48, 16), (16, 48)] {
        let n = rows * cols;
        let parameter = MuonParameter {
            weight: Tensor::zeros([n], &Device::flex()),
            gradient: tensor(n, 1),
            momentum: Tensor::zeros([n], &Device::flex()),
            matrices: vec![rows],
        };
        let hyper = Muon { lr: 1.0, momentum: 0.0, weight_decay: 0.0 };
        let (weight, _) = muon(vec![parameter], 1.0, &hyper).remove(0);
        let update = weight.reshape([rows, cols]).div_scalar(-0.2 * (rows.max(cols) as f64).sqrt());
        let [wide, small] = if rows <= cols {
            [update, Tensor::eye(rows, &Device::flex())]
        } else {
            [update.transpose(), Tensor::eye(cols, &Device::flex())]
        };
        // σ² − 1 are the eigenvalues of X·Xᵀ − I, whose norm bounds each of them
        let distance = (wide.clone().matmul(wide.clone().transpose()) - small.clone()).square().sum();
        let bound = 0.28 * (rows.min(cols) as f32).sqrt();
        assert!(distance.clone().sqrt().into_scalar::<f32>() < bound, "{rows}×{cols}: {distance}");
        // and it points along the gradient, whose polar factor has the largest product with it of all such matrices
        let gradient = tensor(n, 1).reshape([rows, cols]);
        let gradient = if rows <= cols { gradient } else { gradient.transpose() };
        let symmetric = wide.matmul(gradient.transpose());
        let skew = (symmetric.clone() - symmetric.clone().transpose()).square().sum().sqrt().into_scalar::<f32>();
        let trace = (symmetric * small).sum().into_scalar::<f32>();
        assert!(trace > 0.0 && skew < 1e-3 * trace, "{rows}×{cols}: trace {trace}, skew {skew}");
    }
}

#[test]
fn lerp_is_its_composite_and_in_place() {
    let lists = || [1, 2].map(|seed| [1, 17, 20_001].map(|len| tensor(len, seed + len as u64)).to_vec());
    let [from, to] = lists();
    let before: Vec<usize> = from.iter().map(|tensor| host_values(tensor).as_ptr().addr()).collect();
    let found = lerp(from, to, 0.3);
    assert_eq!(found.iter().map(|tensor| host_values(tensor).as_ptr().addr()).collect::<Vec<usize>>(), before);
    let expected = composite::only(|| {
        let [from, to] = lists();
        lerp(from, to, 0.3)
    });
    for (found, expected) in found.into_iter().zip(expected) {
        assert_close("between", &values(found), &values(expected), F32_REORDERED);
    }
}

#[test]
#[should_panic(expected = "6 values in 4 rows")]
fn matrices_that_do_not_fill_a_weight_are_refused() {
    let [weight, gradient, momentum] = [1, 2, 3].map(|seed| tensor(6, seed));
    muon(vec![MuonParameter { weight, gradient, momentum, matrices: vec![4] }], 1.0, &HYPER);
}
