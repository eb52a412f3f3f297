//! Fused operators in each precision of the device under test, against composites in f32.

use burn::tensor::{Int, Tensor, TensorData};
use itera_ops::{
    MixtureWeights, MlpWeights,
    device::{expect_precision, tested},
    head_cross_entropy, linear, linear_residual, mixture, mlp, with_precision,
};
use itera_shape::Precision;

use crate::case::{Case, Output, values};

/// Precisions other than f32, and what products rounded to them may be off by: some units of the last place.
fn halves() -> impl Iterator<Item = (Precision, f64)> {
    let halves = [(Precision::Bf16, 2e-2), (Precision::F16, 3e-3)];
    halves.into_iter().filter(|(precision, _)| expect_precision(&tested(), *precision).is_ok())
}

/// Hold `run` in each precision to its composite, and see that what it multiplies is rounded.
fn check(what: &str, inputs: &[usize], run: impl Fn(&[Tensor<1>]) -> Vec<Output>) {
    for (precision, tolerance) in halves() {
        let case = Case::new(format!("{what} in {}", precision.name()), tolerance);
        let case = inputs.iter().fold(case, |case, len| case.uniform(*len, -1.0, 1.0));
        case.check(|inputs| with_precision(precision, || run(inputs)));
        let first = |precision| {
            let outputs = with_precision(precision, || run(&case.leaves(&tested())));
            values(outputs.into_iter().next().expect("an output").into_flat())
        };
        assert_ne!(first(precision), first(Precision::F32), "{what} in {}", precision.name());
    }
}

#[test]
fn the_device_has_a_precision_besides_f32_and_every_device_has_f32() {
    assert!(expect_precision(&tested(), Precision::F32).is_ok());
    assert!(halves().count() >= 1);
}

#[test]
fn linear_layers_round_their_operands() {
    for [rows, d_in, out] in [[3, 7, 5], [33, 64, 48], [129, 130, 66]] {
        check("linear", &[rows * d_in, out * d_in], |inputs| {
            let [x, w] = inputs else { unreachable!() };
            vec![linear(x.clone().reshape([rows, 1, d_in]), w.clone().reshape([out, d_in])).into()]
        });
        check("linear_residual", &[rows * d_in, out * d_in, rows * out], |inputs| {
            let [x, w, residual] = inputs else { unreachable!() };
            let (x, w) = (x.clone().reshape([rows, d_in]), w.clone().reshape([out, d_in]));
            vec![linear_residual(x, w, residual.clone().reshape([rows, out]), 0.3).into()]
        });
    }
}

#[test]
fn the_head_rounds_its_operands() {
    let (t, d, v) = (37, 24, 130);
    check("head_cross_entropy", &[t * d, v * d], |inputs| {
        let [hidden, head] = inputs else { unreachable!() };
        let targets: Vec<i32> = (0..t).map(|token| (token * token * 7 % v) as i32).collect();
        let targets = Tensor::<1, Int>::from_data(TensorData::new(targets, [t]), &hidden.device());
        let (hidden, head) = (hidden.clone().reshape([t, d]), head.clone().reshape([v, d]));
        vec![head_cross_entropy(hidden, head, targets, 2.0).into()]
    });
}

#[test]
fn mlps_round_their_operands_and_the_router_does_not() {
    let (t, d, f, e) = (19, 16, 12, 3);
    check("mlp", &[t * d, 2 * f * d, d * f, t * d], |inputs| {
        let [u, w_in, w_out, residual] = inputs else { unreachable!() };
        let weights = MlpWeights { w_in: w_in.clone().reshape([2 * f, d]), w_out: w_out.clone().reshape([d, f]) };
        vec![mlp(u.clone().reshape([1, t, d]), weights, residual.clone().reshape([1, t, d]), 0.5).into()]
    });
    let sizes = [t * d, e * d, e * 2 * f * d, e * d * f, 2 * f * d, d * f, t * d];
    check("mixture", &sizes, |inputs| {
        let [u, router, w_in, w_out, shared_in, shared_out, residual] = inputs else { unreachable!() };
        let shared =
            MlpWeights { w_in: shared_in.clone().reshape([2 * f, d]), w_out: shared_out.clone().reshape([d, f]) };
        let weights = MixtureWeights {
            router: router.clone().reshape([e, d]),
            w_in: w_in.clone().reshape([e, 2 * f, d]),
            w_out: w_out.clone().reshape([e, d, f]),
            shared,
        };
        let (y, routing) = mixture(u.clone().reshape([1, t, d]), weights, 2, residual.clone().reshape([1, t, d]), 0.5);
        vec![y.into(), Output::ids(routing.expert_ids)]
    });
}
