//! weights before and after → what a report shows of them: sensitivities, histograms, use of experts

use itera_data::TokenBatch;
use itera_formats::Kind;
use itera_model::LanguageModel;
use itera_tokenizer::TokenId;
use itera_trainer::{Losses, MicroBatch, TrainError, losses, validate};
use serde::{Deserialize, Serialize};

use crate::{
    candidate::Candidate,
    rounder::Rounder,
    session::{Abort, Session},
};

/// Bars of a histogram: an odd number, so that 0, which most codes have, is in the middle of one.
const BINS: usize = 49;

/// What it costs to round one group of tensors and nothing else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sensitivity {
    /// The role that the tensors have in common.
    pub role: String,
    /// Their kinds.
    pub kinds: Vec<String>,
    /// Their numbers.
    pub params: usize,
    /// By how much bits per byte of calibration text rise, in per cent.
    pub loss_percent: f64,
}

/// How the weights of a role are spread.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// The role.
    pub role: String,
    /// Bars lie from −`limit` to `limit`, all equally wide.
    pub limit: f64,
    /// The share of the baseline's weights in each.
    pub before: Vec<f64>,
    /// The share of the artifact's.
    pub after: Vec<f64>,
}

/// The share of a layer's tokens that each expert takes, layer by layer, on calibration text;
/// empty without experts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExpertUse {
    /// Of the baseline.
    pub before: Vec<Vec<f64>>,
    /// Of the artifact.
    pub after: Vec<Vec<f64>>,
}

/// Sequences of training text that variants of a model are compared on.
pub(crate) struct Calibration<'a> {
    candidate: &'a Candidate,
    session: Session<'a>,
    batches: Vec<TokenBatch>,
}

impl<'a> Calibration<'a> {
    /// About `tokens` tokens, always the same.
    pub(crate) fn new(candidate: &'a Candidate, tokens: usize, session: Session<'a>) -> Self {
        let (config, train) = (&candidate.design.config, &candidate.design.config.train);
        let sampler = candidate.design.data.sampler(config);
        let batches = tokens.div_ceil(train.batch_size * train.seq_len) as u64;
        let batch = |index| sampler.batch(index, train.batch_size);
        Self { candidate, session, batches: (0..batches).map(batch).collect() }
    }

    /// The model whose variants are compared.
    pub(crate) fn candidate(&self) -> &Candidate {
        self.candidate
    }

    /// As [`Session::proceed`].
    pub(crate) fn proceed(&self) -> Result<(), Abort> {
        self.session.proceed()
    }

    fn model(&self, values: Vec<Vec<f32>>) -> Result<LanguageModel, Abort> {
        Ok(LanguageModel::from_values(self.candidate.model(), self.session.device, values)?)
    }

    /// Bits per byte of a model with these weights.
    ///
    /// # Errors
    /// If a signal asks to stop.
    pub(crate) fn bits_per_byte(&self, values: Vec<Vec<f32>>) -> Result<f64, Abort> {
        let data = &self.candidate.design.data;
        let bytes = |id: i32| data.tokenizer.token_bytes(TokenId(id as u32));
        let batches = self.batches.iter().take_while(|_| self.proceed().is_ok());
        let model = self.model(values)?;
        let score = validate(&model, batches.cloned(), bytes, |position| data.train.is_unknown(position));
        self.proceed()?;
        Ok(score.map_err(TrainError::from)?.bits_per_byte())
    }

    /// What each role costs, in the order of the tensor table.
    ///
    /// # Errors
    /// If a signal asks to stop.
    pub(crate) fn sensitivities(&self, rounder: &Rounder) -> Result<Vec<Sensitivity>, Abort> {
        let specs = self.candidate.model().tensors();
        let exact = self.candidate.values();
        let rounded = rounder.computed(&self.candidate.parameters);
        let reference = self.bits_per_byte(exact.clone())?;
        let mut found: Vec<Sensitivity> = vec![];
        for (spec, kind) in specs.iter().zip(rounder.kinds()).filter(|(_, kind)| **kind != Kind::F32) {
            let (role, kind) = (spec.role.name(), kind.name().to_owned());
            if let Some(known) = found.iter_mut().find(|known| known.role == role) {
                known.params += spec.n_params();
                if !known.kinds.contains(&kind) {
                    known.kinds.push(kind);
                }
                continue;
            }
            let of_role = |index: usize| specs[index].role.name() == role;
            let values = (0..specs.len()).map(|i| if of_role(i) { rounded[i].clone() } else { exact[i].clone() });
            let loss_percent = 100.0 * (self.bits_per_byte(values.collect())? / reference - 1.0);
            found.push(Sensitivity { role: role.into(), kinds: vec![kind], params: spec.n_params(), loss_percent });
        }
        Ok(found)
    }

    /// The share of a layer's tokens that each expert takes, layer by layer; empty without experts.
    ///
    /// # Errors
    /// If a signal asks to stop.
    pub(crate) fn expert_shares(&self, values: Vec<Vec<f32>>) -> Result<Vec<Vec<f64>>, Abort> {
        let model = self.model(values)?;
        let config = &self.candidate.design.config.train;
        let of = |tokens| {
            self.proceed()?;
            Ok(losses(MicroBatch { model: &model, tokens, config, dropout: None }))
        };
        let losses =
            Losses::read(&self.batches.iter().map(of).collect::<Result<Vec<_>, Abort>>()?).map_err(TrainError::from)?;
        let sums = losses.into_iter().reduce(|a, b| a + b).map_or(vec![], |sums| sums.tokens_per_expert);
        let share = |counts: Vec<u64>| {
            let all = counts.iter().sum::<u64>().max(1) as f64;
            counts.iter().map(|count| *count as f64 / all).collect()
        };
        Ok(sums.into_iter().map(share).collect())
    }
}

/// A histogram of each role that is packed: the weights of `run`, and `after`, which are those of `last` as they are packed.
pub(crate) fn histograms(run: &Candidate, last: &Candidate, after: &[Vec<f32>]) -> Vec<Histogram> {
    let mut roles: Vec<&str> = vec![];
    for spec in last.model().tensors().iter().filter(|spec| spec.role.is_matrix()) {
        if !roles.contains(&spec.role.name()) {
            roles.push(spec.role.name());
        }
    }
    let of_role = |role: &str, model: &Candidate, values: &[Vec<f32>]| -> Vec<f32> {
        let specs = model.model().tensors();
        specs.iter().zip(values).filter(|(spec, _)| spec.role.name() == role).flat_map(|(_, of)| of.clone()).collect()
    };
    let before = run.values();
    let histogram = |role: &str| {
        let (before, after) = (of_role(role, run, &before), of_role(role, last, after));
        // the few that lie far out would flatten the rest
        let widest = [&before, &after].map(|of| {
            let squares = of.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
            (squares / of.len().max(1) as f64).sqrt()
        });
        let limit = 4.0 * widest[0].max(widest[1]).max(f64::MIN_POSITIVE);
        let (before, after) = (shares_of_bins(&before, limit), shares_of_bins(&after, limit));
        Histogram { role: role.into(), limit, before, after }
    };
    roles.into_iter().map(histogram).collect()
}

/// The share of `values` in each of the bars from −`limit` to `limit`; what lies beyond counts to the outermost.
fn shares_of_bins(values: &[f32], limit: f64) -> Vec<f64> {
    let mut bins = vec![0.0; BINS];
    for value in values {
        let place = (f64::from(*value) / limit + 1.0) / 2.0 * BINS as f64;
        bins[(place.max(0.0) as usize).min(BINS - 1)] += 1.0 / values.len() as f64;
    }
    bins
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_hold_every_weight_once() {
        let bins = shares_of_bins(&[-9.0, -1.0, -0.999, 0.0, 0.0, 0.999, 1.0, 9.0], 1.0);
        assert_eq!((bins[0], bins[BINS / 2], bins[BINS - 1]), (3.0 / 8.0, 2.0 / 8.0, 3.0 / 8.0));
        assert!((bins.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }
}
