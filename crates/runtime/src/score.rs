//! model, documents → nats, bits per byte: whole documents, each on its own
//!
//! ```text
//! document → [bos | tokens] predicts [tokens | eos]       documents in parallel, a document by chunks
//!
//! longer than the context of L tokens:
//!   inputs 0 … L          all of their predictions count
//!   inputs L/2 … 3L/2     those of the second half count, given the first
//!   inputs L … 2L         …
//! ```
//!
//! A byte that the tokenizer has no token for is the unknown token, which does not say which byte it is: such a position
//! costs the nats that the model gives the unknown token, and those of one byte in 256 beside them.
//!
//! The windows of long documents are the strided ones of Hugging Face's guide to perplexity, with a stride of half the
//! context: each prediction counts once, and is given at least L − L/2 tokens of its document. A window begins a new state.

use std::ops::ControlFlow;

use itera_kernels::decode::nats;
use itera_tokenizer::{TokenId, Tokenizer};
use rayon::prelude::*;
use serde::{Serialize, Serializer, ser::SerializeStruct};

use crate::{error::Result, model::Model, state::State, workspace::Workspace};

/// What text costs a model.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Score {
    /// Nats of all tokens scored, [`Score::NATS_OF_A_BYTE`] for each unknown byte included.
    pub nats: f64,
    /// Tokens scored.
    pub tokens: u64,
    /// Bytes of text that those tokens stand for, unknown ones included.
    pub bytes: u64,
    /// Bytes that the tokenizer has no token for; 0 if it has one for every byte.
    pub unknown_bytes: u64,
}

impl Score {
    /// What it takes to say which byte an unknown one is: ln 256, 8 bits.
    pub const NATS_OF_A_BYTE: f64 = 8.0 * std::f64::consts::LN_2;

    /// Adds bytes that the tokenizer has no token for. Their tokens are scored beside them, as any others.
    pub fn add_unknown(&mut self, n_bytes: u64) {
        self.nats += n_bytes as f64 * Self::NATS_OF_A_BYTE;
        self.bytes += n_bytes;
        self.unknown_bytes += n_bytes;
    }

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
        self.unknown_bytes += other.unknown_bytes;
    }
}

impl Serialize for Score {
    /// Counts, that of unknown bytes where there are any, and the means that are made of the sum of nats.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut score = serializer.serialize_struct("Score", 6)?;
        score.serialize_field("tokens", &self.tokens)?;
        score.serialize_field("bytes", &self.bytes)?;
        match self.unknown_bytes {
            0 => score.skip_field("unknown_bytes")?,
            some => score.serialize_field("unknown_bytes", &some)?,
        }
        score.serialize_field("nats_per_token", &self.nats_per_token())?;
        score.serialize_field("bits_per_byte", &self.bits_per_byte())?;
        score.serialize_field("perplexity", &self.perplexity())?;
        score.end()
    }
}

/// The score of one document.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DocumentScore {
    /// Of all of its tokens.
    pub score: Score,
    /// Whether it is longer than the model's context, and was scored in windows.
    pub in_windows: bool,
}

/// The score of documents.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    /// Documents scored.
    pub documents: usize,
    /// The score of all of them.
    #[serde(flatten)]
    pub score: Score,
    /// How documents longer than the model's context were scored; `None` if all fit into it.
    pub windows: Option<Windows>,
}

/// Documents that were scored in windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Windows {
    /// Such documents.
    pub documents: usize,
    /// The index of the first of them among all documents, from 0.
    pub first: usize,
    /// Tokens of a window: the model's context.
    pub tokens: usize,
    /// Tokens from the beginning of a window to that of the next.
    pub stride: usize,
}

impl Model {
    /// Score every document in full: each of its tokens, and the eos that ends it, given all that came before it in the
    /// document, or, where the document is longer than the model's context, at least half of that. `on_done` is told of
    /// each document as it is done, from any thread.
    ///
    /// The sum is the same whatever the number of threads.
    ///
    /// # Errors
    /// If the tokenizer is another model's.
    pub fn score_documents(
        &self,
        tokenizer: &Tokenizer,
        documents: &[&str],
        on_done: &(dyn Fn() + Sync),
    ) -> Result<Evaluation> {
        let go_on = || {
            on_done();
            ControlFlow::Continue(())
        };
        Ok(self.score_documents_while(tokenizer, documents, &go_on)?.expect("nothing breaks it off"))
    }

    /// As [`Model::score_documents`], until `on_done` breaks it off: `None` then, soon after.
    ///
    /// # Errors
    /// As there.
    pub fn score_documents_while(
        &self,
        tokenizer: &Tokenizer,
        documents: &[&str],
        on_done: &(dyn Fn() -> ControlFlow<()> + Sync),
    ) -> Result<Option<Evaluation>> {
        let scores = self.score_each(tokenizer, documents, on_done)?;
        Ok(scores.map(|scores| self.evaluation(&scores)))
    }

    /// The score of each document, until `on_done` breaks it off: `None` then, soon after.
    ///
    /// # Errors
    /// If the tokenizer is another model's.
    pub fn score_each(
        &self,
        tokenizer: &Tokenizer,
        documents: &[&str],
        on_done: &(dyn Fn() -> ControlFlow<()> + Sync),
    ) -> Result<Option<Vec<DocumentScore>>> {
        let scores = documents.par_iter().map_init(
            || (self.new_state(), self.workspace()),
            |(state, work), document| {
                let score = self.score_document(tokenizer, document, state, work);
                on_done().is_continue().then_some(score)
            },
        );
        scores.collect::<Option<_>>().transpose()
    }

    /// What scores of documents by this model are together, whoever scored which. Sums are made in the order of documents.
    pub fn evaluation(&self, scores: &[DocumentScore]) -> Evaluation {
        let mut score = Score::default();
        scores.iter().for_each(|one| score += one.score);
        let windows = self.context_len().zip(scores.iter().position(|one| one.in_windows));
        let windows = windows.map(|(tokens, first)| Windows {
            documents: scores.iter().filter(|one| one.in_windows).count(),
            first,
            tokens,
            stride: stride(tokens),
        });
        Evaluation { documents: scores.len(), score, windows }
    }

    fn score_document(
        &self,
        tokenizer: &Tokenizer,
        document: &str,
        state: &mut State,
        work: &mut Workspace,
    ) -> Result<DocumentScore> {
        let (bos, eos) = (tokenizer.bos(), tokenizer.eos());
        let ids: Vec<TokenId> = [bos].into_iter().chain(tokenizer.encode(document)).chain([eos]).collect();
        let (inputs, targets) = (&ids[..ids.len() - 1], &ids[1..]);
        self.check_tokens(targets)?;
        let context = self.context_len().unwrap_or(usize::MAX);
        let v = self.config().vocab_size;
        let (mut score, mut start, mut scored) = (Score::default(), 0_usize, 0);
        loop {
            let end = inputs.len().min(start.saturating_add(context));
            state.reset();
            if start < scored {
                self.prefill(state, &inputs[start..scored], work)?;
            }
            self.prefill_all(state, &inputs[scored..end], work, |first, logits| {
                for (logits, target) in logits.chunks_exact(v).zip(&targets[scored + first..]) {
                    score += Score {
                        nats: nats(logits, target.index()),
                        tokens: 1,
                        bytes: tokenizer.token_bytes(*target) as u64,
                        unknown_bytes: 0,
                    };
                }
            })?;
            if end == inputs.len() {
                // the last target is the eos of the document, which may be the same token
                let text = &targets[..targets.len() - 1];
                score.add_unknown(text.iter().filter(|id| Some(**id) == tokenizer.unknown()).count() as u64);
                return Ok(DocumentScore { score, in_windows: end > context });
            }
            (start, scored) = (start + stride(context), end);
        }
    }
}

/// Tokens from a window of `context` to the next.
fn stride(context: usize) -> usize {
    (context / 2).max(1)
}
