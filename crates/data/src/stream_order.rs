//! sequence index → window of the token stream, which begins anywhere
//!
//! ```text
//! stream   eos t t t t t eos t t t t eos t t t …
//!          ╰─offset─╯├─ window 0 ─┤├─ window 1 ─┤ …      cut anew each epoch, visited in a new order
//! ```

use std::ops::Range;

use crate::{permutation::Permutation, splitmix::mix};

/// An epoch cuts the stream into windows from a random offset on and visits each once, in random order. So that every
/// epoch has the same number of windows whatever its offset, up to 2·seq_len tokens at the ends of the stream are
/// left out, other ones in each epoch.
#[derive(Debug)]
pub(crate) struct StreamOrder {
    seq_len: usize,
    seed: u64,
    windows_per_epoch: u64,
    /// Offsets to choose from.
    offsets: u64,
}

impl StreamOrder {
    /// The order for a stream of `n_tokens`, more than `seq_len`.
    pub(crate) fn new(n_tokens: usize, seq_len: usize, seed: u64) -> Self {
        let whole = (n_tokens - 1) / seq_len;
        let windows = whole.saturating_sub(1).max(1);
        let offsets = (n_tokens - windows * seq_len).min(seq_len);
        Self { seq_len, seed, windows_per_epoch: windows as u64, offsets: offsets as u64 }
    }

    pub(crate) fn windows_per_epoch(&self) -> u64 {
        self.windows_per_epoch
    }

    pub(crate) fn window(&self, sequence: u64) -> Range<usize> {
        let (epoch, index) = (sequence / self.windows_per_epoch, sequence % self.windows_per_epoch);
        let key = mix(self.seed, epoch);
        let offset = mix(key, 0) % self.offsets;
        let window = Permutation::new(self.windows_per_epoch, mix(key, 1)).apply(index);
        let start = offset as usize + window as usize * self.seq_len;
        start..start + self.seq_len + 1
    }
}
