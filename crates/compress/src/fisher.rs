//! calibration text → gradients of single sequences → Σ g² of each weight
//!
//! The diagonal of the empirical Fisher information: by how much the loss changes, to second order, when a weight does
//! (Optimal Brain Damage, LeCun et al. 1990; for the scales of codes SqueezeLLM, arXiv 2306.07629).

use burn::tensor::Device;
use itera_data::Sampler;
use itera_model::LanguageModel;
use itera_trainer::losses;

use crate::{Result, subject::Subject};

/// How much each weight of a model matters, tensor by tensor; sums over about `tokens` tokens of the training split.
pub(crate) fn importance(subject: &Subject, tokens: usize, device: &Device) -> Result<Vec<Vec<f32>>> {
    let (config, train) = (&subject.config, &subject.data.train);
    let model = LanguageModel::from_values(&config.model, &device.clone().autodiff(), subject.values())?;
    let sampler = Sampler::new(train.len(), config.train.seq_len, config.run.seed);
    let mut sums: Vec<Vec<f32>> = subject.parameters.iter().map(|of| vec![0.0; of.values.len()]).collect();
    for index in 0..tokens.div_ceil(config.train.seq_len) as u64 {
        let batch = sampler.batch(train, index, 1);
        let loss = losses(&model, &batch, &config.train, None);
        for (sums, gradient) in sums.iter_mut().zip(model.gradients(loss.cross_entropy.backward())) {
            sums.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += g * g);
        }
    }
    Ok(sums)
}
