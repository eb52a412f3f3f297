//! micro-batch index → sequences → windows of the token stream → [`TokenBatch`]
//!
//! The order is a pure function of the seed and the index of the sequence, so a position in it is one integer, resuming
//! needs nothing else, and any thread or process may take any micro-batch.

use std::ops::Range;

use itera_config::Windows;
use itera_tokenizer::TokenId;

use crate::{batch::TokenBatch, document_order::DocumentOrder, shard::Shard, stream_order::StreamOrder};

/// The order in which training visits a shard. An epoch visits each of its windows once.
#[derive(Debug)]
pub struct Sampler<'a> {
    shard: &'a Shard,
    seq_len: usize,
    order: Order,
}

#[derive(Debug)]
enum Order {
    Stream(StreamOrder),
    Documents(DocumentOrder),
}

impl<'a> Sampler<'a> {
    /// The order for a shard whose documents end with `eos`. [`Windows::Documents`] looks for their ends once.
    ///
    /// # Panics
    ///
    /// If the shard has not one sequence of `seq_len ≥ 1` tokens and the token after it. [`prepare`](crate::prepare)
    /// refuses such data.
    pub fn new(shard: &'a Shard, eos: TokenId, windows: Windows, seq_len: usize, seed: u64) -> Self {
        let n_tokens = shard.len();
        assert!(seq_len > 0 && n_tokens > seq_len, "{n_tokens} tokens hold no sequence of {seq_len}");
        let order = match windows {
            Windows::Stream => Order::Stream(StreamOrder::new(n_tokens, seq_len, seed)),
            Windows::Documents => Order::Documents(DocumentOrder::new(shard, eos, seq_len, seed)),
        };
        Self { shard, seq_len, order }
    }

    /// Sequences after which every window has been visited once more.
    pub fn windows_per_epoch(&self) -> u64 {
        match &self.order {
            Order::Stream(order) => order.windows_per_epoch(),
            Order::Documents(order) => order.windows_per_epoch(),
        }
    }

    /// The tokens of sequence `sequence`, counted from the start of the run, as ranges of the shard that are read one after
    /// the other: `seq_len` inputs and the token after.
    pub fn window(&self, sequence: u64) -> Vec<Range<usize>> {
        match &self.order {
            Order::Stream(order) => vec![order.window(sequence)],
            Order::Documents(order) => order.window(sequence),
        }
    }

    /// Micro-batch `micro_batch` of the run: sequences `micro_batch·batch_size ..`.
    ///
    /// # Shapes
    ///
    /// inputs, targets: [batch_size, seq_len]
    pub fn batch(&self, micro_batch: u64, batch_size: usize) -> TokenBatch {
        let first = micro_batch * batch_size as u64;
        let windows = (first..first + batch_size as u64).map(|sequence| self.window(sequence));
        TokenBatch::of_windows(self.shard, windows, self.seq_len)
    }
}
