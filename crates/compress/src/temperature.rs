//! held-out documents → the temperature at which they cost least → `logits_scaling`
//!
//! Dividing all logits by one number T (temperature scaling, arXiv 1706.04599) costs a file nothing, for the model divides
//! them by `logits_scaling` anyway. Of β = 1/T the cross-entropy is convex,
//!
//! ```text
//! L(β) = Σ log Σ exp(β·z) − β·z[target]      L′ = Σ E[z] − z[target]      L″ = Σ Var[z]
//! ```
//!
//! so Newton's steps find its one minimum, kept within an interval that halves where they leave it. Sums are taken in f64
//! and in order, whatever the number of threads.

use burn::tensor::{Int, Tensor, TensorData};
use itera_model::LanguageModel;
use rayon::prelude::*;

use crate::{
    candidate::Candidate,
    error::Result,
    session::{Abort, Session},
};

/// Of β; beyond, a model is broken and no temperature mends it.
const BOUNDS: [f64; 2] = [0.02, 50.0];
/// Largest step that is taken for none.
const PRECISION: f64 = 1e-7;
/// Halvings of [`BOUNDS`] alone that get there.
const MOST_STEPS: usize = 32;
/// A temperature is a whole number of parts of 1, so that files have a short number.
const PARTS: f64 = 1e4;

/// The temperature, a multiple of 1e-4, at which `texts` cost the model of `candidate` with weights `values` least. Of a text
/// that is longer than the model's context its beginning counts.
///
/// # Errors
/// If the weights are not those of the model, or a signal asks to stop.
pub(crate) fn best_temperature(
    candidate: &Candidate,
    values: Vec<Vec<f32>>,
    texts: &[String],
    session: Session<'_>,
) -> Result<f64, Abort> {
    let model = LanguageModel::from_values(candidate.model(), session.device, values)?;
    let read = |text: &String| session.proceed().map(|()| Read::new(&model, candidate, text));
    let documents = texts.iter().map(read).collect::<Result<Vec<_>, Abort>>()?;
    let [mut low, mut high] = BOUNDS;
    let mut beta = 1.0;
    for _ in 0..MOST_STEPS {
        let (mut slope, mut curvature) = (0.0, 0.0);
        for document in &documents {
            session.proceed()?;
            for (mean, variance) in document.moments(&model, beta) {
                slope += mean;
                curvature += variance;
            }
        }
        if slope > 0.0 {
            high = beta
        } else {
            low = beta
        }
        let newton = beta - slope / curvature;
        let next = if newton > low && newton < high { newton } else { (low + high) / 2.0 };
        let step = (next - beta).abs();
        beta = next;
        if step < PRECISION {
            break;
        }
    }
    Ok((PARTS / beta).round() / PARTS)
}

/// A document that the model has read.
struct Read {
    /// What it makes of it [1, l, d].
    hidden: Tensor<3>,
    /// The l tokens that follow.
    targets: Vec<usize>,
}

impl Read {
    fn new(model: &LanguageModel, candidate: &Candidate, text: &str) -> Self {
        let tokenizer = &candidate.design.data.tokenizer;
        // as `eval` scores it: after an eos, and the eos that ends it
        let eos = tokenizer.eos();
        let ids: Vec<usize> =
            [eos].into_iter().chain(tokenizer.encode(text)).chain([eos]).map(|id| id.index()).collect();
        let length = (ids.len() - 1).min(candidate.model().max_seq_len);
        let inputs: Vec<i32> = ids[..length].iter().map(|id| *id as i32).collect();
        let inputs = Tensor::<2, Int>::from_data(TensorData::new(inputs, [1, length]), &model.device());
        let hidden = model.forward(inputs, model.initial_state(1), None).hidden;
        Self { hidden, targets: ids[1..=length].to_vec() }
    }

    /// For each target: E[z] − z[target], and Var[z], of the logits z under softmax(β·z).
    fn moments(&self, model: &LanguageModel, beta: f64) -> Vec<(f64, f64)> {
        let logits = model.logits(self.hidden.clone());
        let [_, _, v] = logits.dims();
        let logits = logits.into_data().try_into_vec::<f32>().expect("logits are f32");
        let rows = logits.par_chunks_exact(v).zip(&self.targets);
        rows.map(|(row, target)| {
            let largest = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
            // about the largest, so that squares lose no digits
            let [mut sum, mut first, mut second] = [0.0; 3];
            for z in row {
                let z = f64::from(*z) - largest;
                let share = (beta * z).exp();
                (sum, first, second) = (sum + share, first + share * z, second + share * z * z);
            }
            let mean = first / sum;
            (mean + largest - f64::from(row[*target]), second / sum - mean * mean)
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use burn::tensor::Device;
    use itera_checkpoint::read_model;
    use itera_fixtures::smoke;
    use itera_trainer::{Job, StopFlag, train};

    use super::*;
    use crate::design::Design;

    /// A model that has learned a little, and held-out texts.
    fn trained() -> (tempfile::TempDir, Candidate, Vec<String>) {
        let dir = tempfile::tempdir().expect("a directory");
        let config = smoke(dir.path(), "run", &["train.steps=12", "eval.every_steps=12"]);
        let data = itera_data::prepare(&config).expect("data");
        train(Job::new(&config, &data, &Device::flex()), &mut |_| {}).expect("it trains");
        let parameters = read_model(&dir.path().join("run")).expect("a model").tensors.into();
        let valid = itera_data::load_corpus(&config.data).expect("a corpus").valid;
        let texts = valid.iter().take(4).map(|document| document.text().to_owned()).collect();
        (dir, Candidate { design: Design { config, data: Arc::new(data) }, parameters }, texts)
    }

    fn found(candidate: &Candidate, texts: &[String]) -> f64 {
        let (device, stop) = (Device::flex(), StopFlag::default());
        let session = Session { device: &device, stop: &stop };
        best_temperature(candidate, candidate.values(), texts, session).expect("a temperature")
    }

    fn divided(candidate: &Candidate, by: f64) -> Candidate {
        let mut other = candidate.clone();
        other.design.config.model.logits_scaling *= by;
        other
    }

    /// What the texts cost, by the loss of training.
    fn nats(candidate: &Candidate, texts: &[String]) -> f64 {
        let device = Device::flex();
        let model = LanguageModel::from_values(candidate.model(), &device, candidate.values()).expect("a model");
        let of = |text: &String| {
            let Read { hidden, targets } = Read::new(&model, candidate, text);
            let targets: Vec<i32> = targets.iter().map(|id| *id as i32).collect();
            let shape = [1, targets.len()];
            let nats = model.nats(hidden, Tensor::from_data(TensorData::new(targets, shape), &device));
            nats.into_data().try_into_vec::<f32>().expect("f32").into_iter().map(f64::from).sum::<f64>()
        };
        texts.iter().map(of).sum()
    }

    #[test]
    fn no_other_temperature_costs_less_and_threads_change_nothing() {
        let (_dir, candidate, texts) = trained();
        // it has hardly learned, so that its own logits are seven times as flat
        let candidate = divided(&candidate, 0.15);
        let best = found(&candidate, &texts);
        assert!(best != 1.0 && best > 0.5 && best < 2.0, "{best}");
        let least = nats(&divided(&candidate, best), &texts);
        for other in [0.98, 1.02] {
            let more = nats(&divided(&candidate, best * other), &texts);
            assert!(more > least, "{more} at {} and {least} at {best}", best * other);
        }
        // a model whose logits are twice as flat asks for half of it, and one that has it for none
        let half = found(&divided(&candidate, 2.0), &texts);
        assert!((2.0 * half - best).abs() < 2e-4, "{half} and {best}");
        assert!((found(&divided(&candidate, best), &texts) - 1.0).abs() < 1e-4);
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            assert_eq!(pool.install(|| found(&candidate, &texts)).to_bits(), best.to_bits());
        }
    }
}
