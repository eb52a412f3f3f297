//! model, held-out batches → nats, bits per byte

use itera_data::TokenBatch;
use itera_model::LanguageModel;
use itera_runtime::Score;

use crate::objective::ids;

/// Score every token of `batches` that counts; `token_bytes` says how many bytes of text a token stands for, `is_unknown` at
/// which [positions](TokenBatch::positions) a token is a byte that has none, which costs 8 bits more.
///
/// `model` should be without autodiff. Sums are taken in f64 in a fixed order.
pub fn validate(
    model: &LanguageModel,
    batches: impl IntoIterator<Item = TokenBatch>,
    token_bytes: impl Fn(i32) -> usize,
    is_unknown: impl Fn(usize) -> bool,
) -> Score {
    let device = model.device();
    let mut score = Score::default();
    for batch in batches {
        let state = model.initial_state(batch.batch_size);
        let output = model.forward(ids(&batch, &batch.inputs, &device), state, None);
        let is_scored = |target: &i32| *target != TokenBatch::UNSCORED;
        // any token will do where none counts
        let targets: Vec<i32> = batch.targets.iter().map(|&id| if is_scored(&id) { id } else { 0 }).collect();
        let nats = model.nats(output.hidden, ids(&batch, &targets, &device));
        let nats = nats.into_data().try_into_vec::<f32>().expect("losses are f32");
        let scored = || batch.targets.iter().zip(&nats).filter(|(target, _)| is_scored(target));
        score.nats += scored().map(|(_, &nats)| f64::from(nats)).sum::<f64>();
        score.tokens += scored().count() as u64;
        score.bytes += scored().map(|(&target, _)| token_bytes(target) as u64).sum::<u64>();
        let positions = batch.targets.iter().zip(&batch.positions).filter(|(target, _)| is_scored(target));
        score.add_unknown(positions.filter(|(_, position)| is_unknown(**position)).count() as u64);
    }
    score
}
