//! A token of each of many texts at once.
//!
//! ```text
//! states, tokens → as many equal parts as threads → rows of one forward pass each → logits
//! ```
//!
//! A part reads the weights once for all its texts. A text's numbers are bit for bit those that [`Model::step`] gives it
//! alone, whatever else is in its part.

use itera_kernels::matvec::Precision;
use itera_shape::ModelConfig;
use rayon::prelude::*;

use crate::{Model, Result, RuntimeError, State, Workspace, forward::Past, linear::Form};

/// Buffers for [`Model::step_all`].
#[derive(Debug)]
pub struct BatchWorkspace {
    parts: Vec<Workspace>,
    /// Texts a part, and logits a text, of the last call.
    part_len: usize,
    vocab_size: usize,
}

impl BatchWorkspace {
    fn new(config: &ModelConfig, precision: Precision, texts: usize, parts: usize) -> Self {
        let parts = parts.clamp(1, texts.max(1));
        let part_len = texts.div_ceil(parts);
        let part = || Workspace::new(config, precision, part_len);
        Self { parts: (0..parts).map(|_| part()).collect(), part_len, vocab_size: config.vocab_size }
    }

    /// The logits `[v]` of text number `index` of the last call.
    ///
    /// # Panics
    /// If there was no such text.
    pub fn logits(&mut self, index: usize) -> &mut [f32] {
        let (part, row) = (index / self.part_len, index % self.part_len);
        &mut self.parts[part].logits[row * self.vocab_size..][..self.vocab_size]
    }
}

impl Model {
    /// Buffers for a token each of up to `texts` texts, in as many parts as there are threads.
    pub fn batch_workspace(&self, texts: usize) -> BatchWorkspace {
        BatchWorkspace::new(self.config(), self.precision(), texts, rayon::current_num_threads())
    }

    /// [`Model::step`] of each state by the token of the same index, over all threads.
    /// [`BatchWorkspace::logits`] then has the logits.
    ///
    /// # Errors
    /// As [`Model::step`], of any of them, before any has moved on.
    ///
    /// # Panics
    /// Unless there is a token for each state.
    pub fn step_all(&self, states: &mut [&mut State], tokens: &[u32], work: &mut BatchWorkspace) -> Result<()> {
        assert_eq!(states.len(), tokens.len(), "a token for each state");
        if tokens.is_empty() {
            return Err(RuntimeError::EmptyPrompt);
        }
        self.check_tokens(tokens)?;
        states.iter().try_for_each(|state| state.check(self.shape(), 1))?;
        work.part_len = tokens.len().div_ceil(work.parts.len());
        work.vocab_size = self.config().vocab_size;
        let parts = states.par_chunks_mut(work.part_len).zip(tokens.par_chunks(work.part_len));
        parts.zip(&mut work.parts).for_each(|((states, tokens), work)| {
            self.forward(tokens, &mut Past::Steps(states), work);
            self.logits(Form::Steps, 0, tokens.len(), work);
        });
        Ok(())
    }
}
