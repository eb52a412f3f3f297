//! logits → the log-probabilities of what follows, and of what might have

use itera_kernels::decode::nats;
use itera_tokenizer::TokenId;

/// How likely a token was where it stands, and which were the most likely there: natural logarithms of the probabilities that
/// the model gives, before anything that a sampler does to them.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenLogprob {
    /// The token.
    pub id: TokenId,
    /// Its own; `None` of the first token of a text, which nothing precedes.
    pub logprob: Option<f32>,
    /// The most likely tokens there, the likeliest first, of equal ones the lower id.
    pub top: Vec<(TokenId, f32)>,
}

/// What is kept of the logits of a text.
#[derive(Clone, Debug)]
pub(crate) struct Logprobs {
    /// Most likely tokens at each place.
    pub top: usize,
    /// Whether the tokens of the prompt are among them.
    pub of_prompt: bool,
    pub found: Vec<TokenLogprob>,
}

impl TokenLogprob {
    /// Of `id`, where the model gives `logits` `[v]`.
    pub(crate) fn new(logits: &[f32], id: TokenId, top: usize) -> Self {
        let logprob = |id: u32| -nats(logits, id as usize) as f32;
        let by_rank = |a: &u32, b: &u32| logits[*b as usize].total_cmp(&logits[*a as usize]).then(a.cmp(b));
        let mut ids: Vec<u32> = (0..logits.len() as u32).collect();
        let top = top.min(ids.len());
        if top > 0 {
            ids.select_nth_unstable_by(top - 1, by_rank);
        }
        ids.truncate(top);
        ids.sort_unstable_by(by_rank);
        let top = ids.into_iter().map(|id| (TokenId(id), logprob(id))).collect();
        Self { id, logprob: Some(logprob(id.0)), top }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_those_of_the_softmax() {
        let logits = [1.0f32, 3.0, -2.0, 3.0, 0.5];
        let sum: f64 = logits.iter().map(|logit| f64::from(*logit).exp()).sum();
        let expected = |id: usize| (f64::from(logits[id]) - sum.ln()) as f32;
        let found = TokenLogprob::new(&logits, TokenId(2), 3);
        assert!((found.logprob.expect("some") - expected(2)).abs() < 1e-6);
        let ids: Vec<u32> = found.top.iter().map(|(id, _)| id.0).collect();
        assert_eq!(ids, [1, 3, 0], "of equal ones the lower id");
        assert!(found.top.iter().all(|(id, logprob)| (logprob - expected(id.index())).abs() < 1e-6));
        assert_eq!(TokenLogprob::new(&logits, TokenId(2), 9).top.len(), 5);
        assert_eq!(TokenLogprob::new(&logits, TokenId(2), 0).top, []);
        let excluded = TokenLogprob::new(&[0.0, f32::NEG_INFINITY], TokenId(1), 1);
        assert_eq!(excluded.logprob, Some(f32::NEG_INFINITY));
    }
}
