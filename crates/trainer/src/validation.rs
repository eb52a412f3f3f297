//! model, held-out batches → nats, bits per byte; batches are shared out among ranks

use itera_data::TokenBatch;
use itera_model::LanguageModel;
use itera_ops::device::{DeviceError, read};
use itera_runtime::Score;

use crate::{
    contrast::info_nce,
    error::TrainError,
    objective::ids,
    ranks::Ranks,
    words::{Reader, Writer},
};

/// Score every token of `batches` that counts; `token_bytes` says how many bytes of text a token stands for, `is_unknown` at
/// which [positions](TokenBatch::positions) a token is a byte that has none, which costs 8 bits more.
///
/// `model` should be without autodiff. Sums are taken in f64 in a fixed order.
///
/// # Errors
/// If the device failed.
pub fn validate(
    model: &LanguageModel,
    batches: impl IntoIterator<Item = TokenBatch>,
    token_bytes: impl Fn(i32) -> usize,
    is_unknown: impl Fn(usize) -> bool,
) -> Result<Score, DeviceError> {
    let cost = |batch: TokenBatch| Part::of_text(model, &batch, &token_bytes, &is_unknown);
    Ok(total(batches.into_iter().map(cost).collect::<Result<Vec<_>, _>>()?.into_iter()))
}

/// The score of `batches` after `step` by all ranks, each of which says what some of them cost: the same score, for all.
pub(crate) fn validate_together(
    ranks: &Ranks<'_>,
    step: u64,
    batches: impl IntoIterator<Item = TokenBatch>,
    cost: impl Fn(&TokenBatch) -> Result<Part, DeviceError>,
) -> Result<Score, TrainError> {
    let mut mine = Writer::default();
    for batch in batches.into_iter().skip(ranks.rank()).step_by(ranks.size()) {
        ranks.begin("validation", step);
        cost(&batch)?.write(&mut mine);
    }
    ranks.begin("the sum of the validation", step);
    let all = ranks.gather(mine.0)?;
    let mut all: Vec<Reader<'_>> = all.iter().map(|bytes| Reader(bytes)).collect();
    // batch k is that of rank k modulo their number
    let mut rank = (0..all.len()).cycle();
    Ok(total(std::iter::from_fn(|| Part::read(&mut all[rank.next()?]))))
}

/// What a batch costs, without what unknown bytes cost beside their tokens.
pub(crate) struct Part {
    nats: f64,
    tokens: u64,
    bytes: u64,
    unknown: u64,
}

impl Part {
    /// Of each token that counts.
    pub(crate) fn of_text(
        model: &LanguageModel,
        batch: &TokenBatch,
        token_bytes: impl Fn(i32) -> usize,
        is_unknown: impl Fn(usize) -> bool,
    ) -> Result<Self, DeviceError> {
        let device = model.device();
        let state = model.initial_state(batch.batch_size);
        let output = model.forward(ids(batch, &batch.inputs, &device), state, None);
        let is_scored = |target: &i32| *target != TokenBatch::UNSCORED;
        // any token will do where none counts
        let targets: Vec<i32> = batch.targets.iter().map(|&id| if is_scored(&id) { id } else { 0 }).collect();
        let nats = model.nats(output.hidden, ids(batch, &targets, &device));
        let nats = read(nats)?;
        let scored = || batch.targets.iter().zip(&nats).filter(|(target, _)| is_scored(target));
        let positions = batch.targets.iter().zip(&batch.positions).filter(|(target, _)| is_scored(target));
        Ok(Self {
            nats: scored().map(|(_, &nats)| f64::from(nats)).sum(),
            tokens: scored().count() as u64,
            bytes: scored().map(|(&target, _)| token_bytes(target) as u64).sum(),
            unknown: positions.filter(|(_, position)| is_unknown(**position)).count() as u64,
        })
    }

    /// Of each part of the pairs of a batch to be found by the other one.
    pub(crate) fn of_pairs(
        model: &LanguageModel,
        batch: &TokenBatch,
        temperature: f64,
        token_bytes: impl Fn(i32) -> usize,
    ) -> Result<Self, DeviceError> {
        let state = model.initial_state(batch.batch_size);
        let output = model.forward(ids(batch, &batch.inputs, &model.device()), state, None);
        let mean = f64::from(read(info_nce(output.hidden, batch, temperature))?[0]);
        let scored = batch.targets.iter().filter(|target| **target != TokenBatch::UNSCORED);
        let bytes = scored.map(|&target| token_bytes(target) as u64).sum();
        Ok(Self { nats: mean * batch.batch_size as f64, tokens: batch.batch_size as u64, bytes, unknown: 0 })
    }

    fn write(&self, to: &mut Writer) {
        to.float(self.nats);
        [self.tokens, self.bytes, self.unknown].into_iter().for_each(|count| to.count(count));
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let nats = from.float()?;
        Some(Self { nats, tokens: from.count()?, bytes: from.count()?, unknown: from.count()? })
    }
}

/// The sum of batches, in their order.
fn total(parts: impl Iterator<Item = Part>) -> Score {
    parts.fold(Score::default(), |mut score, part| {
        score.nats += part.nats;
        score.tokens += part.tokens;
        score.bytes += part.bytes;
        score.add_unknown(part.unknown);
        score
    })
}
