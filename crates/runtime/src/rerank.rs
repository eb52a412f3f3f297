//! How much likelier texts are behind another than alone.
//!
//! ```text
//! bos query ─ prefill ─▶ state, logits ─ clone for each text ─▶ Σ log p(token | query, text before)  ┐
//! bos ─────── prefill ─▶ state, logits ─ clone for each text ─▶ Σ log p(token | text before)         ┴─ difference
//! ```

use itera_kernels::decode::nats;
use itera_tokenizer::{TokenId, Tokenizer};

use crate::{error::Result, model::Model, state::State, workspace::Workspace};

impl Model {
    /// log p(text | query) − log p(text) of each text, in nats: above 0 where the query makes it likelier.
    ///
    /// # Errors
    /// If the tokenizer is another model's, or query and text are longer than the context.
    pub fn likelihood_ratios(&self, tokenizer: &Tokenizer, query: &str, texts: &[&str]) -> Result<Vec<f64>> {
        let mut work = self.workspace();
        let bos = [tokenizer.bos()];
        let behind: Vec<TokenId> = bos.into_iter().chain(tokenizer.encode(query)).collect();
        let [behind, alone] = [&behind[..], &bos].map(|tokens| self.begin(tokens, &mut work));
        let (behind, alone) = (behind?, alone?);
        let ratio = |text: &&str| {
            let tokens = tokenizer.encode(text);
            Ok(self.cost(&alone, &tokens, &mut work)? - self.cost(&behind, &tokens, &mut work)?)
        };
        texts.iter().map(ratio).collect()
    }

    fn begin(&self, tokens: &[TokenId], work: &mut Workspace) -> Result<(State, Vec<f32>)> {
        let mut state = self.new_state();
        let logits = self.prefill(&mut state, tokens, work)?.to_vec();
        Ok((state, logits))
    }

    /// Nats of tokens behind a state whose logits are these.
    fn cost(&self, (state, logits): &(State, Vec<f32>), tokens: &[TokenId], work: &mut Workspace) -> Result<f64> {
        let Some((first, others)) = tokens.split_first() else { return Ok(0.0) };
        self.check_tokens(tokens)?;
        let mut sum = nats(logits, first.index());
        if !others.is_empty() {
            let v = self.config().vocab_size;
            self.prefill_all(&mut state.clone(), &tokens[..others.len()], work, |at, logits| {
                for (logits, target) in logits.chunks_exact(v).zip(&others[at..]) {
                    sum += nats(logits, target.index());
                }
            })?;
        }
        Ok(sum)
    }
}
