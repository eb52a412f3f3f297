//! model, documents → nats, bits per byte: whole documents, each on its own
//!
//! ```text
//! document → [bos | tokens] predicts [tokens | eos]       documents in parallel, a document by chunks
//! ```

use itera_kernels::decode::nats;
use itera_tokenizer::{TokenId, Tokenizer};
use rayon::prelude::*;

use crate::{Model, Result, State, Workspace};

/// What text costs a model.
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

impl std::ops::AddAssign for Score {
    fn add_assign(&mut self, other: Self) {
        self.nats += other.nats;
        self.tokens += other.tokens;
        self.bytes += other.bytes;
    }
}

impl Model {
    /// Score every document in full: each of its tokens, and the eos that ends it, given all that came before it in the
    /// document. `on_done` is told of each document as it is done, from any thread.
    ///
    /// The sum is the same whatever the number of threads.
    ///
    /// # Errors
    /// If a document is longer than an attention layer can look back, or the tokenizer is another model's.
    pub fn score_documents(
        &self,
        tokenizer: &Tokenizer,
        documents: &[&str],
        on_done: &(dyn Fn() + Sync),
    ) -> Result<Score> {
        let scores = documents.par_iter().map_init(
            || (self.new_state(), self.workspace()),
            |(state, work), document| {
                let score = self.score_document(tokenizer, document, state, work);
                on_done();
                score
            },
        );
        let scores: Vec<Score> = scores.collect::<Result<_>>()?;
        let mut sum = Score::default();
        scores.into_iter().for_each(|score| sum += score);
        Ok(sum)
    }

    fn score_document(
        &self,
        tokenizer: &Tokenizer,
        document: &str,
        state: &mut State,
        work: &mut Workspace,
    ) -> Result<Score> {
        let (bos, eos) = (tokenizer.bos(), tokenizer.eos());
        let tokens = tokenizer.encode(document);
        let ids: Vec<u32> = [bos].into_iter().chain(tokens).chain([eos]).map(|id| id.0).collect();
        let (inputs, targets) = (&ids[..ids.len() - 1], &ids[1..]);
        self.check_tokens(targets)?;
        state.reset();
        let mut score = Score::default();
        let v = self.config().vocab_size;
        self.prefill_all(state, inputs, work, |start, logits| {
            for (logits, target) in logits.chunks_exact(v).zip(&targets[start..]) {
                score += Score {
                    nats: nats(logits, *target as usize),
                    tokens: 1,
                    bytes: tokenizer.token_bytes(TokenId(*target)) as u64,
                };
            }
        })?;
        Ok(score)
    }
}
