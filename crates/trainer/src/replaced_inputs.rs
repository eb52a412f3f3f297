//! batch → the same batch, random tokens standing for some of its inputs
//!
//! ```text
//! inputs    x0 x1 ?? x3 x4 ?? …       as BERT corrupts its inputs (arXiv 1810.04805 §3.1), but of a causal model
//! targets   x1 x2 x3 x4 x5 x6 …       as they were
//! ```
//!
//! A text that is read a few dozen times is a little different each time. There is no token for a mask, and of masks and
//! random tokens the latter do more for a model that outgrows its text (arXiv 2606.16246).

use itera_config::TrainConfig;
use itera_data::TokenBatch;
use itera_shape::rng::{Purpose, stream};
use itera_tokenizer::{TokenId, Tokenizer};
use rand::RngExt;

/// Replaces inputs of the micro-batches of a run: which, and by what, is a function of the seed and their index.
pub(crate) struct ReplacedInputs {
    share: f64,
    /// Micro-batches whose inputs are replaced, from the first on.
    micro_batches: u64,
    seed: u64,
    /// For each token of the vocabulary, whether it stands for text.
    is_text: Vec<bool>,
    /// The tokens that do.
    tokens: Vec<i32>,
}

impl ReplacedInputs {
    /// `None` if the run replaces none.
    pub(crate) fn new(train: &TrainConfig, seed: u64, tokenizer: &Tokenizer) -> Option<Self> {
        let micro_batches = replaced_steps(train) * train.grad_accum_steps as u64;
        if micro_batches == 0 {
            return None;
        }
        let ids = (0..tokenizer.vocab_size() as u32).map(TokenId);
        let is_text: Vec<bool> = ids.map(|id| tokenizer.token_bytes(id) > 0).collect();
        let tokens = (0..).zip(&is_text).filter_map(|(id, is_text)| is_text.then_some(id)).collect();
        Some(Self { share: train.replace_inputs, micro_batches, seed, is_text, tokens })
    }

    /// Replace inputs of micro-batch number `index`. The first of a sequence, and those that stand for no text, stay.
    pub(crate) fn apply(&self, batch: &mut TokenBatch, index: u64) {
        if index >= self.micro_batches {
            return;
        }
        let mut rng = stream(self.seed, Purpose::ReplacedInputs, index);
        for inputs in batch.inputs.chunks_exact_mut(batch.seq_len) {
            for input in &mut inputs[1..] {
                let token = self.tokens[rng.random_range(0..self.tokens.len())];
                if rng.random_bool(self.share) && self.is_text[*input as usize] {
                    *input = token;
                }
            }
        }
    }
}

/// The steps of a run that replace inputs, which are its first.
pub(crate) fn replaced_steps(train: &TrainConfig) -> u64 {
    match train.replace_inputs {
        0.0 => 0,
        _ => (train.replace_inputs_until * train.steps as f64).round() as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EOS: i32 = 0;

    fn train() -> TrainConfig {
        let (replace_inputs, replace_inputs_until) = (0.25, 0.5);
        TrainConfig { steps: 5, grad_accum_steps: 2, replace_inputs, replace_inputs_until, ..TrainConfig::default() }
    }

    /// Text of one token, with eos here and there.
    fn batch() -> TokenBatch {
        let of = |at: i32| if at % 10 == 9 { EOS } else { 50 };
        let (batch_size, seq_len) = (40, 50);
        let rows = |shift| (0..batch_size).flat_map(|_| (0..seq_len).map(move |at| of(at + shift))).collect();
        TokenBatch { inputs: rows(0), targets: rows(1), positions: vec![], batch_size: 40, seq_len: 50 }
    }

    fn replaced(train: &TrainConfig, seed: u64, index: u64) -> TokenBatch {
        let mut batch = batch();
        ReplacedInputs::new(train, seed, &Tokenizer::byte()).expect("some are replaced").apply(&mut batch, index);
        batch
    }

    #[test]
    fn a_share_of_the_text_is_replaced_by_tokens_of_text_and_nothing_else_changes() {
        let (before, after) = (batch(), replaced(&train(), 1, 0));
        assert_eq!((&before.targets, &before.positions), (&after.targets, &after.positions));
        let changed: Vec<usize> = (0..2000).filter(|at| before.inputs[*at] != after.inputs[*at]).collect();
        // 1764 places of text, of which a random token leaves one in 256 as it was; σ = 18
        assert!(changed.len().abs_diff(441) < 90, "{}", changed.len());
        assert!(changed.iter().all(|at| at % 50 != 0 && before.inputs[*at] != EOS));
        let tokenizer = Tokenizer::byte();
        let tokens: std::collections::HashSet<i32> = changed.iter().map(|at| after.inputs[*at]).collect();
        assert!(tokens.len() > 180 && tokens.iter().all(|id| tokenizer.token_bytes(TokenId(*id as u32)) == 1));
        let texts: Vec<i32> = after.texts().flatten().collect();
        assert_eq!(texts, before.texts().flatten().collect::<Vec<_>>());
        assert!(before.texts().all(|text| text.count() == 51));
    }

    #[test]
    fn it_is_a_function_of_seed_and_micro_batch_and_ends_with_its_steps() {
        let train = train();
        assert_eq!(replaced(&train, 1, 3), replaced(&train, 1, 3));
        assert_ne!(replaced(&train, 1, 3), replaced(&train, 2, 3));
        assert_ne!(replaced(&train, 1, 3), replaced(&train, 1, 4));
        // half of five steps are three, of two micro-batches each
        assert_eq!(replaced_steps(&train), 3);
        assert_ne!(replaced(&train, 1, 5), batch());
        assert_eq!(replaced(&train, 1, 6), batch());
        for none in
            [TrainConfig { replace_inputs: 0.0, ..train.clone() }, TrainConfig { replace_inputs_until: 0.0, ..train }]
        {
            assert!(ReplacedInputs::new(&none, 1, &Tokenizer::byte()).is_none());
        }
    }
}
