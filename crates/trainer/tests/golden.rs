//! Ten training steps against `torch.optim.AdamW` on the model of `transformers` (`tests/golden`).

use std::path::PathBuf;

use itera_config::TrainConfig;
use itera_data::TokenBatch;
use itera_formats::hf;
use itera_model::{LanguageModel, parameters::gradients};
use itera_ops::{device::tested, gradient_norm};
use itera_testkit::assert_close;
use itera_trainer::{MicroBatch, Optimizer, Rates, losses};
use serde_json::Value;

/// The bar of the project; the reference's own rounding moves the curve by up to 7e-5.
const CURVE: f64 = 1e-3;

fn curve_of(case: &str) -> Vec<(&'static str, Vec<f32>, Vec<f32>)> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(case);
    let numbers: Value =
        serde_json::from_str(&std::fs::read_to_string(dir.join("golden.json")).expect("golden.json")).expect("JSON");
    let files = hf::read_model_dir(&dir).expect("a golden model opens");
    let config = files.config.clone();
    let mut tensors = files.tensors.into_iter();
    let device = tested().autodiff();
    let mut model = LanguageModel::from_tensors(&config, &device, &mut |_, _| tensors.next().expect("a tensor").data)
        .expect("fits");

    let train = TrainConfig {
        lr: 3e-3,
        beta1: 0.9,
        beta2: 0.95,
        eps: 1e-8,
        load_balance_coef: 0.01,
        z_loss_coef: 0.001,
        ..TrainConfig::default()
    };
    let rates = Rates { lr: train.lr, weight_decay: 0.1 };
    let mut optimizer = Optimizer::new(&train, &config.tensors(), &device);
    let steps: Vec<Vec<Vec<i32>>> = serde_json::from_value(numbers["train_ids"].clone()).expect("train_ids");
    let mut found: Vec<[f32; 4]> = Vec::new();
    for (step, rows) in (1..).zip(&steps) {
        let cut = |from: usize, drop: usize| rows.iter().flat_map(|row| row[from..row.len() - drop].to_vec()).collect();
        let (batch_size, seq_len) = (rows.len(), rows[0].len() - 1);
        let batch = TokenBatch { inputs: cut(0, 1), targets: cut(1, 0), positions: vec![], batch_size, seq_len };
        let loss = losses(MicroBatch { model: &model, tokens: &batch, config: &train, dropout: None });
        let value = |t: Option<burn::tensor::Tensor<1>>| t.map_or(0.0, |t| t.into_scalar::<f32>());
        let (ce, lb, z) = (value(Some(loss.nats)), value(loss.load_balance), value(loss.z));
        let gradients = gradients(&model, loss.total.backward());
        let norm = gradient_norm(&gradients).read().expect("a device");
        found.push([ce, lb, z, norm as f32]);
        let clip = (1.0 / (norm + 1e-6)).min(1.0);
        optimizer.step(&mut model, gradients, clip as f32, step, &train, rates);
    }

    let curve = numbers["train_curve"].as_array().expect("train_curve");
    ["ce", "lb", "z", "grad_norm"]
        .into_iter()
        .enumerate()
        .map(|(index, key)| {
            let expected = curve.iter().map(|row| row[key].as_f64().expect("a number") as f32).collect();
            (key, found.iter().map(|row| row[index]).collect(), expected)
        })
        .collect()
}

#[test]
fn ten_steps_of_training_equal_torch() {
    for case in
        ["all_mamba", "hybrid", "all_attention", "all_attention_nope", "dense", "two_groups", "untied", "multipliers"]
    {
        for (key, found, expected) in curve_of(case) {
            assert_close(&format!("{case}, {key}"), &found, &expected, CURVE);
        }
    }
}
