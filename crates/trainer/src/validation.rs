//! model, held-out batches → nats, bits per byte

use itera_data::TokenBatch;
use itera_model::LanguageModel;
use itera_runtime::Score;

use crate::objective::ids;

/// Score every token of `batches`; `token_bytes` says how many bytes of text a token stands for.
///
/// `model` should be without autodiff. Sums are taken in f64 in a fixed order.
pub fn validate(
    model: &LanguageModel,
    batches: impl IntoIterator<Item = TokenBatch>,
    token_bytes: impl Fn(i32) -> usize,
) -> Score {
    let device = model.device();
    let mut score = Score::default();
    for batch in batches {
        let state = model.initial_state(batch.batch_size);
        let output = model.forward(ids(&batch, &batch.inputs, &device), state, None);
        let nats = model.nats(output.hidden, ids(&batch, &batch.targets, &device));
        let nats = nats.into_data().try_into_vec::<f32>().expect("losses are f32");
        score.nats += nats.iter().map(|&n| f64::from(n)).sum::<f64>();
        score.tokens += nats.len() as u64;
        score.bytes += batch.targets.iter().map(|&id| token_bytes(id) as u64).sum::<u64>();
    }
    score
}
