//! sequence index → window of the token stream → [`TokenBatch`]
//!
//! ```text
//! stream   eos t t t t t eos t t t t eos t t t …
//!          ╰─offset─╯├─ window 0 ─┤├─ window 1 ─┤ …      cut anew each epoch, visited in a new order
//! inputs             x0 x1 … x(l-1)
//! targets               x1 … x(l-1) xl                   the one place where labels are shifted
//! ```
//!
//! The order is a pure function of the seed and the index of the sequence, so a position in it is one integer and
//! resuming needs nothing else.

use std::ops::Range;

use crate::{permutation::Permutation, shard::Shard, splitmix::mix};

/// Sequences of equal length, `targets[i]` being the token that follows `inputs[i]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenBatch {
    /// Token ids, `[batch_size, seq_len]` row by row.
    pub inputs: Vec<i32>,
    /// Token ids, `[batch_size, seq_len]` row by row.
    pub targets: Vec<i32>,
    /// Where in its shard each target is, `[batch_size, seq_len]` row by row; empty if the tokens are from no shard.
    pub positions: Vec<usize>,
    /// Sequences (b).
    pub batch_size: usize,
    /// Tokens a sequence (l).
    pub seq_len: usize,
}

impl TokenBatch {
    /// The windows of a shard, each one token longer than a sequence.
    fn of_windows(shard: &Shard, windows: impl Iterator<Item = Range<usize>>, seq_len: usize) -> Self {
        let mut batch = Self { inputs: vec![], targets: vec![], positions: vec![], batch_size: 0, seq_len };
        for window in windows {
            debug_assert_eq!(window.len(), seq_len + 1);
            shard.copy_range(window.start..window.end - 1, &mut batch.inputs);
            shard.copy_range(window.start + 1..window.end, &mut batch.targets);
            batch.positions.extend(window.start + 1..window.end);
            batch.batch_size += 1;
        }
        batch
    }
}

/// The order in which training visits a token stream.
///
/// An epoch cuts the stream into windows from a random offset on and visits each once, in random order. So that every
/// epoch has the same number of windows whatever its offset, up to 2·seq_len tokens at the ends of the stream are
/// left out, other ones in each epoch.
#[derive(Clone, Copy, Debug)]
pub struct Sampler {
    seq_len: usize,
    seed: u64,
    windows_per_epoch: u64,
    /// Offsets to choose from.
    offsets: u64,
}

impl Sampler {
    /// The order for a stream of `n_tokens`.
    ///
    /// # Panics
    ///
    /// If the stream has not one sequence of `seq_len ≥ 1` tokens and the token after it. [`prepare`](crate::prepare)
    /// refuses such data.
    pub fn new(n_tokens: usize, seq_len: usize, seed: u64) -> Self {
        assert!(seq_len > 0 && n_tokens > seq_len, "{n_tokens} tokens hold no sequence of {seq_len}");
        let whole = (n_tokens - 1) / seq_len;
        let windows = whole.saturating_sub(1).max(1);
        let offsets = (n_tokens - windows * seq_len).min(seq_len);
        Self { seq_len, seed, windows_per_epoch: windows as u64, offsets: offsets as u64 }
    }

    /// Sequences after which every window has been visited once more.
    pub fn windows_per_epoch(&self) -> u64 {
        self.windows_per_epoch
    }

    /// The tokens of sequence `sequence`, counted from the start of the run: `seq_len` inputs and the token after.
    pub fn window(&self, sequence: u64) -> Range<usize> {
        let (epoch, index) = (sequence / self.windows_per_epoch, sequence % self.windows_per_epoch);
        let key = mix(self.seed, epoch);
        let offset = mix(key, 0) % self.offsets;
        let window = Permutation::new(self.windows_per_epoch, mix(key, 1)).apply(index);
        let start = offset as usize + window as usize * self.seq_len;
        start..start + self.seq_len + 1
    }

    /// Micro-batch `micro_batch` of the run: sequences `micro_batch·batch_size ..` of `shard`.
    ///
    /// # Shapes
    ///
    /// inputs, targets: [batch_size, seq_len]
    pub fn batch(&self, shard: &Shard, micro_batch: u64, batch_size: usize) -> TokenBatch {
        let first = micro_batch * batch_size as u64;
        let windows = (first..first + batch_size as u64).map(|sequence| self.window(sequence));
        TokenBatch::of_windows(shard, windows, self.seq_len)
    }
}

/// The fixed batches of a validation: consecutive windows from the start of the shard on, up to `max_tokens` of them
/// rounded down to whole sequences, but at least one; 0 takes every token of the shard.
///
/// The last batches may have fewer sequences and, where every token is taken, a shorter one.
pub fn validation_batches(
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
        let windows = (first..windows.min(first + batch_size)).map(|i| i * seq_len..(i + 1) * seq_len + 1);
        TokenBatch::of_windows(shard, windows, seq_len)
    });
    let rest = (tail > 0).then(|| windows * seq_len..shard.len());
    whole.chain(rest.map(move |window| TokenBatch::of_windows(shard, std::iter::once(window), tail)))
}
