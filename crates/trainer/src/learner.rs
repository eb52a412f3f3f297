//! batches → losses → gradients → clip → AdamW: one optimiser step

use std::time::{Duration, Instant};

use burn::module::Module;

use itera_config::Config;
use itera_data::{Dataset, Sampler};
use itera_kernels::{norm::sum_of_all_squares, vector};
use itera_model::{Dropout, LanguageModel};
use itera_ops::recycle;

use crate::{method::Method, optimizer::AdamW, update::Update};

/// What steps change, and what they need for it.
pub(crate) struct Learner<'a> {
    pub config: &'a Config,
    pub data: &'a Dataset,
    pub method: &'a dyn Method,
    pub sampler: Sampler,
    pub model: LanguageModel,
    pub optimizer: AdamW,
}

impl Learner<'_> {
    /// The model as the method computes with it, where that differs from the one that is kept.
    fn computed(&self) -> Option<LanguageModel> {
        let values = self.method.weights(&self.model.parameters())?;
        let model = LanguageModel::from_values(self.model.config(), &self.model.device(), values);
        Some(model.expect("a method gives as many tensors as it gets, in their shapes"))
    }

    /// The model that is learned, without autodiff.
    pub(crate) fn valid(&self) -> LanguageModel {
        self.computed().map_or_else(|| self.model.valid(), |model| model.valid())
    }

    /// The step after `step` completed ones, `skipped` of which changed nothing: an update by the mean gradient of the
    /// micro-batches, unless something is not finite.
    pub(crate) fn update(&mut self, step: u64, skipped: u64, lr: f64) -> Update {
        let train = &self.config.train;
        let micro_batches = train.grad_accum_steps;
        let share = 1.0 / micro_batches as f64;
        let mut update = Update::default();
        let mut gradients: Vec<Vec<f32>> = Vec::new();
        let mut clock = Clock(Instant::now());
        let computed = self.computed();
        let model = computed.as_ref().unwrap_or(&self.model);
        update.times.forward += clock.lap();
        for micro in 0..micro_batches {
            let index = step * micro_batches as u64 + micro as u64;
            let batch = self.sampler.batch(&self.data.train, index, train.batch_size);
            update.times.data += clock.lap();
            let mut dropout = Dropout::new(self.config.model.dropout, self.config.run.seed, index);
            let loss = self.method.losses(model, &batch, train, Some(&mut dropout));
            update.add(share, &loss);
            update.times.forward += clock.lap();
            let micro_gradients = model.gradients(loss.total.backward());
            if gradients.is_empty() {
                gradients = micro_gradients;
            } else {
                for (sum, gradient) in gradients.iter_mut().zip(micro_gradients) {
                    vector::add(&gradient, sum);
                    recycle(gradient);
                }
            }
            update.times.backward += clock.lap();
        }
        drop(computed);
        let slices: Vec<&[f32]> = gradients.iter().map(Vec::as_slice).collect();
        update.grad_norm = sum_of_all_squares(&slices).sqrt() * share;
        if update.is_finite() {
            // torch.nn.utils.clip_grad_norm_: max_norm / (norm + 1e-6), at most 1
            let clip = match train.grad_clip_norm {
                0.0 => 1.0,
                max => (max / (update.grad_norm + 1e-6)).min(1.0),
            };
            let number = step - skipped + 1;
            self.optimizer.step(&mut self.model, &gradients, (clip * share) as f32, number, lr, train);
        }
        gradients.into_iter().for_each(recycle);
        update.times.optimizer = clock.lap();
        update
    }
}

struct Clock(Instant);

impl Clock {
    /// Time since the last call.
    fn lap(&mut self) -> Duration {
        let before = std::mem::replace(&mut self.0, Instant::now());
        self.0 - before
    }
}
