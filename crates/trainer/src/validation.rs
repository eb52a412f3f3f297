//! model, held-out batches → nats, bits per byte

use itera_data::TokenBatch;
use itera_model::LanguageModel;

use crate::objective::ids;

/// What held-out text costs a model.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Score {
    /// Nats of all tokens scored.
    pub nats: f64,
    /// Tokens scored.
    pub tokens: u64,
    /// Bytes of text that those tokens stand for.
    pub bytes: u64,
}

impl Score {
    /// Mean cross-entropy in nats a token.
    pub fn nats_per_token(&self) -> f64 {
        self.nats / self.tokens as f64
    }

    /// Bits per byte: the one number that compares models across tokenizers.
    pub fn bits_per_byte(&self) -> f64 {
        self.nats / std::f64::consts::LN_2 / self.bytes as f64
    }

    /// exp of nats a token. Never compare it across tokenizers.
    pub fn perplexity(&self) -> f64 {
        self.nats_per_token().exp()
    }
}

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
