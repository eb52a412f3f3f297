//! A model to run: its file, and its weights in order.
//!
//! ```text
//! path ─open─▶ Model ─┬─ new_state ──▶ State      one a text
//!                     ├─ workspace ──▶ Workspace  one a thread
//!                     ├─ step(state, token) ────▶ logits        recurrent form
//!                     └─ prefill(state, tokens) ▶ logits        chunked form, the same function
//! ```
//!
//! [`Text`](crate::Text) and [`Batch`](crate::Batch) write texts with these.

use std::{fmt, path::Path, sync::Arc};

use itera_formats::{ModelFile, TokenizerSource, gguf::Vocabulary};
use itera_kernels::matvec::Activations;
use itera_shape::{ModelConfig, SpecialIds, TensorRef};
use itera_tokenizer::{TokenId, Tokenizer};
use self_cell::self_cell;

use crate::{
    error::{Result, RuntimeError},
    forward::{forward, logits},
    linear::Form,
    network::Network,
    past::{Chunk, Past},
    state::{State, StateShape},
    workspace::Workspace,
};

/// Fewer tokens go through one by one instead, because expanding weights for them costs more.
const MIN_UBATCH: usize = 8;

/// Floats of logits in memory at once when logits of all tokens are asked for.
const LOGITS: usize = 1 << 18;

self_cell!(
    struct Opened {
        owner: ModelFile,
        #[covariant]
        dependent: Network,
    }
);

/// A model, its weights packed as its file has them. Shared between threads by reference.
pub struct Model {
    opened: Opened,
    shape: Arc<StateShape>,
    activations: Activations,
    ubatch_size: usize,
}

/// How a model is run. Its threads belong to the rayon pool of the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenOptions {
    /// Tokens of a text that go through the layers together in a prefill; memory is in proportion, and speed gains
    /// little beyond [`OpenOptions::UBATCH_SIZE`]. With fewer than eight they go one by one, in steps: a prefill, and a
    /// score, is then computed as a text is written.
    pub ubatch_size: usize,
    /// How activations take part in products while stepping, by weights that have codes; those of a prefill of eight
    /// tokens or more are always exact. `None` rounds them where some weights have codes. Where they are rounded, keys and
    /// values are remembered as bfloat16.
    pub activations: Option<Activations>,
}

impl OpenOptions {
    /// The default of [`OpenOptions::ubatch_size`].
    pub const UBATCH_SIZE: usize = 128;

    /// Open a model directory, or a GGUF file.
    ///
    /// # Errors
    /// If the file cannot be read, is damaged, or is not a model of the family.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Model> {
        Ok(Model::open(path)?.with_options(self))
    }

    /// Open a model directory, or a GGUF file, with its files read into memory: what becomes of them later changes nothing.
    ///
    /// # Errors
    /// As [`OpenOptions::open`].
    pub fn read(&self, path: impl AsRef<Path>) -> Result<Model> {
        Ok(Model::new(ModelFile::read(path.as_ref())?)?.with_options(self))
    }
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self { ubatch_size: Self::UBATCH_SIZE, activations: None }
    }
}

/// What is read of a text at once: the bits of its numbers depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// One token, a row beside rows of other texts.
    Step,
    /// So many tokens as rows of their own.
    Chunk(usize),
}

impl Model {
    /// Open a model directory, or a GGUF file, to be run by the default [`OpenOptions`].
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
        let shape = Arc::new(StateShape::new(&file, Activations::Exact));
        let opened = Opened::try_new(file, |file| Network::load(file))?;
        let model = Self { opened, shape, activations: Activations::Exact, ubatch_size: 0 };
        Ok(model.with_options(&OpenOptions::default()))
    }

    /// A model of tensors in memory, by the names of [`ModelConfig::tensors`]; they are copied.
    ///
    /// # Errors
    /// If the configuration is not valid, or the tensors are not exactly those of it.
    pub fn from_tensors(config: &ModelConfig, special_ids: SpecialIds, tensors: &[TensorRef<'_>]) -> Result<Self> {
        Self::new(ModelFile::from_tensors(config, special_ids, tensors)?)
    }

    /// The same model, to be run by other options.
    pub fn with_options(self, options: &OpenOptions) -> Self {
        let usual = if self.network().has_codes() { Activations::Int8 } else { Activations::Exact };
        let activations = options.activations.unwrap_or(usual);
        let shape = Arc::new(StateShape::new(self.file(), activations));
        Self { shape, activations, ubatch_size: options.ubatch_size, ..self }
    }

    /// How activations take part in products while stepping.
    pub fn activations(&self) -> Activations {
        self.activations
    }

    /// Positions that a text may have; `None` if no layer looks back at them, so that a text has no end.
    pub fn context_len(&self) -> Option<usize> {
        self.shape.longest()
    }

    /// The tokenizer that came with the weights, with the bos, eos and pad of the model.
    ///
    /// # Errors
    /// If there is none, or it is not of the kind that is read.
    pub fn tokenizer(&self) -> Result<Tokenizer> {
        let ids = self.file().special_ids();
        Ok(match self.file().tokenizer()? {
            TokenizerSource::Json(json) => Tokenizer::from_json_of_model(&json, ids)?,
            TokenizerSource::Vocabulary(Vocabulary { tokens, merges, specials, unknown }) => {
                Tokenizer::from_parts(&tokens, &merges, &specials, unknown, ids)?
            }
        })
    }

    /// The tokens that end a text: eos, and those that the files of the model list beside it.
    pub fn ends(&self, tokenizer: &Tokenizer) -> Vec<TokenId> {
        let more = self.file().more_eos().iter().map(|id| TokenId(*id));
        [tokenizer.eos()].into_iter().chain(more).collect()
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

    /// Bytes of the numbers that a text of `len` tokens leaves in its state.
    pub(crate) fn state_bytes(&self, len: usize) -> u64 {
        self.shape.numbers_bytes(len).map_or(u64::MAX, |bytes| bytes as u64)
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
        Workspace::new(self.config(), self.activations, 1)
    }

    /// Bytes of the heap that copies of the scales of its matrices hold, beside the file.
    pub fn scales_bytes(&self) -> usize {
        self.network().scales_bytes()
    }

    /// Bytes of the heap that a state of this model holds at most.
    pub fn most_state_bytes(&self) -> usize {
        self.new_state().most_bytes()
    }

    /// Bytes of the heap that a workspace holds at most through which prompts of one text at a time went, and single tokens.
    pub fn most_workspace_bytes(&self) -> usize {
        self.most_bytes_to_read(1)
    }

    /// Bytes of the heap that a workspace holds at most by which pieces of so many prompts are read at once.
    pub(crate) fn most_bytes_to_read(&self, prompts: usize) -> usize {
        let rows = self.ubatch_size.saturating_add(MIN_UBATCH - 1);
        let of_text = self.context_len().unwrap_or(usize::MAX);
        let logits = self.logits_rows().min(of_text) * self.config().vocab_size * size_of::<f32>();
        let rows = rows.min(of_text.saturating_mul(prompts));
        Workspace::most_bytes(self.config(), Form::Chunk, rows, self.context_len()).saturating_add(logits)
    }

    /// The logits `[v]` of what follows `token`, which the state then has seen: the recurrent form.
    ///
    /// # Errors
    /// If there is no such token, the state is another model's, or attention would have to look back too far. The state
    /// is then as it was.
    pub fn step<'w>(&self, state: &mut State, token: TokenId, work: &'w mut Workspace) -> Result<&'w mut [f32]> {
        self.check(state, &[token])?;
        Ok(self.read(state, &[token], work))
    }

    /// The logits `[v]` of what follows all of `tokens`, which the state then has seen: the chunked form. The same as
    /// [`Model::step`] on each, but for rounding.
    ///
    /// # Errors
    /// As [`Model::step`], and if there is no token.
    pub fn prefill<'w>(&self, state: &mut State, tokens: &[TokenId], work: &'w mut Workspace) -> Result<&'w mut [f32]> {
        self.check(state, tokens)?;
        Ok(self.read(state, tokens, work))
    }

    /// [`Model::prefill`] of what was checked.
    fn read<'w>(&self, state: &mut State, tokens: &[TokenId], work: &'w mut Workspace) -> &'w mut [f32] {
        let mut last = 0;
        self.run(state, tokens, work, |_, _, len, _| last = len - 1);
        self.logits(Form::Steps, last, 1, work)
    }

    /// [`Model::prefill`] that gives the logits of what follows each token: `each` gets rows [any number, v] and the
    /// index in `tokens` of the first of them.
    ///
    /// # Errors
    /// As [`Model::prefill`].
    pub fn prefill_all(
        &self,
        state: &mut State,
        tokens: &[TokenId],
        work: &mut Workspace,
        mut each: impl FnMut(usize, &[f32]) + Send,
    ) -> Result<()> {
        self.check(state, tokens)?;
        self.run(state, tokens, work, |form, start, len, work| {
            self.logits_at_once(len, |first, count| each(start + first, self.logits(form, first, count, work)));
        });
        Ok(())
    }

    /// Cut `len` rows so that the logits of each part are in memory at once: `each` gets its first row, and how many it has.
    pub(crate) fn logits_at_once(&self, len: usize, mut each: impl FnMut(usize, usize)) {
        let at_once = self.logits_rows();
        (0..len).step_by(at_once).for_each(|first| each(first, at_once.min(len - first)));
    }

    /// Rows of logits that are in memory at once.
    fn logits_rows(&self) -> usize {
        (LOGITS / self.config().vocab_size).clamp(1, OpenOptions::UBATCH_SIZE)
    }

    /// All of `tokens`, piece by piece; `after` each gets its form, where it starts and its length.
    pub(crate) fn run(
        &self,
        state: &mut State,
        tokens: &[TokenId],
        work: &mut Workspace,
        mut after: impl FnMut(Form, usize, usize, &mut Workspace) + Send,
    ) {
        let mut all = || {
            let mut start = 0;
            while start < tokens.len() {
                let (form, len) = match self.next_piece(tokens.len() - start) {
                    Piece::Step => (Form::Steps, 1),
                    Piece::Chunk(len) => (Form::Chunk, len),
                };
                let piece = &tokens[start..start + len];
                match form {
                    Form::Steps => self.forward(piece, &mut Past::Steps(&mut [&mut *state]), work),
                    Form::Chunk => self.forward(piece, &mut Past::Chunks(&mut [Chunk { state, len }]), work),
                }
                after(form, start, len, work);
                start += len;
            }
        };
        match self.next_piece(tokens.len()) {
            Piece::Step => all(),
            // one entry to the thread pool for all kernels
            Piece::Chunk(_) => rayon::scope(|_| all()),
        }
    }

    /// Where a prompt of `len` tokens is cut into pieces, from first to last. Two prompts that begin alike are read alike up to
    /// a cut that both have, so that the state there is the same to the bit.
    pub fn cuts(&self, len: usize) -> impl DoubleEndedIterator<Item = usize> {
        let piece = self.ubatch_size;
        let count = if piece < MIN_UBATCH { 0 } else { len.saturating_sub(MIN_UBATCH) / piece };
        (1..=count).map(move |cut| cut * piece)
    }

    /// How a text goes on of which `left` tokens were not read yet, at least one: by this number alone, so that its
    /// numbers are the same wherever it is read.
    pub(crate) fn next_piece(&self, left: usize) -> Piece {
        if left.min(self.ubatch_size) < MIN_UBATCH {
            Piece::Step
        } else if left < self.ubatch_size.saturating_add(MIN_UBATCH) {
            // a rest too short for a chunk of its own goes with the one before it
            Piece::Chunk(left)
        } else {
            Piece::Chunk(self.ubatch_size)
        }
    }

    /// Whether `tokens` can follow what the state has seen.
    pub(crate) fn check(&self, state: &State, tokens: &[TokenId]) -> Result<()> {
        if tokens.is_empty() {
            return Err(RuntimeError::EmptyPrompt);
        }
        self.check_tokens(tokens)?;
        self.check_state(state, tokens.len())
    }

    /// Whether `state` is of this model, and has room for `tokens` more.
    pub(crate) fn check_state(&self, state: &State, tokens: usize) -> Result<()> {
        state.check(&self.shape, tokens)
    }

    pub(crate) fn check_tokens(&self, tokens: &[TokenId]) -> Result<()> {
        let vocab_size = self.config().vocab_size;
        match tokens.iter().find(|token| token.index() >= vocab_size) {
            Some(&token) => Err(RuntimeError::Token { token, vocab_size }),
            None => Ok(()),
        }
    }

    /// Most tokens of one text that go through the layers together.
    pub fn ubatch_size(&self) -> usize {
        self.ubatch_size
    }

    pub(crate) fn network(&self) -> &Network<'_> {
        self.opened.borrow_dependent()
    }

    pub(crate) fn forward(&self, tokens: &[TokenId], past: &mut Past<'_, '_>, work: &mut Workspace) {
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
