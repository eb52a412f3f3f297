//! A model to run: its file, and its weights in order.
//!
//! ```text
//! path ─open─▶ Model ─┬─ new_state ──▶ State      one a text
//!                     ├─ workspace ──▶ Workspace  one a thread
//!                     ├─ step(state, token) ────▶ logits        recurrent form
//!                     ├─ prefill(state, tokens) ▶ logits        chunked form, the same function
//!                     └─ step_all(states, tokens) ▶ logits      many texts, weights read once
//! ```

use std::{fmt, path::Path, sync::Arc};

use itera_formats::{ModelFile, TokenizerSource, gguf::Vocabulary};
use itera_kernels::matvec::Precision;
use itera_shape::{ModelConfig, SpecialIds, TensorRef};
use itera_tokenizer::Tokenizer;
use self_cell::self_cell;

use crate::{
    Result, RuntimeError,
    forward::{Past, forward, logits},
    linear::Form,
    network::Network,
    state::{State, StateShape},
    workspace::Workspace,
};

/// Fewer tokens go through one by one instead, because expanding weights for them costs more.
const MIN_CHUNK: usize = 8;

/// Floats of logits that exist at once where those of all tokens are asked for.
const LOGITS: usize = 1 << 18;

self_cell!(
    struct Opened {
        owner: ModelFile,
        #[covariant]
        dependent: Network,
    }
);

/// A model, its weights packed in the mapped file. Shared between threads by reference.
pub struct Model {
    opened: Opened,
    shape: Arc<StateShape>,
    precision: Precision,
    chunk: usize,
}

impl Model {
    /// Tokens that go through the layers together in a prefill, unless [`Model::with_chunk`] says otherwise. Memory is in
    /// proportion; speed gains little beyond.
    pub const CHUNK: usize = 128;

    /// Open a model directory, or a GGUF file.
    ///
    /// # Errors
    /// If the file cannot be read, is damaged, or is not a model of the family.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::new(ModelFile::open(path.as_ref())?)
    }

    /// The model of an opened file.
    ///
    /// # Errors
    /// If its tensors are not those of its configuration; the message names the first.
    pub fn new(file: ModelFile) -> Result<Self> {
        let shape = Arc::new(StateShape::new(&file));
        let opened = Opened::try_new(file, |file| Network::load(file))?;
        let precision = if opened.borrow_dependent().has_codes() { Precision::Int8 } else { Precision::Exact };
        Ok(Self { opened, shape, precision, chunk: Self::CHUNK })
    }

    /// A model of tensors in memory, by the names of [`ModelConfig::tensors`]; they are copied.
    ///
    /// # Errors
    /// If the configuration is not valid, or the tensors are not exactly those of it.
    pub fn from_tensors(config: &ModelConfig, special_ids: SpecialIds, tensors: &[TensorRef<'_>]) -> Result<Self> {
        Self::new(ModelFile::from_tensors(config, special_ids, tensors)?)
    }

    /// The same with another precision of activations while stepping. [`Precision::Int8`] is the default where weights
    /// have codes too, and concerns these alone; a prefill of eight tokens or more is always exact.
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// The same with another number of tokens that go through the layers together in a prefill. With fewer than eight
    /// they go one by one, in steps: a prefill, and a score, is then computed as a text is written.
    pub fn with_chunk(self, tokens: usize) -> Self {
        Self { chunk: tokens, ..self }
    }

    /// The precision of activations while stepping.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The tokenizer that came with the weights, with the bos, eos and pad of the model.
    ///
    /// # Errors
    /// If there is none, or it is not of the kind that is read.
    pub fn tokenizer(&self) -> Result<Tokenizer> {
        let ids = self.file().special_ids();
        Ok(match self.file().tokenizer()? {
            TokenizerSource::Json(json) => Tokenizer::from_json_of_model(&json, ids)?,
            TokenizerSource::Vocabulary(Vocabulary { tokens, merges, specials }) => {
                Tokenizer::from_parts(&tokens, &merges, &specials, ids)?
            }
        })
    }

    /// The file it came from.
    pub fn file(&self) -> &ModelFile {
        self.opened.borrow_owner()
    }

    /// The shape of the model.
    pub fn config(&self) -> &ModelConfig {
        self.file().config()
    }

    /// The state before the first token of a text.
    pub fn new_state(&self) -> State {
        State::new(self.shape.clone())
    }

    /// The state that [`State::to_bytes`] saved.
    ///
    /// # Errors
    /// If the bytes are not a state of a model of this shape, or were changed.
    pub fn load_state(&self, bytes: &[u8]) -> Result<State> {
        State::from_bytes(&self.shape, bytes)
    }

    /// Buffers for one thread that goes through texts one token at a time; [`Model::prefill`] adds its own to them.
    pub fn workspace(&self) -> Workspace {
        Workspace::new(self.config(), self.precision, 1)
    }

    /// The logits `[v]` of what follows `token`, which the state then has seen: the recurrent form.
    ///
    /// # Errors
    /// If there is no such token, the state is another model's, or attention would have to look back too far. The state
    /// is then as it was.
    pub fn step<'w>(&self, state: &mut State, token: u32, work: &'w mut Workspace) -> Result<&'w mut [f32]> {
        self.check_tokens(&[token])?;
        state.check(&self.shape, 1)?;
        self.forward(&[token], &mut Past::Steps(&mut [state]), work);
        Ok(self.logits(Form::Steps, 0, 1, work))
    }

    /// The logits `[v]` of what follows all of `tokens`, which the state then has seen: the chunked form. The same as
    /// [`Model::step`] on each, but for rounding.
    ///
    /// # Errors
    /// As [`Model::step`], and if there is no token.
    pub fn prefill<'w>(&self, state: &mut State, tokens: &[u32], work: &'w mut Workspace) -> Result<&'w mut [f32]> {
        let mut last = 0;
        self.run(state, tokens, work, |_, _, len, _| last = len - 1)?;
        Ok(self.logits(Form::Steps, last, 1, work))
    }

    /// [`Model::prefill`] that gives the logits of what follows each token: `each` gets rows [any number, v] and the
    /// index in `tokens` of the first of them.
    ///
    /// # Errors
    /// As [`Model::prefill`].
    pub fn prefill_all(
        &self,
        state: &mut State,
        tokens: &[u32],
        work: &mut Workspace,
        mut each: impl FnMut(usize, &[f32]) + Send,
    ) -> Result<()> {
        let at_once = (LOGITS / self.config().vocab_size).clamp(1, Self::CHUNK);
        self.run(state, tokens, work, |form, start, len, work| {
            for first in (0..len).step_by(at_once) {
                each(start + first, self.logits(form, first, at_once.min(len - first), work));
            }
        })
    }

    /// All of `tokens` in chunks, too few for one in steps; `after` each gets its form, where it starts and its length.
    fn run(
        &self,
        state: &mut State,
        tokens: &[u32],
        work: &mut Workspace,
        mut after: impl FnMut(Form, usize, usize, &mut Workspace) + Send,
    ) -> Result<()> {
        if tokens.is_empty() {
            return Err(RuntimeError::EmptyPrompt);
        }
        self.check_tokens(tokens)?;
        state.check(&self.shape, tokens.len())?;
        if tokens.len().min(self.chunk) < MIN_CHUNK {
            for (start, token) in tokens.iter().enumerate() {
                self.forward(&[*token], &mut Past::Steps(&mut [state]), work);
                after(Form::Steps, start, 1, work);
            }
            return Ok(());
        }
        // one entry to the thread pool for all kernels
        rayon::scope(|_| {
            let mut start = 0;
            while start < tokens.len() {
                let left = tokens.len() - start;
                // a rest too short for a chunk of its own goes with the one before it
                let len = if left < self.chunk.saturating_add(MIN_CHUNK) { left } else { self.chunk };
                self.forward(&tokens[start..start + len], &mut Past::Chunk(state, len), work);
                after(Form::Chunk, start, len, work);
                start += len;
            }
        });
        Ok(())
    }

    pub(crate) fn check_tokens(&self, tokens: &[u32]) -> Result<()> {
        let vocab_size = self.config().vocab_size;
        match tokens.iter().find(|token| **token as usize >= vocab_size) {
            Some(&token) => Err(RuntimeError::Token { token, vocab_size }),
            None => Ok(()),
        }
    }

    pub(crate) fn network(&self) -> &Network<'_> {
        self.opened.borrow_dependent()
    }

    pub(crate) fn shape(&self) -> &Arc<StateShape> {
        &self.shape
    }

    pub(crate) fn forward(&self, tokens: &[u32], past: &mut Past<'_, '_>, work: &mut Workspace) {
        forward(self.network(), self.config(), tokens, past, work);
    }

    pub(crate) fn logits<'w>(&self, form: Form, first: usize, count: usize, work: &'w mut Workspace) -> &'w mut [f32] {
        logits(self.network(), self.config(), form, first, count, work)
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model").field("config", self.config()).finish_non_exhaustive()
    }
}
