//! prompt → prefill → (choose → step)* → tokens, or text
//!
//! ```text
//! ids ──generate──▶ ids          one at a time to a callback
//! text ──complete─▶ text         encoded, whole characters only, up to the first stop string
//! ```

use itera_tokenizer::{TextStream, TokenId, Tokenizer};

use crate::{Model, Result, RuntimeError, Sampler, State, Workspace, stop::StopText};

/// Whether to go on after a token or a piece of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continuation {
    /// Choose another token.
    More,
    /// The text is done.
    Done,
}

/// Why a text ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model ended it with eos, it reached a stop string, or the callback said so.
    Stop,
    /// It has as many tokens as were asked for.
    Length,
}

/// What a text was continued by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// The tokens chosen, one that ended the text included.
    pub ids: Vec<u32>,
    /// The text, without the stop string that ended it.
    pub text: String,
    /// Why it ended.
    pub finish: Finish,
}

/// What to continue a text by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompletionConfig {
    /// Tokens at most.
    pub max_tokens: usize,
    /// The text ends before the first of these.
    pub stop: Vec<String>,
}

impl Model {
    /// Continue `prompt` (not empty) from `state` by at most `max_tokens` tokens, giving each to `each` as it is chosen.
    ///
    /// Returns the ids chosen, the one at which `each` said [`Continuation::Done`] included. The state has then seen all
    /// but the last of them.
    ///
    /// # Errors
    /// As [`Model::prefill`]; running into the end of the context is none, it ends the text.
    pub fn generate(
        &self,
        state: &mut State,
        prompt: &[u32],
        max_tokens: usize,
        sampler: &mut Sampler,
        work: &mut Workspace,
        mut each: impl FnMut(u32) -> Continuation,
    ) -> Result<Vec<u32>> {
        let mut logits = self.prefill(state, prompt, work)?;
        let mut text = prompt.to_vec();
        let longest = prompt.len().saturating_add(max_tokens);
        while text.len() < longest {
            let id = sampler.choose(logits, &text);
            text.push(id);
            if each(id) == Continuation::Done || text.len() == longest {
                break;
            }
            logits = match self.step(state, id, work) {
                Ok(logits) => logits,
                Err(RuntimeError::ContextFull { .. }) => break,
                Err(error) => return Err(error),
            };
        }
        Ok(text.split_off(prompt.len()))
    }

    /// Continue the text `prompt` as the beginning of a document, giving `each` the new text piece by piece.
    ///
    /// # Errors
    /// As [`Model::generate`].
    pub fn complete(
        &self,
        tokenizer: &Tokenizer,
        prompt: &str,
        config: &CompletionConfig,
        sampler: &mut Sampler,
        work: &mut Workspace,
        mut each: impl FnMut(&str) -> Continuation,
    ) -> Result<Completion> {
        let prompt: Vec<u32> = [tokenizer.bos()].into_iter().chain(tokenizer.encode(prompt)).map(|id| id.0).collect();
        let mut stream = TextStream::new(tokenizer);
        let mut shown = StopText::new(&config.stop);
        let (mut text, mut finish, mut is_refused) = (String::new(), Finish::Length, false);
        let ids = self.generate(&mut self.new_state(), &prompt, config.max_tokens, sampler, work, |id| {
            finish = Finish::Stop;
            if id == tokenizer.eos().0 {
                return Continuation::Done;
            }
            let piece = shown.push(&stream.push(TokenId(id)));
            text.push_str(&piece);
            is_refused = !piece.is_empty() && each(&piece) == Continuation::Done;
            if is_refused || shown.is_stopped() {
                return Continuation::Done;
            }
            finish = Finish::Length;
            Continuation::More
        })?;
        if !shown.is_stopped() && !is_refused {
            let mut rest = shown.push(&stream.finish());
            rest.push_str(&shown.finish());
            if !rest.is_empty() {
                each(&rest);
            }
            text.push_str(&rest);
        }
        Ok(Completion { ids, text, finish })
    }
}
