//! windows of a token stream → [`TokenBatch`]: the one place where labels are shifted
//!
//! ```text
//! window    x0 x1 x2 … xl
//! inputs    x0 x1 … x(l-1)
//! targets      x1 … x(l-1) xl
//! ```

use std::ops::Range;

use crate::shard::Shard;

/// Ranges of a token stream that are read one after the other: `seq_len` inputs and the token after the last.
pub(crate) type Window = Vec<Range<usize>>;

/// Sequences of equal length, `targets[i]` being the token that follows `inputs[i]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenBatch {
    /// Token ids, `[batch_size, seq_len]` row by row.
    pub inputs: Vec<i32>,
    /// Token ids, `[batch_size, seq_len]` row by row; [`TokenBatch::UNSCORED`] where a prediction does not count, which
    /// happens in validation alone.
    pub targets: Vec<i32>,
    /// Where in its shard each target is, `[batch_size, seq_len]` row by row; empty if the tokens are from no shard.
    pub positions: Vec<usize>,
    /// Sequences (b).
    pub batch_size: usize,
    /// Tokens a sequence (l).
    pub seq_len: usize,
}

impl TokenBatch {
    /// The target of a prediction that does not count.
    pub const UNSCORED: i32 = -1;

    /// The tokens of each sequence as its text has them, `seq_len + 1` of them: the first input, which is never replaced, and
    /// the targets.
    pub fn texts(&self) -> impl Iterator<Item = impl Iterator<Item = i32> + '_> + '_ {
        let sequences = self.inputs.chunks_exact(self.seq_len).zip(self.targets.chunks_exact(self.seq_len));
        sequences.map(|(inputs, targets)| inputs[..1].iter().chain(targets).copied())
    }

    /// A batch of no sequences, of `seq_len` tokens each.
    pub(crate) fn empty(seq_len: usize) -> Self {
        Self { inputs: vec![], targets: vec![], positions: vec![], batch_size: 0, seq_len }
    }

    /// The windows of a shard, ranges that are read one after the other.
    pub(crate) fn of_windows<W>(shard: &Shard, windows: impl Iterator<Item = W>, seq_len: usize) -> Self
    where
        W: IntoIterator<Item = Range<usize>>,
    {
        let mut batch = Self::empty(seq_len);
        let (mut tokens, mut positions) = (Vec::with_capacity(seq_len + 1), Vec::with_capacity(seq_len + 1));
        for window in windows {
            tokens.clear();
            positions.clear();
            for range in window {
                shard.copy_range(range.clone(), &mut tokens);
                positions.extend(range);
            }
            debug_assert_eq!(tokens.len(), seq_len + 1);
            batch.inputs.extend(&tokens[..seq_len]);
            batch.targets.extend(&tokens[1..]);
            batch.positions.extend(&positions[1..]);
            batch.batch_size += 1;
        }
        batch
    }
}
