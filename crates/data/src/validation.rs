//! held-out shard → the fixed batches of a validation

use std::{
    cmp::Reverse,
    iter::{from_fn, once, repeat_n},
    ops::Range,
};

use itera_tokenizer::TokenId;

use crate::{batch::TokenBatch, shard::Shard};

/// Consecutive windows from the start of the shard on, up to `max_tokens` of them rounded down to whole sequences, but at
/// least one; 0 takes every token of the shard.
///
/// The last batches may have fewer sequences and, where every token is taken, a shorter one.
pub fn stream_batches(
    shard: &Shard,
    max_tokens: usize,
    batch_size: usize,
    seq_len: usize,
) -> impl Iterator<Item = TokenBatch> + '_ {
    let scored = shard.len().saturating_sub(1);
    let windows = match max_tokens {
        0 => scored / seq_len,
        _ => (max_tokens / seq_len).max(1).min(scored / seq_len),
    };
    let tail = if max_tokens == 0 { scored % seq_len } else { 0 };
    let whole = (0..windows).step_by(batch_size.max(1)).map(move |first| {
        let windows = (first..windows.min(first + batch_size)).map(|i| once(i * seq_len..(i + 1) * seq_len + 1));
        TokenBatch::of_windows(shard, windows, seq_len)
    });
    let rest = (tail > 0).then(|| windows * seq_len..shard.len());
    whole.chain(rest.map(move |window| TokenBatch::of_windows(shard, once(once(window)), tail)))
}

/// Documents from the start of the shard on, each a sequence of its own that begins behind eos, as `itera eval` scores them.
/// One that is longer than `seq_len` tokens is several: windows of `seq_len` tokens, each half a window behind the one
/// before, in which those predictions count that no earlier one made. Sequences are taken as long as no more than
/// `max_tokens` predictions count, but at least one; 0 takes all.
///
/// Sequences of about a length share a batch, the longest ones the first. What is behind the end of a shorter one is eos, and
/// [unscored](TokenBatch::UNSCORED): a causal model does not see it before.
pub fn document_batches(
    shard: &Shard,
    eos: TokenId,
    max_tokens: usize,
    batch_size: usize,
    seq_len: usize,
) -> impl Iterator<Item = TokenBatch> + '_ {
    let mut left = if max_tokens == 0 { usize::MAX } else { max_tokens };
    let mut sequences: Vec<Sequence> = vec![];
    for sequence in shard.documents(eos).flat_map(|document| Sequence::of_document(document, seq_len)) {
        match left.checked_sub(sequence.n_scored()) {
            Some(rest) => left = rest,
            None if sequences.is_empty() => left = 0,
            None => break,
        }
        sequences.push(sequence);
    }
    sequences.sort_by_key(|sequence| Reverse(sequence.targets.len()));
    let mut sequences = sequences.into_iter().peekable();
    from_fn(move || {
        let seq_len = sequences.peek()?.targets.len();
        let mut batch = TokenBatch::empty(seq_len);
        for sequence in sequences.by_ref().take(batch_size.max(1)) {
            sequence.append_to(&mut batch, shard, eos);
        }
        Some(batch)
    })
}

/// Consecutive tokens that are predicted, each from the one before it on.
struct Sequence {
    targets: Range<usize>,
    /// How many of the first predictions do not count.
    unscored: usize,
}

impl Sequence {
    fn of_document(document: Range<usize>, seq_len: usize) -> impl Iterator<Item = Self> {
        let stride = (seq_len / 2).max(1);
        let windows = 1 + document.len().saturating_sub(seq_len).div_ceil(stride);
        (0..windows).map(move |window| {
            let start = document.start + window * stride;
            // those before its last ones were made by the window before, which ended there
            let unscored = if window == 0 { 0 } else { seq_len - stride };
            Self { targets: start..document.end.min(start + seq_len), unscored }
        })
    }

    fn n_scored(&self) -> usize {
        self.targets.len() - self.unscored
    }

    fn append_to(&self, batch: &mut TokenBatch, shard: &Shard, eos: TokenId) {
        let Range { start, end } = self.targets;
        shard.copy_range(start - 1..end - 1, &mut batch.inputs);
        batch.targets.extend(repeat_n(TokenBatch::UNSCORED, self.unscored));
        shard.copy_range(start + self.unscored..end, &mut batch.targets);
        batch.positions.extend(start..end);
        batch.batch_size += 1;
        let len = batch.batch_size * batch.seq_len;
        batch.inputs.resize(len, eos.0.cast_signed());
        batch.targets.resize(len, TokenBatch::UNSCORED);
        batch.positions.resize(len, end - 1);
    }
}
