//! The model against the numbers that `transformers` produced (`tests/golden`).

use std::{collections::HashMap, path::PathBuf};

use burn::{
    module::Module,
    tensor::{Device, Int, Tensor, TensorData},
};
use itera_formats::{hf, read_safetensors};
use itera_model::{LanguageModel, LayerState, State, auxiliary_losses};
use itera_ops::device::tested;
use itera_testkit::{assert_close, max_difference};
use serde_json::Value;

const CASES: [&str; 8] =
    ["all_mamba", "hybrid", "all_attention", "all_attention_nope", "dense", "two_groups", "untied", "multipliers"];

/// Bars of the project: the reference's own other chunk size moves its logits by 1.5e-6.
const LOGITS: f64 = 1e-4;
const GRADIENTS_RELATIVE: f64 = 1e-3;
const LOSSES: f64 = 1e-5;

struct Golden {
    name: &'static str,
    model: LanguageModel,
    numbers: Value,
    tensors: HashMap<String, Vec<f32>>,
}

impl Golden {
    fn open(name: &'static str, device: &Device) -> Self {
        let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(name);
        let files = hf::read_model_dir(&dir).expect("a golden model opens");
        let mut tensors = files.tensors.into_iter();
        let model = LanguageModel::from_tensors(&files.config, device, &mut |name, _| {
            let tensor = tensors.next().expect("as many tensors as the configuration has");
            assert_eq!(tensor.name, name);
            tensor.data
        });
        let numbers = std::fs::read_to_string(dir.join("golden.json")).expect("golden.json");
        let tensors = read_safetensors(&dir.join("golden.safetensors")).expect("golden.safetensors");
        Self {
            name,
            model: model.expect("shapes fit"),
            numbers: serde_json::from_str(&numbers).expect("golden.json is JSON"),
            tensors: tensors.into_iter().map(|t| (t.name, t.data)).collect(),
        }
    }

    /// Rows of ids under `key`.
    fn ids(&self, key: &str) -> Vec<Vec<i32>> {
        serde_json::from_value(self.numbers[key].clone()).unwrap_or_else(|_| panic!("{}: no ids {key}", self.name))
    }

    fn lengths(&self) -> Vec<usize> {
        serde_json::from_value(self.numbers["lengths"].clone()).expect("lengths")
    }

    fn device(&self) -> Device {
        self.model.device()
    }
}

fn tensor(rows: &[Vec<i32>], device: &Device) -> Tensor<2, Int> {
    Tensor::from_data(TensorData::new(rows.concat(), [rows.len(), rows[0].len()]), device)
}

fn values<const D: usize>(t: Tensor<D>) -> Vec<f32> {
    t.into_data().try_into_vec().expect("f32")
}

/// Every number of a state: convolution inputs, SSM states, keys and values.
fn state_values(state: &State) -> Vec<f32> {
    let layers = state.layers.iter().cloned().map(|layer| match layer {
        LayerState::Mamba(state) => [values(state.conv), values(state.ssm)].concat(),
        LayerState::Attention(past) => past.map_or(vec![], |(k, v)| [values(k), values(v)].concat()),
    });
    layers.flatten().collect()
}

#[test]
fn logits_and_router_choices_equal_transformers() {
    for name in CASES {
        let golden = Golden::open(name, &tested());
        let model = &golden.model;
        for len in golden.lengths() {
            let ids = tensor(&golden.ids(&format!("ids_{len}")), &golden.device());
            let output = model.forward(ids, model.initial_state(2), None);
            let logits = values(model.logits(output.hidden));
            let expected = &golden.tensors[&format!("logits_{len}")];
            assert_close(&format!("{name}, {len} tokens"), &logits, expected, LOGITS);
            if golden.lengths().last() == Some(&len) {
                for (layer, routing) in output.routings.into_iter().enumerate() {
                    let [_, top_k] = routing.expert_ids.dims();
                    let ids = routing.expert_ids.into_data().convert::<i32>().try_into_vec::<i32>().expect("i32");
                    let expected = golden.ids(&format!("experts_{layer}"));
                    for (row, expected) in ids.chunks(top_k).zip(expected) {
                        let mut chosen = row.to_vec();
                        chosen.sort_unstable();
                        let mut expected = expected;
                        expected.sort_unstable();
                        assert_eq!(chosen, expected, "{name}, router of layer {layer}");
                    }
                }
            }
        }
    }
}

#[test]
fn steps_and_cut_sequences_equal_transformers_too() {
    for name in CASES {
        let golden = Golden::open(name, &tested());
        let model = &golden.model;
        let rows = golden.ids("ids_17");
        let ids = tensor(&rows, &golden.device());
        let expected = &golden.tensors["logits_17"];

        let whole = state_values(&model.forward(ids.clone(), model.initial_state(2), None).state);
        let mut state = model.initial_state(2);
        let mut steps = Vec::new();
        for t in 0..17 {
            let output = model.step(ids.clone().narrow(1, t, 1).squeeze_dim(1), state);
            state = output.state;
            steps.push(model.logits(output.hidden));
        }
        assert_close(&format!("{name}, step by step"), &values(Tensor::cat(steps, 1)), expected, LOGITS);
        assert_close(&format!("{name}, state step by step"), &state_values(&state), &whole, LOGITS);

        for cut in [1, 7, 8, 9, 16] {
            let first = model.forward(ids.clone().narrow(1, 0, cut), model.initial_state(2), None);
            let second = model.forward(ids.clone().narrow(1, cut, 17 - cut), first.state, None);
            assert_close(&format!("{name}, state cut at {cut}"), &state_values(&second.state), &whole, LOGITS);
            let hidden = Tensor::cat(vec![first.hidden, second.hidden], 1);
            assert_close(&format!("{name}, cut at {cut}"), &values(model.logits(hidden)), expected, LOGITS);
        }
    }
}

#[test]
fn losses_and_gradients_of_every_parameter_equal_transformers() {
    for name in CASES {
        let golden = Golden::open(name, &tested().autodiff());
        let model = &golden.model;
        let rows = golden.ids("grad_ids");
        let inputs: Vec<Vec<i32>> = rows.iter().map(|row| row[..row.len() - 1].to_vec()).collect();
        let targets: Vec<Vec<i32>> = rows.iter().map(|row| row[1..].to_vec()).collect();
        let forward = || {
            let output = model.forward(tensor(&inputs, &golden.device()), model.initial_state(2), None);
            let nats = model.nats(output.hidden, tensor(&targets, &golden.device())).mean();
            (nats, output.routings)
        };
        let (cross_entropy, routings) = forward();
        let (load_balance, z) = auxiliary_losses(&routings).map(|losses| (losses.load_balance, losses.z)).unzip();
        let losses =
            [("cross_entropy", Some(cross_entropy.clone())), ("load_balance_loss", load_balance), ("z_loss", z)];
        for (what, loss) in losses {
            assert_eq!(loss.is_some(), golden.numbers.get(what).is_some(), "{name}, {what}");
            if let Some(loss) = loss {
                let expected = golden.numbers[what].as_f64().expect("a number");
                let found = loss.into_scalar::<f32>();
                assert_close(&format!("{name}, {what}"), &[found], &[expected as f32], LOSSES);
            }
        }

        check_gradients(&golden, "grad.", cross_entropy);
        if !routings.is_empty() {
            let (_, routings) = forward();
            check_gradients(
                &golden,
                "load_balance_loss_grad.",
                auxiliary_losses(&routings).expect("experts").load_balance,
            );
            let (_, routings) = forward();
            check_gradients(&golden, "z_loss_grad.", auxiliary_losses(&routings).expect("experts").z);
        }
    }
}

/// Every gradient named `prefix…` in the golden is that of `loss`, within 1e-3 of the tensor's largest entry.
fn check_gradients(golden: &Golden, prefix: &str, loss: Tensor<1>) {
    let gradients = golden.model.gradients(loss.backward());
    let mut checked = 0;
    for (parameter, gradient) in golden.model.parameters().iter().zip(gradients) {
        let on_disk = hf::names::to_hf(&parameter.name).expect("every parameter has a name on disk");
        let Some(expected) = golden.tensors.get(&format!("{prefix}{on_disk}")) else { continue };
        let scale = expected.iter().fold(0f32, |max, g| max.max(g.abs())).max(1e-6);
        let scaled = |values: &[f32]| values.iter().map(|g| g / scale).collect::<Vec<_>>();
        let off = max_difference(&scaled(&gradient), &scaled(expected));
        println!("{}, {prefix}{on_disk}: off by {off:.1e} of its largest entry", golden.name);
        assert!(off <= GRADIENTS_RELATIVE, "{}, {prefix}{on_disk}: off by {off:.1e} of its largest entry", golden.name);
        checked += 1;
    }
    let expected = golden.tensors.keys().filter(|key| key.starts_with(prefix)).count();
    assert_eq!(checked, expected, "{}: {prefix}", golden.name);
}

#[test]
fn a_changed_future_token_leaves_earlier_logits_bit_identical() {
    for name in CASES {
        let golden = Golden::open(name, &tested());
        let model = &golden.model;
        let rows = golden.ids("ids_17");
        let logits = |rows: &[Vec<i32>]| {
            let ids = tensor(rows, &golden.device());
            model.logits(model.forward(ids, model.initial_state(2), None).hidden)
        };
        let before = logits(&rows);
        for changed in [1, 8, 9, 16] {
            let mut rows = rows.clone();
            rows[0][changed] = (rows[0][changed] + 1) % 256;
            let after = logits(&rows);
            let past = |t: &Tensor<3>| values(t.clone().narrow(0, 0, 1).narrow(1, 0, changed));
            let now = |t: &Tensor<3>| values(t.clone().narrow(0, 0, 1).narrow(1, changed, 1));
            assert_eq!(past(&after), past(&before), "{name}, token {changed}");
            assert_ne!(now(&after), now(&before), "{name}, token {changed}");
        }
    }
}

#[test]
fn the_built_model_has_the_tensors_and_parameters_of_its_configuration() {
    for name in CASES {
        let golden = Golden::open(name, &tested());
        let config = golden.model.config();
        let built: Vec<(String, Vec<usize>)> =
            golden.model.parameters().into_iter().map(|p| (p.name, p.shape)).collect();
        let listed: Vec<(String, Vec<usize>)> = config.tensors().into_iter().map(|t| (t.name, t.shape)).collect();
        assert_eq!(built, listed, "{name}");
        assert_eq!(golden.model.num_params(), config.total_params(), "{name}");
    }
}
