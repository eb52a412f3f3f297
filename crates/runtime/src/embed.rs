//! A vector of a text by a model of the family: what the last layer says at its tokens.
//!
//! ```text
//! tokens ─ a piece at a step ─▶ last layer, normalised [len, d] ─ added up, or one of them ─▶ sums [d] ─ all read ─▶ vector [d]
//! ```

use itera_formats::hf::Pooling;
use itera_tokenizer::TokenId;
use itera_vectors::normalize;

use crate::{
    error::Result,
    model::{Model, Piece},
    state::State,
    workspace::Workspace,
};

impl Model {
    /// The vector `[d]` of a text, of length 1: the mean of the normalised outputs of the last layer, or the first or last of
    /// them. Memory does not grow with a text where no layer is attention.
    ///
    /// # Errors
    /// As [`Model::prefill`].
    pub fn embed(&self, tokens: &[TokenId], pooling: Pooling, work: &mut Workspace) -> Result<Vec<f32>> {
        let mut embedding = Embedding::new(self, tokens.to_vec(), pooling)?;
        loop {
            if let Some(vector) = embedding.step(work) {
                return Ok(vector);
            }
        }
    }
}

/// A vector on its way, made in pieces of its text, so that something else may be done between two of them. Its bits are those
/// of [`Model::embed`], whatever that is. To cancel it, drop it.
#[derive(Debug)]
pub struct Embedding<'m> {
    model: &'m Model,
    state: State,
    tokens: Vec<TokenId>,
    pooling: Pooling,
    /// Of the rows that were read, as far as they count [d].
    sums: Vec<f64>,
}

impl<'m> Embedding<'m> {
    /// The vector of a text of which nothing was read yet.
    ///
    /// # Errors
    /// As [`Model::prefill`].
    pub fn new(model: &'m Model, tokens: Vec<TokenId>, pooling: Pooling) -> Result<Self> {
        let state = model.new_state();
        model.check(&state, &tokens)?;
        let sums = vec![0.0; model.config().d_model];
        Ok(Self { model, state, tokens, pooling, sums })
    }

    /// Tokens that the next step reads, at most [`Model::ubatch_size`] and a few; 0 when all were read.
    pub fn next_len(&self) -> usize {
        let left = self.tokens.len() - self.state.position();
        match (left > 0).then(|| self.model.next_piece(left)) {
            None => 0,
            Some(Piece::Step) => 1,
            Some(Piece::Chunk(len)) => len,
        }
    }

    /// Read the next piece. The vector `[d]`, of length 1, when all was read.
    pub fn step(&mut self, work: &mut Workspace) -> Option<Vec<f32>> {
        let (before, d) = (self.state.position(), self.sums.len());
        let piece = &self.tokens[before..][..self.next_len()];
        let (pooling, sums) = (self.pooling, &mut self.sums);
        self.model.run(&mut self.state, piece, work, |_, _, len, work| {
            let rows = &work.u[..len * d];
            match pooling {
                Pooling::Mean => {
                    for row in rows.chunks_exact(d) {
                        sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
                    }
                }
                Pooling::First if before > 0 => {}
                Pooling::First => sums.iter_mut().zip(rows).for_each(|(sum, x)| *sum = f64::from(*x)),
                Pooling::Last => sums.iter_mut().zip(&rows[(len - 1) * d..]).for_each(|(sum, x)| *sum = f64::from(*x)),
            }
        });
        (self.next_len() == 0).then(|| {
            let mut vector: Vec<f32> = self.sums.iter().map(|sum| (sum / self.tokens.len() as f64) as f32).collect();
            normalize(&mut vector);
            vector
        })
    }
}
