mod replicas;

use burn::{
    module::{Module, Param, ParamId},
    tensor::{Device, Tensor, TensorData},
};
use itera_collective::World;
use itera_config::OptimizerKind;
use itera_model::parameters::weights;
use itera_ops::host_values;
use itera_shape::{Init, TensorRole, TensorSpec};
use itera_testkit::{assert_close, uniform};

use super::*;
use crate::{loss_scale::LossScale, losses::LossParts, stop::StopFlag};

/// Another family of models: y = a·x + b, element by element.
#[derive(Module, Debug)]
struct Line {
    a: Param<Tensor<2>>,
    b: Param<Tensor<1>>,
}

const RATES: Rates = Rates { lr: 0.01, weight_decay: 0.1 };
const WIDTH: usize = 5;
const ROWS: usize = 7;

fn tensor<const D: usize>(shape: [usize; D], seed: u64, device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(uniform(shape.iter().product(), -1.0, 1.0, seed), shape), device)
}

fn table() -> Vec<TensorSpec> {
    let spec = |name: &str, shape, role| TensorSpec {
        name: name.into(),
        shape,
        role,
        init: Init::Normal,
        active_share: (1, 1),
        matrix_rows: vec![],
    };
    vec![spec("a", vec![1, WIDTH], TensorRole::Head), spec("b", vec![WIDTH], TensorRole::Norm)]
}

/// To be what gives x² for x: mean squared error of random rows.
struct Fit {
    device: Device,
    /// The micro-batch whose loss is infinite.
    infinite: Option<u64>,
}

impl Task for Fit {
    type Model = Line;
    type Batch = Tensor<2>;

    fn batch(&self, index: u64) -> Tensor<2> {
        tensor([ROWS, WIDTH], index, &self.device)
    }

    fn losses(&self, model: &Line, x: &Tensor<2>, index: u64) -> LossParts {
        let y = x.clone() * model.a.val() + model.b.val().unsqueeze();
        let scale = if self.infinite == Some(index) { f32::INFINITY } else { 1.0 };
        let error = (y - x.clone().square()).square().mean().mul_scalar(scale);
        LossParts {
            total: error.clone(),
            nats: error,
            load_balance: None,
            z: None,
            tokens_per_expert: vec![Tensor::ones([2], &self.device)],
        }
    }

    fn computed(&self, _: &Line) -> Option<Line> {
        None
    }
}

fn learner<'a>(train: &'a TrainConfig, world: Option<&'a World>) -> Learner<'a, Fit> {
    let device = Device::flex().autodiff();
    let param = ParamId::new;
    let model = Line {
        a: Param::initialized(param(), tensor([1, WIDTH], 100, &device).require_grad()),
        b: Param::initialized(param(), tensor([WIDTH], 101, &device).require_grad()),
    };
    Learner {
        task: Fit { device: device.clone(), infinite: None },
        train,
        ranks: Ranks::new(world, StopFlag::default()),
        model,
        optimizer: Optimizers::Of(Optimizer::new(train, &table(), &device)),
        average: None,
        pace: Pace::default(),
    }
}

/// The state after so many steps, some of which were skipped.
fn after(step: u64, skipped: u64) -> TrainingState {
    TrainingState { step, skipped, ..TrainingState::default() }
}

fn config(grad_accum_steps: usize) -> TrainConfig {
    TrainConfig { grad_accum_steps, grad_clip_norm: 0.5, ..TrainConfig::default() }
}

fn values(tensors: &[Tensor<1>]) -> Vec<Vec<f32>> {
    tensors.iter().map(|tensor| host_values(tensor).to_vec()).collect()
}

#[test]
fn a_module_that_is_no_language_model_learns_by_the_equations() {
    let train = config(3);
    let mut learner = learner(&train, None);
    let [mut w, mut m, mut v] = [values(&weights(&learner.model)).concat(), vec![0.0; 10], vec![0.0; 10]]
        .map(|all| all.into_iter().map(f64::from).collect::<Vec<f64>>());
    let (Rates { lr, .. }, mut losses) = (RATES, vec![]);
    for step in 0..20 {
        let update = learner.update(&after(step, 0), RATES).expect("alone");

        let (mut gradient, mut loss) = (vec![0.0; 10], 0.0);
        for micro in 0..3 {
            for (i, x) in uniform(ROWS * WIDTH, -1.0, 1.0, step * 3 + micro).into_iter().map(f64::from).enumerate() {
                let error = w[i % WIDTH] * x + w[WIDTH + i % WIDTH] - x * x;
                let of_mean = 1.0 / (3 * ROWS * WIDTH) as f64;
                loss += of_mean * error * error;
                gradient[i % WIDTH] += of_mean * 2.0 * error * x;
                gradient[WIDTH + i % WIDTH] += of_mean * 2.0 * error;
            }
        }
        let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
        assert!((update.losses.nats - loss).abs() < 1e-5 && (update.grad_norm - norm).abs() < 1e-5, "step {step}");
        assert_eq!(update.losses.tokens_per_expert, [[3, 3]]);
        losses.push(loss);
        let clip = (0.5 / (norm + 1e-6)).min(1.0);
        let TrainConfig { beta1, beta2, eps, .. } = train;
        let t = step as i32 + 1;
        for i in 0..10 {
            let g = clip * gradient[i];
            m[i] = beta1 * m[i] + (1.0 - beta1) * g;
            v[i] = beta2 * v[i] + (1.0 - beta2) * g * g;
            // a is a matrix and decays, b is a vector
            let decay = if i < WIDTH { RATES.weight_decay } else { 0.0 };
            let (m, v) = (m[i] / (1.0 - beta1.powi(t)), v[i] / (1.0 - beta2.powi(t)));
            w[i] -= lr * (decay * w[i] + m / (v.sqrt() + eps));
        }
        let expected: Vec<f32> = w.iter().map(|w| *w as f32).collect();
        assert_close(&format!("step {step}"), &values(&weights(&learner.model)).concat(), &expected, 1e-5);
    }
    assert!(losses[19] < losses[0]);
}

#[test]
fn a_step_changes_weights_and_moments_where_they_lie() {
    let train = config(2);
    let mut learner = learner(&train, None);
    let addresses = |learner: &Learner<'_, Fit>| {
        let weights: Vec<usize> =
            weights(&learner.model).iter().map(|weight| host_values(weight).as_ptr().addr()).collect();
        let remembered = learner.remembered(0).expect("alone");
        (weights, remembered.iter().map(|tensor| tensor.values.as_ptr().addr()).collect::<Vec<usize>>())
    };
    let before = addresses(&learner);
    (0..3).for_each(|step| drop(learner.update(&after(step, 0), RATES).expect("alone")));
    assert_eq!(addresses(&learner), before);
}

#[test]
fn muon_moves_hidden_matrices_and_adamw_the_rest() {
    let step = |optimizer, role| {
        let train = TrainConfig { optimizer, ..config(1) };
        let mut learner = learner(&train, None);
        let mut table = table();
        (table[0].role, table[0].matrix_rows) = (role, vec![1]);
        learner.optimizer = Optimizers::Of(Optimizer::new(&train, &table, &learner.task.device));
        let before = values(&weights(&learner.model));
        learner.update(&after(0, 0), RATES).expect("alone");
        let names: Vec<String> = learner.remembered(0).expect("alone").into_iter().map(|tensor| tensor.name).collect();
        (before, values(&weights(&learner.model)), names)
    };
    let (before, adamw, names) = step(OptimizerKind::AdamW, TensorRole::Shared);
    assert_eq!(names, ["m.a", "v.a", "m.b", "v.b"]);
    let (_, head, names) = step(OptimizerKind::Muon, TensorRole::Head);
    assert_eq!((&head, names.len()), (&adamw, 4), "a head is not between hidden states");
    let (_, muon, names) = step(OptimizerKind::Muon, TensorRole::Shared);
    assert_eq!(names, ["m.a", "m.b", "v.b"]);
    assert_eq!(muon[1], adamw[1]);
    // a row is its own polar factor once it has length 1: the update is 0.2·√WIDTH times about that
    let decayed = before[0].iter().map(|w| w * (1.0 - 0.01 * 0.1));
    let update: Vec<f32> = muon[0].iter().zip(decayed).map(|(now, before)| (now - before) / 0.01).collect();
    let length = update.iter().map(|u| u * u).sum::<f32>().sqrt() / (0.2 * (WIDTH as f32).sqrt());
    assert!((0.85..1.13).contains(&length), "{length}");
}

#[test]
fn an_average_follows_the_weights_and_is_what_is_validated() {
    let train = TrainConfig { ema: 0.5, ..config(1) };
    let mut learner = learner(&train, None);
    learner.average = Some(Average::new(train.ema, &learner.model));
    let mut expected = values(&weights(&learner.model)).concat();
    for step in 0..6 {
        learner.update(&after(step, 0), RATES).expect("alone");
        let t = step as f32 + 1.0;
        let share = 1.0 - ((1.0 + t) / (10.0 + t)).min(0.5);
        let weights = values(&weights(&learner.model)).concat();
        expected.iter_mut().zip(&weights).for_each(|(mean, weight)| *mean += share * (weight - *mean));
        assert_close(&format!("step {step}"), &values(&self::weights(&learner.valid())).concat(), &expected, 1e-6);
        assert_ne!(weights, expected);
    }
}

#[test]
fn a_scaled_loss_moves_the_weights_as_one_that_is_not_unless_its_gradient_overflows() {
    let train = config(2);
    let step = |scale: Option<f64>| {
        let mut learner = learner(&train, None);
        let before = values(&weights(&learner.model));
        let loss_scale = scale.map(|scale| LossScale { scale, good_steps: 0 });
        let update = learner.update(&TrainingState { loss_scale, ..after(0, 0) }, RATES).expect("alone");
        let now = values(&weights(&learner.model));
        (update.is_finite(), now != before, now, update.losses.total, update.grad_norm)
    };
    let (is_finite, has_moved, weights, loss, norm) = step(None);
    assert!(is_finite && has_moved);
    assert_eq!(step(Some(65536.0)), (true, true, weights, loss, norm));
    let (is_finite, has_moved, _, scaled_loss, _) = step(Some(2f64.powi(128)));
    assert_eq!((is_finite, has_moved, scaled_loss), (false, false, loss));
}

/// Weights and moments of three steps, and the numbers of the last, as a rank of `world` finds them.
fn three_steps(world: Option<&World>, micro_batches: usize, infinite: Option<u64>) -> (Vec<Vec<f32>>, [f64; 2], bool) {
    let train = config(micro_batches);
    let mut learner = learner(&train, world);
    learner.task.infinite = infinite;
    let updates: Vec<Update> = (0..3).map(|step| learner.update(&after(step, 0), RATES).expect("ranks")).collect();
    let all = values(&weights(&learner.model));
    let remembered = learner.remembered(0).expect("alone");
    let all = all.into_iter().chain(remembered.iter().map(|tensor| tensor.values.to_vec())).collect();
    let last = &updates[2];
    (all, [last.losses.total, last.grad_norm], updates[1].is_finite())
}

#[test]
fn processes_that_share_the_micro_batches_learn_the_bytes_of_one() {
    for micro_batches in [1, 2, 3, 5, 8] {
        let alone = three_steps(None, micro_batches, None);
        for size in [1, 2, 3, 4, 6] {
            std::thread::scope(|scope| {
                let ranks: Vec<_> = World::of_threads(size)
                    .into_iter()
                    .map(|world| scope.spawn(move || three_steps(Some(&world), micro_batches, None)))
                    .collect();
                for (rank, found) in ranks.into_iter().enumerate() {
                    let found = found.join().expect("no panic");
                    assert_eq!(found, alone, "{micro_batches} micro-batches, rank {rank} of {size}");
                }
            });
        }
    }
}

#[test]
fn a_step_that_is_not_finite_changes_nothing_and_the_next_goes_on() {
    let train = config(2);
    let mut learner = learner(&train, None);
    learner.task.infinite = Some(3);
    let mut update = |step, skipped| {
        let is_finite = learner.update(&after(step, skipped), RATES).expect("alone").is_finite();
        (is_finite, values(&weights(&learner.model)))
    };
    let (finite, before) = update(0, 0);
    assert!(finite);
    assert_eq!(update(1, 0), (false, before.clone()));
    let (finite, after) = update(2, 1);
    assert!(finite && after != before);
}

#[test]
fn what_is_not_finite_on_one_rank_is_skipped_by_all() {
    let alone = three_steps(None, 3, Some(4));
    assert!(!alone.2);
    std::thread::scope(|scope| {
        for world in World::of_threads(3) {
            let alone = &alone;
            scope.spawn(move || assert_eq!(&three_steps(Some(&world), 3, Some(4)), alone));
        }
    });
}
