//! Every operator refuses operands that do not fit, whichever form would have run.

use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::tensor::{Device, Int, Tensor};
use itera_ops::{
    AttentionShape, DistillationScalings, Mamba2Shape, Mamba2State, Mamba2Weights, MixtureWeights, MlpWeights,
    causal_attention, composite, head_cross_entropy, head_distillation, linear, linear_residual, mamba2, mixture, mlp,
    rms_norm,
};

fn ones<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    Tensor::ones(shape, &Device::flex())
}

/// `run(sizes)` works, and with any of the sizes one larger it is refused by a message about a shape.
fn check<const N: usize>(what: &str, sizes: [usize; N], run: impl Fn([usize; N])) {
    for form in ["fused", "composite"] {
        let run = |sizes| {
            let run = AssertUnwindSafe(|| if form == "fused" { run(sizes) } else { composite::only(|| run(sizes)) });
            catch_unwind(run).map_err(|panic| panic.downcast_ref::<String>().cloned().unwrap_or_default())
        };
        assert_eq!(run(sizes), Ok(()), "{what}, {form}");
        for i in 0..N {
            let mut wrong = sizes;
            wrong[i] += 1;
            let message = run(wrong).expect_err(&format!("{what}, {form}: size {i} of {wrong:?} is taken"));
            assert!(message.contains("shape"), "{what}, {form}, size {i}: {message}");
        }
    }
}

#[test]
fn operands_that_do_not_fit_are_refused() {
    check("linear", [4, 4], |[x, w]| drop(linear(ones([3, x]), ones([5, w]))));
    check("linear_residual", [3, 5, 4], |[rows, out, d_in]| {
        linear_residual(ones([3, d_in]), ones([5, 4]), ones([rows, out]), 1.0);
    });
    check("rms_norm", [4, 4], |[x, w]| drop(rms_norm(ones([2, x]), ones([w]), 1e-5)));
    check("head_cross_entropy", [2, 3, 2, 3], |[t, d, targets, head]| {
        let targets = Tensor::<1, Int>::zeros([targets], &Device::flex());
        head_cross_entropy(ones([t, d]), ones([7, head]), targets, 1.0);
    });
    check("head_distillation", [2, 3, 7, 2, 4, 7], |[t, d, v, teacher_t, teacher_d, teacher_v]| {
        let scalings = DistillationScalings { student: 1.0, teacher: 1.0, temperature: 1.0 };
        let (student, teacher) = ((ones([t, d]), ones([v, 3])), (ones([teacher_t, 4]), ones([teacher_v, teacher_d])));
        head_distillation(student, teacher, None, scalings);
    });
    check("causal_attention", [2, 16, 2, 3, 4, 2, 2, 3, 4], |[b, width, kb, kl, kw, heads, vb, vl, vw]| {
        let shape = AttentionShape { n_heads: 2, n_kv_heads: 1, d_head: 4, scale: 1.0, rope: None };
        let past = (ones([kb, heads - 1, kl, kw]), ones([vb, 1, vl, vw]));
        causal_attention(ones([b, 5, width]), Some(past), &shape);
    });
    check("mlp", [5, 8, 5, 5, 2], |[d, gate_up, w_in, w_out, b]| {
        let weights = MlpWeights { w_in: ones([gate_up, w_in]), w_out: ones([w_out, 4]) };
        mlp(ones([2, 3, d]), weights, ones([b, 3, 5]), 1.0);
    });
    check("mixture", [3, 5, 3, 8, 5, 5, 8, 3], |[e, router, e_in, gate_up, w_in, w_out, shared, l]| {
        let shared = MlpWeights { w_in: ones([shared, 5]), w_out: ones([5, 4]) };
        let (w_in, w_out) = (ones([e_in, gate_up, w_in]), ones([3, w_out, 4]));
        let weights = MixtureWeights { router: ones([e, router]), w_in, w_out, shared };
        mixture(ones([2, 3, 5]), weights, 2, ones([2, l, 5]), 1.0);
    });
    check("mamba2", [26, 12, 12, 2, 2, 2, 8, 2, 3, 12, 2, 2, 4, 2], |sizes| {
        let [projected, ch, bias, dt, a, d, norm, conv_b, taps, conv_ch, ssm_b, heads, d_head, d_state] = sizes;
        let shape = Mamba2Shape { n_heads: 2, d_head: 4, d_state: 2, n_groups: 1, chunk_len: 8, eps: 1e-5 };
        let weights = Mamba2Weights {
            conv_weight: ones([ch, 4]),
            conv_bias: ones([bias]),
            dt_bias: ones([dt]),
            a_log: ones([a]),
            d_skip: ones([d]),
            norm: ones([norm]),
        };
        let state = Mamba2State { conv: ones([conv_b, taps, conv_ch]), ssm: ones([ssm_b, heads, d_head, d_state]) };
        mamba2(ones([2, 5, projected - 4]), weights, state, &shape);
    });
}
