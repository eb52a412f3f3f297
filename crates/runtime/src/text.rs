//! A text that a model writes, token by token.
//!
//! ```text
//! prompt ids ─ read ─▶ state ─▶ logits ─ sampler ─▶ id ─┬▶ whole characters ─▶ up to the first stop string ─▶ text
//!                        ▲                              │
//!                        └───────────── read ───────────┴▶ eos, stop string, most tokens, end of the context: done
//! ```
//!
//! All that can go wrong with a text goes wrong when it is made. What it says is a function of the model, the prompt and
//! the sampler alone: not of the texts beside it in a [`Batch`](crate::Batch), nor of the number of threads.

use itera_tokenizer::{TextStream, TokenId, Tokenizer};
use serde::{Serialize, Serializer, ser::SerializeStruct};

use crate::{
    error::{Result, RuntimeError},
    logprobs::{Logprobs, TokenLogprob},
    model::{Model, Piece},
    sampling::Sampler,
    state::State,
    stop::StopText,
    workspace::Buffers,
};

/// A text under way: an iterator of the tokens that a model continues it by, or one of the texts of a
/// [`Batch`](crate::Batch). To cancel it, drop it.
///
/// Unless it is told otherwise, it takes the most likely token again and again, to the end of the model's context; without
/// attention there is no such end.
///
/// # Examples
///
/// ```
/// use itera_runtime::{Model, Sampler, SamplingConfig, Text};
/// use itera_tokenizer::Tokenizer;
/// # use itera_shape::{ModelConfig, NamedTensor, TensorRef, TensorSpec};
/// # let config = ModelConfig { vocab_size: 258, d_model: 32, n_layers: 1, attention_layers: vec![0], ..ModelConfig::default() };
/// # let zeros = |spec: TensorSpec| NamedTensor { data: vec![0.0; spec.n_params()], name: spec.name, shape: spec.shape };
/// # let tensors: Vec<NamedTensor> = config.tensors().into_iter().map(zeros).collect();
/// # let tensors: Vec<TensorRef> = tensors.iter().map(NamedTensor::as_ref).collect();
/// # let tokenizer = Tokenizer::byte();
/// # let model = Model::from_tensors(&config, tokenizer.special_ids(), &tensors)?;
///
/// // a model and its tokenizer: `Model::open(path)?` and `model.tokenizer()?`
/// let sampling = SamplingConfig { temperature: 0.8, seed: 7, ..SamplingConfig::default() };
/// let mut text = Text::new(&model, &tokenizer, "Once upon a time")?
///     .with_sampler(Sampler::new(&sampling, 0))
///     .with_stops(&["\n\n".to_owned()])
///     .with_max_tokens(40);
/// while let Some(_id) = text.next() {
///     print!("{}", text.piece());
/// }
/// let completion = text.into_completion();
/// println!("\n{} tokens, {:?}", completion.usage.completion_tokens, completion.finish_reason);
/// # assert!(completion.usage.completion_tokens <= 40);
/// # Ok::<(), itera_runtime::RuntimeError>(())
/// ```
#[derive(Debug)]
pub struct Text<'m> {
    model: &'m Model,
    state: State,
    /// The prompt, and what was chosen after it.
    ids: Vec<TokenId>,
    prompt_len: usize,
    /// Of `ids`, those that the state has seen.
    seen: usize,
    sampler: Sampler,
    max_tokens: usize,
    /// Each of these ends the text.
    eos: Vec<TokenId>,
    stream: Option<TextStream<'m>>,
    stops: StopText,
    text: String,
    /// Of `text`, what [`Text::piece`] has given.
    told: usize,
    finish_reason: Option<FinishReason>,
    logprobs: Option<Logprobs>,
    /// Whether the logits after the prompt are kept.
    keeps_logits: bool,
    prompt_logits: Option<Vec<f32>>,
    /// For a text that goes on alone.
    pub(crate) buffers: Option<Box<Buffers>>,
}

/// Why a text ended.
///
/// As JSON it is two keys: `finish_reason` in the words of OpenAI (`stop`, `length`), and `stop_type`, one word for each of
/// the four: those of llama.cpp (`eos`, `word`, `limit`) and `context`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// The model ended it with eos.
    Eos,
    /// It reached a stop string.
    Stop,
    /// It has as many tokens as were asked for.
    Length,
    /// It fills the model's context.
    Context,
}

impl Serialize for FinishReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (finish_reason, stop_type) = match self {
            Self::Eos => ("stop", "eos"),
            Self::Stop => ("stop", "word"),
            Self::Length => ("length", "limit"),
            Self::Context => ("length", "context"),
        };
        let mut both = serializer.serialize_struct("FinishReason", 2)?;
        both.serialize_field("finish_reason", finish_reason)?;
        both.serialize_field("stop_type", stop_type)?;
        both.end()
    }
}

/// What a text was continued by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Completion {
    /// The text, without the stop string that ended it.
    pub text: String,
    /// The tokens chosen, one that ended the text included.
    pub ids: Vec<TokenId>,
    /// Why it ended; `None` (and no keys in JSON) if it is still under way.
    #[serde(flatten)]
    pub finish_reason: Option<FinishReason>,
    /// Tokens read and written.
    pub usage: Usage,
}

/// Tokens of a text, under OpenAI's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Tokens of the prompt, bos included.
    pub prompt_tokens: usize,
    /// Tokens chosen, eos included.
    pub completion_tokens: usize,
    /// Both.
    pub total_tokens: usize,
}

impl<'m> Text<'m> {
    /// `prompt` as the beginning of a document: after bos, and until the model ends it with eos, or with another token that
    /// its files list as such.
    ///
    /// # Errors
    /// If the prompt is longer than the model's context, or the tokenizer is another model's.
    pub fn new(model: &'m Model, tokenizer: &'m Tokenizer, prompt: &str) -> Result<Self> {
        let ids: Vec<TokenId> = [tokenizer.bos()].into_iter().chain(tokenizer.encode(prompt)).collect();
        Self::of_tokens(model, tokenizer, &ids)
    }

    /// As [`Text::new`], of a prompt that is tokens already, bos among them where it is to be.
    ///
    /// # Errors
    /// As [`Text::continuing`].
    pub fn of_tokens(model: &'m Model, tokenizer: &'m Tokenizer, prompt: &[TokenId]) -> Result<Self> {
        let text = Self::of_ids(model, prompt)?;
        let eos = model.ends(tokenizer);
        Ok(Self { eos, stream: Some(TextStream::new(tokenizer)), ..text })
    }

    /// A text of ids alone, which nothing but [`Text::with_eos`], [`Text::with_max_tokens`] and the context ends.
    ///
    /// # Errors
    /// As [`Text::continuing`].
    pub fn of_ids(model: &'m Model, prompt: &[TokenId]) -> Result<Self> {
        Self::continuing(model, model.new_state(), prompt)
    }

    /// [`Text::of_ids`] that goes on where `state` is.
    ///
    /// # Errors
    /// If there is no token or one outside the vocabulary, they do not fit the model's context, or the state is another
    /// model's.
    pub fn continuing(model: &'m Model, state: State, prompt: &[TokenId]) -> Result<Self> {
        model.check(&state, prompt)?;
        Ok(Self {
            model,
            state,
            ids: prompt.to_vec(),
            prompt_len: prompt.len(),
            seen: 0,
            sampler: Sampler::likeliest(vec![]),
            max_tokens: usize::MAX,
            eos: vec![],
            stream: None,
            stops: StopText::default(),
            text: String::new(),
            told: 0,
            finish_reason: None,
            logprobs: None,
            keeps_logits: false,
            prompt_logits: None,
            buffers: None,
        })
    }

    /// The same, its tokens chosen by `sampler`.
    pub fn with_sampler(self, sampler: Sampler) -> Self {
        Self { sampler, ..self }
    }

    /// The same, of at most so many tokens after the prompt.
    pub fn with_max_tokens(self, max_tokens: usize) -> Self {
        let is_done = max_tokens == 0 && !self.wants_all_logits();
        let finish_reason = is_done.then_some(FinishReason::Length);
        Self { max_tokens, finish_reason, ..self }
    }

    /// The same, ended by `eos`.
    pub fn with_eos(self, eos: TokenId) -> Self {
        Self { eos: vec![eos], ..self }
    }

    /// The same, ended before the first of `stops`. A text of ids alone has no characters to find them in; empty ones
    /// stop nothing.
    pub fn with_stops(self, stops: &[String]) -> Self {
        Self { stops: StopText::new(stops), ..self }
    }

    /// The same, which keeps of each token how likely it was, and the `top` most likely ones in its place: of those that are
    /// chosen, and `of_prompt` of those of the prompt too, which is then read even where nothing is to follow it.
    pub fn with_logprobs(self, top: usize, of_prompt: bool) -> Self {
        let first = TokenLogprob { id: self.ids[0], logprob: None, top: vec![] };
        let (found, finish_reason) = if of_prompt { (vec![first], None) } else { (vec![], self.finish_reason) };
        Self { logprobs: Some(Logprobs { top, of_prompt, found }), finish_reason, ..self }
    }

    /// How likely the tokens were that came since the last call, in order; none unless they are kept.
    pub fn take_logprobs(&mut self) -> Vec<TokenLogprob> {
        self.logprobs.as_mut().map_or(vec![], |logprobs| std::mem::take(&mut logprobs.found))
    }

    /// The same, which keeps the logits after its prompt for [`Text::take_prompt_logits`].
    pub fn with_prompt_logits(self) -> Self {
        Self { keeps_logits: true, ..self }
    }

    /// The logits `[v]` after the prompt, once, when the first token was chosen by them; the state has then seen all of the prompt
    /// and nothing more.
    pub fn take_prompt_logits(&mut self) -> Option<Vec<f32>> {
        self.prompt_logits.take()
    }

    /// The same, not read from the first token but from where `state` is, which has seen the beginning of this prompt; with the
    /// `logits` after it where that is all of the prompt. At a cut of [`Model::cuts`], and behind the whole prompt, what follows
    /// is the same to the bit. To be asked for last of all: with logits it chooses the first token.
    ///
    /// # Errors
    /// If the state is another model's, or has seen more than the prompt, or all of it and there are no logits.
    pub fn going_on(mut self, state: State, logits: Option<Vec<f32>>) -> Result<Self> {
        let seen = state.position();
        let v = self.model.config().vocab_size;
        let is_whole = seen == self.prompt_len && logits.as_ref().is_some_and(|logits| logits.len() == v);
        if seen > self.prompt_len || (seen == self.prompt_len) != is_whole {
            return Err(RuntimeError::ForeignState);
        }
        self.model.check_state(&state, self.prompt_len - seen)?;
        (self.state, self.seen) = (state, seen);
        if let Some(mut logits) = logits.filter(|_| is_whole && self.finish_reason.is_none()) {
            self.choose(&mut logits);
        }
        Ok(self)
    }

    /// The tokens of the prompt.
    pub fn prompt(&self) -> &[TokenId] {
        &self.ids[..self.prompt_len]
    }

    /// Tokens, of the prompt and chosen, that the state has seen.
    pub fn seen(&self) -> usize {
        self.seen
    }

    /// The tokens chosen so far.
    pub fn ids(&self) -> &[TokenId] {
        &self.ids[self.prompt_len..]
    }

    /// The characters written so far, but for what may yet become a stop string or another character. Empty of a text
    /// of ids alone.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What of [`Text::text`] was not given yet.
    pub fn piece(&mut self) -> &str {
        let told = std::mem::replace(&mut self.told, self.text.len());
        &self.text[told..]
    }

    /// Why it ended, if it did.
    pub fn finish_reason(&self) -> Option<FinishReason> {
        self.finish_reason
    }

    /// What the text has left in the model: of the prompt as much as was read, then all but the last token chosen.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// [`Text::state`], to go on from.
    pub fn into_state(self) -> State {
        self.state
    }

    /// What it was continued by so far.
    pub fn into_completion(mut self) -> Completion {
        let ids = self.ids.split_off(self.prompt_len);
        let (prompt_tokens, completion_tokens) = (self.prompt_len, ids.len());
        let usage = Usage { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens };
        Completion { text: self.text, ids, finish_reason: self.finish_reason, usage }
    }

    pub(crate) fn model(&self) -> &'m Model {
        self.model
    }

    pub(crate) fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }

    /// What the state has not seen yet, one token at least while the text is under way.
    pub(crate) fn unread(&self) -> &[TokenId] {
        &self.ids[self.seen..]
    }

    /// What is to be read next, of a text under way.
    pub(crate) fn next_piece(&self) -> Option<Piece> {
        self.finish_reason.is_none().then(|| self.model.next_piece(self.unread().len()))
    }

    /// The state has seen `count` tokens more.
    pub(crate) fn has_read(&mut self, count: usize) {
        self.seen += count;
    }

    /// Whether the logits after each token of its prompt are wanted, not only those after the last.
    pub(crate) fn wants_all_logits(&self) -> bool {
        self.logprobs.as_ref().is_some_and(|logprobs| logprobs.of_prompt)
    }

    /// Note how likely the token at `position` of the prompt was by the `logits` `[v]` before it.
    pub(crate) fn note(&mut self, position: usize, logits: &[f32]) {
        if let Some(logprobs) = &mut self.logprobs {
            logprobs.found.push(TokenLogprob::new(logits, self.ids[position], logprobs.top));
        }
    }

    /// Choose the token that follows all that was read.
    pub(crate) fn choose(&mut self, logits: &mut [f32]) {
        if self.max_tokens == 0 {
            self.finish_reason = Some(FinishReason::Length);
            return;
        }
        if self.keeps_logits && self.ids.len() == self.prompt_len {
            self.prompt_logits = Some(logits.to_vec());
        }
        let before = self.logprobs.as_ref().map(|_| logits.to_vec());
        let id = self.sampler.choose(logits, &self.ids);
        if let (Some(logprobs), Some(before)) = (&mut self.logprobs, before) {
            logprobs.found.push(TokenLogprob::new(&before, id, logprobs.top));
        }
        self.ids.push(id);
        self.finish_reason = self.reason_after(id);
        if self.finish_reason.is_some()
            && let Some(stream) = self.stream.take()
        {
            self.text.push_str(&self.stops.push(&stream.finish()));
            self.text.push_str(&self.stops.finish());
        }
    }

    fn reason_after(&mut self, id: TokenId) -> Option<FinishReason> {
        if self.eos.contains(&id) {
            return Some(FinishReason::Eos);
        }
        if let Some(stream) = &mut self.stream {
            self.text.push_str(&self.stops.push(&stream.push(id)));
        }
        if self.stops.is_stopped() {
            Some(FinishReason::Stop)
        } else if self.ids().len() >= self.max_tokens {
            Some(FinishReason::Length)
        } else if self.state.room() == Some(0) {
            Some(FinishReason::Context)
        } else {
            None
        }
    }
}
