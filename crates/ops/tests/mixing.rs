//! The composites of convolution, norms, attention and experts against their definitions.

use burn::tensor::{Device, Tensor, TensorData};
use itera_ops::{
    AttentionShape, Rope,
    composite::{causal_attention, causal_conv_silu, experts, gated_rms_norm, rms_norm, route},
};
use itera_testkit::{F32_REORDERED, assert_close, uniform};

fn tensor<const D: usize>(shape: [usize; D], seed: u64) -> Tensor<D> {
    let values = uniform(shape.iter().product(), -1.0, 1.0, seed);
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

fn values<const D: usize>(t: Tensor<D>) -> Vec<f32> {
    t.into_data().try_into_vec().expect("f32")
}

fn silu(x: f64) -> f64 {
    x / (1.0 + (-x).exp())
}

#[test]
fn convolution_sees_only_the_past_and_its_state() {
    let (b, l, ch, k) = (2, 7, 3, 4);
    let (x, w, bias, state) = (tensor([b, l, ch], 1), tensor([ch, k], 2), tensor([ch], 3), tensor([b, k - 1, ch], 4));
    let (y, next) = causal_conv_silu(x.clone(), w.clone(), bias.clone(), state.clone());

    let seen = values(Tensor::cat(vec![state.clone(), x.clone()], 1));
    let (w_values, bias_values) = (values(w.clone()), values(bias.clone()));
    let mut expected = Vec::new();
    for (bi, t, c) in (0..b).flat_map(|bi| (0..l).flat_map(move |t| (0..ch).map(move |c| (bi, t, c)))) {
        let sum: f64 =
            (0..k).map(|j| f64::from(w_values[c * k + j]) * f64::from(seen[(bi * (l + k - 1) + t + j) * ch + c])).sum();
        expected.push(silu(sum + f64::from(bias_values[c])) as f32);
    }
    assert_close("y", &values(y.clone()), &expected, F32_REORDERED);

    for cut in [1, 2, 6] {
        let (y1, mid) = causal_conv_silu(x.clone().narrow(1, 0, cut), w.clone(), bias.clone(), state.clone());
        let (y2, end) = causal_conv_silu(x.clone().narrow(1, cut, l - cut), w.clone(), bias.clone(), mid);
        assert_eq!(values(Tensor::cat(vec![y1, y2], 1)), values(y.clone()), "cut at {cut}");
        assert_eq!(values(end), values(next.clone()), "state, cut at {cut}");
    }
}

#[test]
fn norms_divide_by_the_root_mean_square_of_their_group() {
    let (x, z, w) = (tensor([2, 3, 8], 1), tensor([2, 3, 8], 2), tensor([8], 3));
    let expected = |groups: usize, gated: bool| -> Vec<f32> {
        let (x, z, w) = (values(x.clone()), values(z.clone()), values(w.clone()));
        let width = 8 / groups;
        let value = |i: usize| f64::from(x[i]) * if gated { silu(f64::from(z[i])) } else { 1.0 };
        (0..x.len())
            .map(|i| {
                let start = i / width * width;
                let mean = (start..start + width).map(|j| value(j).powi(2)).sum::<f64>() / width as f64;
                (value(i) / (mean + 1e-5).sqrt() * f64::from(w[i % 8])) as f32
            })
            .collect()
    };
    let plain = rms_norm(x.clone(), w.clone(), 1e-5);
    assert_close("plain", &values(plain), &expected(1, false), F32_REORDERED);
    for groups in [1, 2] {
        let gated = gated_rms_norm(x.clone(), z.clone(), w.clone(), groups, 1e-5);
        assert_close("gated", &values(gated), &expected(groups, true), F32_REORDERED);
    }
}

fn side_by_side(parts: [&Tensor<3>; 3]) -> Tensor<3> {
    Tensor::cat(parts.map(Tensor::clone).to_vec(), 2)
}

fn attention_shape(rope: Option<Rope>) -> AttentionShape {
    AttentionShape { n_heads: 4, n_kv_heads: 2, d_head: 6, scale: 0.4, rope }
}

#[test]
fn attention_is_a_causal_weighted_mean_of_values() {
    let (b, l, w) = (2, 5, 6);
    let (q, k, v) = (tensor([b, l, 4 * w], 1), tensor([b, l, 2 * w], 2), tensor([b, l, 2 * w], 3));
    let (y, _) = causal_attention(side_by_side([&q, &k, &v]), None, &attention_shape(None));
    let (q, k, v) = (values(q), values(k), values(v));
    let mut expected = vec![0.0; b * l * 4 * w];
    for (bi, t, head) in (0..b).flat_map(|bi| (0..l).flat_map(move |t| (0..4).map(move |h| (bi, t, h)))) {
        let kv = head / 2;
        let score = |s: usize| -> f64 {
            let dot =
                |j| f64::from(q[((bi * l + t) * 4 + head) * w + j]) * f64::from(k[((bi * l + s) * 2 + kv) * w + j]);
            (0.4 * (0..w).map(dot).sum::<f64>()).exp()
        };
        let total: f64 = (0..=t).map(score).sum();
        for j in 0..w {
            let mean: f64 = (0..=t).map(|s| score(s) / total * f64::from(v[((bi * l + s) * 2 + kv) * w + j])).sum();
            expected[((bi * l + t) * 4 + head) * w + j] = mean as f32;
        }
    }
    assert_close("y", &values(y), &expected, F32_REORDERED);
}

#[test]
fn attention_may_be_cut_anywhere_with_and_without_rope() {
    let (q, k, v) = (tensor([2, 9, 24], 1), tensor([2, 9, 12], 2), tensor([2, 9, 12], 3));
    for rope in [None, Some(Rope { theta: 10_000.0 })] {
        let shape = attention_shape(rope);
        let qkv = side_by_side([&q, &k, &v]);
        let (whole, _) = causal_attention(qkv.clone(), None, &shape);
        for cut in [1, 4, 8] {
            let piece = |from: usize, len: usize| qkv.clone().narrow(1, from, len);
            let (y1, past) = causal_attention(piece(0, cut), None, &shape);
            let (y2, _) = causal_attention(piece(cut, 9 - cut), Some(past), &shape);
            let cut_values = values(Tensor::cat(vec![y1, y2], 1));
            assert_close(&format!("cut at {cut}"), &cut_values, &values(whole.clone()), F32_REORDERED);
        }
    }
}

#[test]
fn rope_makes_scores_depend_on_distance_alone() {
    let shape = AttentionShape { n_heads: 1, n_kv_heads: 1, d_head: 6, scale: 1.0, rope: Some(Rope { theta: 100.0 }) };
    // the same query, key and value at every position: without rope all past positions weigh the same
    let repeat = |seed| tensor([1, 1, 6], seed).repeat_dim(1, 6);
    let v = tensor([1, 6, 6], 3);
    let run = |past: usize| {
        let empty = Tensor::<4>::zeros([1, 1, past, 6], &Device::flex());
        // a past of zeros shifts the positions; its keys score exp(0) and its values add nothing
        let past = (past > 0).then(|| (empty.clone(), empty));
        causal_attention(side_by_side([&repeat(1), &repeat(2), &v]), past, &shape).1.0
    };
    let (unmoved, moved) = (run(0), run(3).narrow(2, 3, 6));
    let gram = |k: Tensor<4>| values(k.clone().matmul(k.swap_dims(2, 3)));
    assert_close("products of keys", &gram(moved), &gram(unmoved.clone()), F32_REORDERED);
    let rows = values(unmoved);
    assert_ne!(rows[..6], rows[6..12], "positions differ");
}

#[test]
fn the_router_takes_the_largest_logits_and_the_lower_of_equals() {
    let u = Tensor::<2>::from_floats([[1.0, 0.0], [0.0, 1.0]], &Device::flex());
    let router = Tensor::<2>::from_floats([[1.0, 2.0], [3.0, 2.0], [1.0, 2.0], [0.5, 2.0]], &Device::flex());
    let (routing, weights) = route(u, router, 2);
    let ids = routing.expert_ids.into_data().convert::<i32>().try_into_vec::<i32>().expect("i32");
    assert_eq!(ids, [1, 0, 0, 1]);
    let e = std::f32::consts::E;
    let first = 1.0 / (1.0 + e * e);
    assert_close("weights", &values(weights), &[first, 1.0 - first, 0.0, 0.0, 0.5, 0.5, 0.0, 0.0], 1e-6);
}

#[test]
fn experts_are_the_weighted_sum_of_each_alone_and_their_order_is_free() {
    let (t, d, e, f) = (5, 6, 3, 4);
    let (u, w_in, w_out) = (tensor([t, d], 1), tensor([e, 2 * f, d], 2), tensor([e, d, f], 3));
    let (_, weights) = route(u.clone(), tensor([e, d], 4), 2);
    let together = experts(u.clone(), weights.clone(), w_in.clone(), w_out.clone());

    let mut sum = Tensor::<2>::zeros([t, d], &Device::flex());
    for expert in 0..e {
        let alone = experts(
            u.clone(),
            Tensor::ones([t, 1], &Device::flex()),
            w_in.clone().narrow(0, expert, 1),
            w_out.clone().narrow(0, expert, 1),
        );
        sum = sum + alone * weights.clone().narrow(1, expert, 1);
    }
    assert_close("sum of experts", &values(together.clone()), &values(sum), F32_REORDERED);

    let order = [2, 0, 1];
    let permute2 = |t: Tensor<2>, dim| Tensor::cat(order.map(|i| t.clone().narrow(dim, i, 1)).to_vec(), dim);
    let permute3 = |t: Tensor<3>| Tensor::cat(order.map(|i| t.clone().narrow(0, i, 1)).to_vec(), 0);
    let (_, moved) = route(u.clone(), permute2(tensor([e, d], 4), 0), 2);
    let permuted = experts(u, moved, permute3(w_in), permute3(w_out));
    assert_close("permuted experts", &values(permuted), &values(together), F32_REORDERED);
}

#[test]
fn one_expert_may_get_everything_and_another_nothing() {
    let u = Tensor::<2>::ones([4, 2], &Device::flex());
    let router = Tensor::<2>::from_floats([[9.0, 9.0], [-9.0, -9.0]], &Device::flex());
    let (routing, weights) = route(u, router, 1);
    assert_eq!(routing.tokens_per_expert(), [4, 0]);
    assert_eq!(values(weights), [1.0, 0.0].repeat(4));
}
