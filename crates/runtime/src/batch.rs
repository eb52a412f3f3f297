//! The loop under all that writes: choose, step, stop, for one text or for many.
//!
//! ```text
//!        ┌ a token each ──▶ as many equal parts as threads, rows of a pass each ┐
//! texts ─┤                                                                      ├▶ logits ─▶ tokens
//!        └ prompts ───────▶ pieces, a ubatch of rows in all, one pass ──────────┘
//! ```
//!
//! A pass reads the weights once for all its texts. The bits of a text's numbers are those of [`Model::prefill`] and
//! [`Model::step`] on it alone, whatever else is in the batch: a piece of a prompt is cut by what is left of that prompt.

use itera_tokenizer::TokenId;
use rayon::prelude::*;

use crate::{
    linear::Form,
    model::{Model, Piece},
    past::{Chunk, Past},
    state::State,
    text::{Completion, Text},
    workspace::{Buffers, Workspace},
};

/// Texts of one model that are written together. Who owns the texts may add and drop some between any two steps.
#[derive(Debug)]
pub struct Batch<'m> {
    model: &'m Model,
    buffers: Buffers,
}

impl<'m> Batch<'m> {
    /// A batch that has no memory yet.
    pub fn new(model: &'m Model) -> Self {
        Self { model, buffers: Buffers::default() }
    }

    /// One step on, over all threads: a token for each text whose prompt was read. Prompts are read a piece at a step, in
    /// the order of `texts`; together they are no longer than a ubatch, or than one piece, so that a long prompt does not
    /// hold up the others. Texts that have ended stay as they are. Returns whether there was any other.
    ///
    /// # Panics
    /// If a text is of another model.
    pub fn step<'t>(&mut self, texts: impl IntoIterator<Item = &'t mut Text<'m>>) -> bool
    where
        'm: 't,
    {
        step(self.model, texts, &mut self.buffers)
    }

    /// Write all of `texts` to their ends. With neither a limit nor an end of the context, that may be never.
    ///
    /// # Panics
    /// As [`Batch::step`].
    pub fn complete(&mut self, mut texts: Vec<Text<'m>>) -> Vec<Completion> {
        while self.step(&mut texts) {}
        texts.into_iter().map(Text::into_completion).collect()
    }

    /// Bytes of the heap that the buffers of a batch of up to `texts` texts hold at most, in a pool of as many threads as this
    /// is called in; the texts' own states are not among them.
    pub fn most_bytes(model: &Model, texts: usize) -> usize {
        let (parts, part_len) = parts(texts);
        let logits = part_len.saturating_mul(model.config().vocab_size * size_of::<f32>());
        let of_part = Workspace::most_bytes(model.config(), Form::Steps, part_len, None).saturating_add(logits);
        parts
            .saturating_mul(of_part.saturating_add(size_of::<Workspace>()))
            .saturating_add(model.most_bytes_to_read(texts))
    }

    /// Bytes of the heap that the buffers hold; the texts' own states are not among them.
    pub fn size_bytes(&self) -> usize {
        self.buffers.size_bytes()
    }
}

impl Iterator for Text<'_> {
    type Item = TokenId;

    /// The next token: a batch of this text alone. After it, [`Text::piece`] has the characters that it completes.
    fn next(&mut self) -> Option<TokenId> {
        let chosen = self.ids().len();
        let mut buffers = self.buffers.take().unwrap_or_default();
        let model = self.model();
        while self.ids().len() == chosen && step(model, [&mut *self], &mut buffers) {}
        self.buffers = Some(buffers);
        self.ids().get(chosen).copied()
    }
}

fn step<'t, 'm: 't>(model: &'m Model, texts: impl IntoIterator<Item = &'t mut Text<'m>>, work: &mut Buffers) -> bool {
    let (mut steps, mut chunks, mut rows) = (vec![], vec![], 0);
    for text in texts {
        assert!(std::ptr::eq(text.model(), model), "a text of the model of its batch");
        match text.next_piece() {
            Some(Piece::Step) => steps.push(text),
            Some(Piece::Chunk(len)) if rows == 0 || len <= model.ubatch_size().saturating_sub(rows) => {
                rows += len;
                chunks.push((text, len));
            }
            Some(Piece::Chunk(_)) | None => {}
        }
    }
    let (parts, part_len) = parts(steps.len());
    let new = || Workspace::new(model.config(), model.activations(), 0);
    let Buffers { steps: step_work, chunks: chunk_work } = work;
    if step_work.len() < parts {
        step_work.reserve_exact(parts - step_work.len());
        step_work.resize_with(parts, new);
    }
    let mut step_parts = || {
        let parts = steps.par_chunks_mut(part_len).zip(&mut *step_work);
        parts.for_each(|(texts, work)| step_part(model, texts, work));
    };
    if !chunks.is_empty() {
        rayon::join(|| read(model, &mut chunks, chunk_work.get_or_insert_with(new)), step_parts);
    } else if parts > 1 {
        step_parts();
    } else if !steps.is_empty() {
        step_part(model, &mut steps, &mut step_work[0]);
    }
    !(steps.is_empty() && chunks.is_empty())
}

/// Into how many parts, at least one, and of how many texts, steps of so many are cut.
fn parts(texts: usize) -> (usize, usize) {
    let parts = rayon::current_num_threads().clamp(1, texts.max(1));
    (parts, texts.div_ceil(parts).max(1))
}

/// A token more of each of `texts`, which were not read to the end.
fn step_part(model: &Model, texts: &mut [&mut Text<'_>], work: &mut Workspace) {
    // others, whose prompts go on, have no use for logits
    let wants_logits = |text: &Text<'_>| text.unread().len() == 1 || text.wants_all_logits();
    texts.sort_by_key(|text| !wants_logits(text));
    let wanting = texts.iter().filter(|text| wants_logits(text)).count();
    if let [text] = texts {
        model.forward(&[text.unread()[0]], &mut Past::Steps(&mut [text.state_mut()]), work);
    } else {
        let tokens: Vec<TokenId> = texts.iter().map(|text| text.unread()[0]).collect();
        let mut states: Vec<&mut State> = texts.iter_mut().map(|text| text.state_mut()).collect();
        model.forward(&tokens, &mut Past::Steps(&mut states), work);
    }
    texts.iter_mut().for_each(|text| text.has_read(1));
    if wanting > 0 {
        let logits = model.logits(Form::Steps, 0, wanting, work).chunks_exact_mut(model.config().vocab_size);
        texts.iter_mut().zip(logits).for_each(|(text, logits)| match text.unread().is_empty() {
            true => text.choose(logits),
            false => text.note(text.seen(), logits),
        });
    }
}

/// A piece of the prompt of each text.
fn read(model: &Model, chunks: &mut [(&mut Text<'_>, usize)], work: &mut Workspace) {
    let tokens: Vec<TokenId> = chunks.iter().flat_map(|(text, len)| &text.unread()[..*len]).copied().collect();
    let mut past: Vec<Chunk<'_>> =
        chunks.iter_mut().map(|(text, len)| Chunk { state: text.state_mut(), len: *len }).collect();
    model.forward(&tokens, &mut Past::Chunks(&mut past), work);
    let mut end = 0;
    for (text, len) in chunks {
        if text.wants_all_logits() {
            // what follows the last token is chosen, where no other token follows it in the prompt
            let noted = (*len).min(text.unread().len() - 1);
            model.logits_at_once(noted, |first, count| {
                let logits = model.logits(Form::Chunk, end + first, count, work);
                for (row, logits) in logits.chunks_exact(model.config().vocab_size).enumerate() {
                    text.note(text.seen() + first + row + 1, logits);
                }
            });
        }
        end += *len;
        text.has_read(*len);
        if text.unread().is_empty() {
            text.choose(model.logits(Form::Steps, end - 1, 1, work));
        }
    }
}
