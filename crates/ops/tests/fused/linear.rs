//! linear, linear_residual, rms_norm, embedding

use burn::tensor::{Int, Tensor, TensorData};
use itera_ops::{embedding, linear, linear_residual, rms_norm};
use itera_testkit::F32_REORDERED;

use crate::case::Case;

/// Rows, and the widths of a row before and after.
const PRODUCTS: [[usize; 3]; 9] = [
    [1, 1, 1],
    [1, 128, 8],
    [3, 7, 5],
    [2, 16, 33],
    [33, 31, 1],
    [65, 1, 129],
    [127, 64, 48],
    [300, 33, 17],
    [129, 257, 66],
];

#[test]
fn linear_is_its_composite() {
    for [rows, d_in, out] in PRODUCTS {
        let case = Case::new(format!("linear, {rows} rows, {d_in} to {out}"), F32_REORDERED)
            .uniform(rows * d_in, -1.0, 1.0)
            .uniform(out * d_in, -1.0, 1.0);
        case.check(|inputs| {
            let [x, w] = inputs else { unreachable!() };
            vec![linear(x.clone().reshape([rows, d_in]), w.clone().reshape([out, d_in])).into()]
        });
        case.check(|inputs| {
            let [x, w] = inputs else { unreachable!() };
            let (x, w) = (x.clone().reshape([d_in, 1, rows]), w.clone().reshape([d_in, out]));
            vec![linear(x.permute([2, 1, 0]), w.transpose()).into()]
        });
    }
}

#[test]
fn linear_residual_is_its_composite() {
    for [rows, d_in, out] in PRODUCTS {
        for multiplier in [1.0, -0.3] {
            Case::new(format!("linear_residual, {rows} rows, {d_in} to {out}, times {multiplier}"), F32_REORDERED)
                .uniform(rows * d_in, -1.0, 1.0)
                .uniform(out * d_in, -1.0, 1.0)
                .uniform(rows * out, -1.0, 1.0)
                .check(|inputs| {
                    let [x, w, residual] = inputs else { unreachable!() };
                    let (x, w) = (x.clone().reshape([rows, 1, d_in]), w.clone().reshape([out, d_in]));
                    vec![linear_residual(x, w, residual.clone().reshape([rows, 1, out]), multiplier).into()]
                });
        }
    }
}

#[test]
fn rms_norm_is_its_composite() {
    for [rows, d] in [[1, 1], [3, 7], [2, 16], [33, 31], [65, 128], [300, 33], [5, 640]] {
        for eps in [1e-5, 0.3] {
            Case::new(format!("rms_norm, {rows} rows, d {d}, ε {eps}"), F32_REORDERED)
                .uniform(rows * d, -2.0, 2.0)
                .uniform(d, -2.0, 2.0)
                .check(|inputs| {
                    let [x, w] = inputs else { unreachable!() };
                    vec![rms_norm(x.clone().reshape([rows, 1, d]), w.clone(), eps).into()]
                });
        }
    }
}

#[test]
fn embedding_is_its_composite() {
    for [b, l, v, d] in [[1, 1, 1, 1], [2, 3, 5, 7], [3, 40, 17, 16], [1, 129, 300, 33], [4, 64, 3, 128]] {
        for multiplier in [1.0, 12.0] {
            // the upper half of the table is not asked for
            let ids: Vec<i32> = (0..b * l).map(|t| (t * t * 7 % usize::div_ceil(v, 2)) as i32).collect();
            Case::new(format!("embedding, {b} of {l}, v {v}, d {d}, times {multiplier}"), F32_REORDERED)
                .uniform(v * d, -1.0, 1.0)
                .check(|inputs| {
                    let ids = Tensor::<2, Int>::from_data(TensorData::new(ids.clone(), [b, l]), &inputs[0].device());
                    vec![embedding(inputs[0].clone().reshape([v, d]), ids, multiplier).into()]
                });
        }
    }
}

#[test]
fn ids_may_be_on_the_device_without_autodiff() {
    Case::new("embedding of plain ids", F32_REORDERED).uniform(3 * 2, -1.0, 1.0).check(|inputs| {
        let ids = Tensor::<2, Int>::from_ints([[2, 0, 2]], &inputs[0].device().without_autodiff());
        vec![embedding(inputs[0].clone().reshape([3, 2]), ids, 2.0).into()]
    });
}
