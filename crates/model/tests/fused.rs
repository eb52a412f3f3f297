//! The model on the device with fused operators, at lengths past the blocks of its kernels: against its composites,
//! itself in pieces, itself with another future, and itself on another number of threads.

use burn::tensor::{Device, Int, Tensor, TensorData};
use itera_model::{LanguageModel, LayerState, State, auxiliary_losses};
use itera_ops::{composite, with_precision};
use itera_shape::{ModelConfig, PositionEmbedding, Precision};
use itera_testkit::{F32_REORDERED, assert_close, uniform};

const BATCH: usize = 3;
const LEN: usize = 150;
const VOCAB: usize = 1030;

/// A model of every kind of layer, no size a multiple of a vector's.
fn model(device: &Device) -> LanguageModel {
    let config = ModelConfig {
        vocab_size: VOCAB,
        d_model: 60,
        n_layers: 3,
        attention_layers: vec![1],
        d_state: 20,
        d_head: 12,
        n_groups: 2,
        chunk_len: 32,
        n_attention_heads: 6,
        n_kv_heads: 3,
        attention_head_dim: 14,
        position_embedding: PositionEmbedding::Rope,
        n_experts: 5,
        d_expert: 36,
        d_shared: 52,
        embedding_multiplier: 6.0,
        residual_multiplier: 0.4,
        logits_scaling: 2.0,
        // larger than in training, so that no layer is small beside the residual stream
        init_std: 0.1,
        ..ModelConfig::default()
    };
    LanguageModel::init(&config, 7, device)
}

fn ids(seed: u64) -> Vec<i32> {
    uniform(BATCH * LEN, 0.0, VOCAB as f32, seed).into_iter().map(|id| id as i32).collect()
}

fn tensor(ids: &[i32], device: &Device) -> Tensor<2, Int> {
    Tensor::from_data(TensorData::new(ids.to_vec(), [BATCH, ids.len() / BATCH]), device)
}

fn values<const D: usize>(t: Tensor<D>) -> Vec<f32> {
    t.into_data().try_into_vec().expect("f32")
}

fn state_values(state: State) -> Vec<f32> {
    let layers = state.layers.into_iter().map(|layer| match layer {
        LayerState::Mamba(state) => [values(state.conv), values(state.ssm)].concat(),
        LayerState::Attention(past) => past.map_or(vec![], |(k, v)| [values(k), values(v)].concat()),
    });
    layers.flatten().collect()
}

/// Cross-entropy and both losses of the routers, and the gradients of every weight.
fn losses_and_gradients(model: &LanguageModel) -> (Vec<f32>, Vec<Vec<f32>>) {
    let device = model.device();
    let output = model.forward(tensor(&ids(1), &device), model.initial_state(BATCH), None);
    let nats = model.nats(output.hidden, tensor(&ids(2), &device)).mean();
    let routers = auxiliary_losses(&output.routings).expect("experts");
    let losses = [nats.clone(), routers.load_balance.clone(), routers.z.clone()].map(|loss| values(loss)[0]);
    let total = nats + routers.load_balance + routers.z;
    (losses.to_vec(), model.gradients(total.backward()).iter().map(|gradient| gradient.to_vec()).collect())
}

#[test]
fn losses_and_gradients_are_those_of_the_composites() {
    let model = model(&Device::flex().autodiff());
    let (losses, gradients) = losses_and_gradients(&model);
    let (expected_losses, expected) = composite::only(|| losses_and_gradients(&model));
    assert_close("losses", &losses, &expected_losses, F32_REORDERED);
    for ((parameter, found), expected) in model.parameters().iter().zip(&gradients).zip(&expected) {
        let scale = expected.iter().fold(1e-6f32, |max, g| max.max(g.abs()));
        let scaled = |values: &[f32]| values.iter().map(|g| g / scale).collect::<Vec<_>>();
        assert_close(&parameter.name, &scaled(found), &scaled(expected), F32_REORDERED);
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let model = model(&Device::flex().autodiff());
    let on = |threads: usize, precision: Precision| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a small thread pool");
        let (losses, gradients) = pool.install(|| with_precision(precision, || losses_and_gradients(&model)));
        let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        (bits(&losses), gradients.iter().map(|gradient| bits(gradient)).collect::<Vec<_>>())
    };
    let names: Vec<String> = model.parameters().into_iter().map(|parameter| parameter.name).collect();
    for precision in [Precision::F32, Precision::Bf16] {
        let (losses, gradients) = on(1, precision);
        for threads in [2, 3, 4] {
            let (found_losses, found) = on(threads, precision);
            assert_eq!(found_losses, losses, "losses on {threads} threads, in {precision:?}");
            for ((name, found), expected) in names.iter().zip(&found).zip(&gradients) {
                assert!(found == expected, "gradient of {name} on {threads} threads, in {precision:?}");
            }
        }
    }
}

#[test]
fn bfloat16_leaves_its_roundings_in_every_gradient_and_no_more() {
    let model = model(&Device::flex().autodiff());
    let (losses, gradients) = losses_and_gradients(&model);
    let (rounded_losses, rounded) = with_precision(Precision::Bf16, || losses_and_gradients(&model));
    assert_ne!(losses, rounded_losses);
    for (loss, rounded) in losses.iter().zip(&rounded_losses) {
        assert!((loss - rounded).abs() < 0.01 * loss.abs(), "losses {losses:?} and {rounded_losses:?}");
    }
    let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|x| x * x).sum::<f32>().sqrt();
    for ((parameter, exact), rounded) in model.parameters().iter().zip(&gradients).zip(&rounded) {
        let error = norm(&mut exact.iter().zip(rounded).map(|(a, b)| a - b)) / norm(&mut exact.iter().copied());
        // some tokens of the second layer go to another expert
        assert!((1e-5..0.2).contains(&error), "the gradient of {} is off by {error:.1e} of its norm", parameter.name);
    }
}

#[test]
fn pieces_and_steps_give_what_the_whole_sequence_gives() {
    let device = Device::flex();
    let model = model(&device);
    let ids = tensor(&ids(1), &device);
    let whole = model.forward(ids.clone(), model.initial_state(BATCH), None);
    let (logits, state) = (values(model.logits(whole.hidden)), state_values(whole.state));

    for cuts in [vec![0, 1, LEN], vec![0, 32, 63, LEN], vec![0, 65, 66, 128, LEN - 1, LEN]] {
        let mut now = model.initial_state(BATCH);
        let mut pieces = Vec::new();
        for cut in cuts.windows(2) {
            let output = model.forward(ids.clone().narrow(1, cut[0], cut[1] - cut[0]), now, None);
            now = output.state;
            pieces.push(model.logits(output.hidden));
        }
        assert_close(&format!("cut at {cuts:?}"), &values(Tensor::cat(pieces, 1)), &logits, F32_REORDERED);
        assert_close(&format!("state, cut at {cuts:?}"), &state_values(now), &state, F32_REORDERED);
    }

    let mut now = model.initial_state(BATCH);
    let mut steps = Vec::new();
    for t in 0..LEN {
        let output = model.step(ids.clone().narrow(1, t, 1).squeeze_dim(1), now);
        now = output.state;
        steps.push(model.logits(output.hidden));
    }
    assert_close("step by step", &values(Tensor::cat(steps, 1)), &logits, F32_REORDERED);
    assert_close("state, step by step", &state_values(now), &state, F32_REORDERED);
}

#[test]
fn a_changed_future_token_leaves_everything_else_bit_identical() {
    let device = Device::flex();
    let model = model(&device);
    let logits =
        |ids: &[i32]| model.logits(model.forward(tensor(ids, &device), model.initial_state(BATCH), None).hidden);
    let before = logits(&ids(1));
    for changed in [1, 31, 32, 33, 63, 64, 65, 127, 128, LEN - 1] {
        // another token sorts the assignments to experts anew
        let mut ids = ids(1);
        ids[LEN + changed] = (ids[LEN + changed] + 1) % VOCAB as i32;
        let after = logits(&ids);
        let row = |t: &Tensor<3>, row: usize, from: usize, len: usize| {
            values(t.clone().narrow(0, row, 1).narrow(1, from, len))
        };
        assert!(row(&after, 1, 0, changed) == row(&before, 1, 0, changed), "the past of token {changed}");
        assert!(row(&after, 1, changed, 1) != row(&before, 1, changed, 1), "token {changed} itself");
        for other in [0, 2] {
            assert!(row(&after, other, 0, LEN) == row(&before, other, 0, LEN), "sequence {other}, token {changed}");
        }
    }
}
