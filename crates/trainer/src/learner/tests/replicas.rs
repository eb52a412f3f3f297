//! Replicas of a module learn apart and meet.

use super::*;

fn apart(replicas: u64, grad_accum_steps: usize, sync_every: u64) -> TrainConfig {
    TrainConfig { replicas, sync_every, ..config(grad_accum_steps) }
}

/// A learner whose replicas are shared by the ranks of `world`.
fn replicated<'a>(train: &'a TrainConfig, world: Option<&'a World>) -> Learner<'a, Fit> {
    let mut learner = learner(train, world);
    let own = learner.ranks.share(learner.ranks.rank(), train.replicas);
    let replicas = Replicas::new(train, &table(), &learner.task.device, own, &learner.model);
    learner.optimizer = Optimizers::Replicas(replicas);
    learner
}

/// AdamW in f64, of the ten weights of a [`Line`].
struct Reference {
    w: Vec<f64>,
    m: Vec<f64>,
    v: Vec<f64>,
}

impl Reference {
    /// Step number `t` by the mean gradient of `micro_batches`; the loss before it.
    fn step(&mut self, t: i32, micro_batches: &[u64], train: &TrainConfig) -> f64 {
        let (mut gradient, mut loss) = ([0.0; 2 * WIDTH], 0.0);
        let share = 1.0 / (micro_batches.len() * ROWS * WIDTH) as f64;
        for &micro in micro_batches {
            for (i, x) in uniform(ROWS * WIDTH, -1.0, 1.0, micro).into_iter().map(f64::from).enumerate() {
                let error = self.w[i % WIDTH] * x + self.w[WIDTH + i % WIDTH] - x * x;
                loss += share * error * error;
                gradient[i % WIDTH] += share * 2.0 * error * x;
                gradient[WIDTH + i % WIDTH] += share * 2.0 * error;
            }
        }
        let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
        let clip = (train.grad_clip_norm / (norm + 1e-6)).min(1.0);
        let TrainConfig { beta1, beta2, eps, .. } = *train;
        for (i, g) in gradient.iter().map(|g| clip * g).enumerate() {
            self.m[i] = beta1 * self.m[i] + (1.0 - beta1) * g;
            self.v[i] = beta2 * self.v[i] + (1.0 - beta2) * g * g;
            let decay = if i < WIDTH { RATES.weight_decay } else { 0.0 };
            let (m, v) = (self.m[i] / (1.0 - beta1.powi(t)), self.v[i] / (1.0 - beta2.powi(t)));
            self.w[i] -= RATES.lr * (decay * self.w[i] + m / (v.sqrt() + eps));
        }
        loss
    }
}

#[test]
fn replicas_learn_apart_and_meet_by_the_equations() {
    meet_by_the_equations(false);
    meet_by_the_equations(true);
}

fn meet_by_the_equations(sync_moments: bool) {
    const SYNC_EVERY: u64 = 3;
    // of three micro-batches, one replica has one and the other two
    let shares = [vec![0], vec![1, 2]];
    let train = TrainConfig { sync_moments, ..apart(2, 3, SYNC_EVERY) };
    let mut learner = replicated(&train, None);
    let mut model: Vec<f64> = values(&weights(&learner.model)).concat().into_iter().map(f64::from).collect();
    let mut velocity = vec![0.0; model.len()];
    let zeros = vec![0.0; model.len()];
    let mut replicas = [0, 1].map(|_| Reference { w: model.clone(), m: zeros.clone(), v: zeros.clone() });
    for step in 0..4 * SYNC_EVERY {
        let before = values(&weights(&learner.model));
        let update = learner.update(&after(step, 0), RATES).expect("alone");
        let mut loss = 0.0;
        for (replica, share) in replicas.iter_mut().zip(&shares) {
            let micro_batches: Vec<u64> = share.iter().map(|micro| 3 * step + micro).collect();
            loss += replica.step(step as i32 + 1, &micro_batches, &train) * share.len() as f64 / 3.0;
        }
        assert!((update.losses.nats - loss).abs() < 1e-5, "step {step}: {} and {loss}", update.losses.nats);
        if (step + 1) % SYNC_EVERY > 0 {
            assert_eq!(values(&weights(&learner.model)), before, "the model stays until they meet");
            continue;
        }
        for (i, (w, u)) in model.iter_mut().zip(&mut velocity).enumerate() {
            let moved = replicas.iter().map(|replica| *w - replica.w[i]).sum::<f64>() / 2.0;
            *u = 0.9 * *u + moved;
            *w -= 0.7 * (moved + 0.9 * *u);
        }
        replicas.iter_mut().for_each(|replica| replica.w.clone_from(&model));
        if sync_moments {
            let [a, b] = &mut replicas;
            for (a, b) in a.m.iter_mut().zip(&mut b.m).chain(a.v.iter_mut().zip(&mut b.v)) {
                let mean = (*a + *b) / 2.0;
                (*a, *b) = (mean, mean);
            }
        }
        let expected: Vec<f32> = model.iter().map(|w| *w as f32).collect();
        assert_close(&format!("step {step}"), &values(&weights(&learner.model)).concat(), &expected, 1e-5);
    }
}

/// The model, and all that rank 0 remembers under its name, after `steps` steps.
fn left(world: Option<&World>, train: &TrainConfig, steps: u64, infinite: Option<u64>) -> Vec<(String, Vec<f32>)> {
    let mut learner = replicated(train, world);
    learner.task.infinite = infinite;
    let mut skipped = 0;
    for step in 0..steps {
        let update = learner.update(&after(step, skipped), RATES).expect("ranks");
        skipped += u64::from(!update.is_finite());
    }
    let model = values(&weights(&learner.model)).into_iter().map(|values| ("model".to_owned(), values));
    let mut remembered = learner.remembered(steps).expect("ranks");
    remembered.sort_by(|a, b| a.name.cmp(&b.name));
    model.chain(remembered.into_iter().map(|tensor| (tensor.name, tensor.values.to_vec()))).collect()
}

#[test]
fn processes_that_share_replicas_learn_the_bytes_of_one_and_the_first_remembers_all() {
    // after 6 steps they have met, after 7 they are apart; micro-batch 13 is of step 2 and skips it for all
    for (replicas, steps, infinite) in [(2, 6, None), (3, 7, None), (4, 7, Some(13)), (5, 8, None)] {
        let train = TrainConfig { sync_moments: replicas > 3, ..apart(replicas, 5, 3) };
        let alone = left(None, &train, steps, infinite);
        let n_tensors = if steps == 6 { 4 } else { 6 } * replicas as usize + 2 + 2;
        assert_eq!(alone.len(), n_tensors, "moments, weights where apart, velocity, and the model");
        for size in [2, 3, 4, 7] {
            std::thread::scope(|scope| {
                let (train, alone) = (&train, &alone);
                for world in World::of_threads(size) {
                    scope.spawn(move || {
                        let found = left(Some(&world), train, steps, infinite);
                        let expected = if world.rank() == 0 { &alone[..] } else { &alone[..2] };
                        assert!(found == expected, "{replicas} replicas, rank {} of {size}", world.rank());
                    });
                }
            });
        }
    }
}

#[test]
fn what_is_not_finite_in_one_replica_is_skipped_by_all() {
    let train = apart(2, 2, 4);
    let mut learner = replicated(&train, None);
    learner.task.infinite = Some(2);
    let moments = |learner: &Learner<'_, Fit>| {
        let remembered = learner.remembered(1).expect("alone");
        remembered.into_iter().map(|tensor| tensor.values.to_vec()).collect::<Vec<_>>()
    };
    assert!(learner.update(&after(0, 0), RATES).expect("alone").is_finite());
    let before = moments(&learner);
    assert!(!learner.update(&after(1, 0), RATES).expect("alone").is_finite());
    assert_eq!(moments(&learner), before);
    assert!(learner.update(&after(2, 1), RATES).expect("alone").is_finite());
    assert_ne!(moments(&learner), before);
}
