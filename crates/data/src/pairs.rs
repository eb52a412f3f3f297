//! pair index → the two parts of a document → rows of a [`TokenBatch`]
//!
//! ```text
//! document      x1 x2 … xc | x(c+1) … xn eos
//! row 2i        eos x1 … xc
//! row 2i + 1    eos x(c+1) … xn
//! ```

use std::{iter::repeat_n, ops::Range};

use itera_tokenizer::TokenId;

use crate::{batch::TokenBatch, permutation::Permutation, shard::Shard, splitmix::mix};

/// What belongs together: the beginning of a document and the rest of it. An epoch visits each document once.
#[derive(Debug)]
pub struct Pairs<'a> {
    shard: &'a Shard,
    eos: TokenId,
    seq_len: usize,
    /// Where documents are cut, and in which order they come; `None` in the middle, and in their own.
    seed: Option<u64>,
    /// Documents of two tokens or more, without their eos.
    documents: Vec<Range<usize>>,
}

impl<'a> Pairs<'a> {
    /// Pairs of a shard whose documents end with `eos`, in the order of `seed`, each cut anywhere in the middle half; without
    /// one in their own order, cut in the middle. Of a part no more than `seq_len − 1` tokens count.
    pub fn new(shard: &'a Shard, eos: TokenId, seq_len: usize, seed: Option<u64>) -> Self {
        let documents = shard.documents(eos).map(|document| match shard.token(document.end - 1) == eos {
            true => document.start..document.end - 1,
            false => document,
        });
        let documents = documents.filter(|document| document.len() > 1).collect();
        Self { shard, eos, seq_len, seed, documents }
    }

    /// How many pairs there are.
    pub fn len(&self) -> usize {
        self.documents.len()
    }

    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }

    /// Micro-batch `micro_batch` of the run: pairs `micro_batch·batch_size/2 ..`, two rows each. What is behind the end of a
    /// part is eos, and [unscored](TokenBatch::UNSCORED).
    ///
    /// # Shapes
    ///
    /// inputs, targets: [batch_size, seq_len]
    ///
    /// # Panics
    ///
    /// If there is no pair.
    pub fn batch(&self, micro_batch: u64, batch_size: usize) -> TokenBatch {
        let pairs = batch_size as u64 / 2;
        let mut batch = TokenBatch::empty(self.seq_len);
        for pair in micro_batch * pairs..(micro_batch + 1) * pairs {
            for part in self.parts(pair) {
                self.append(part, &mut batch);
            }
        }
        batch
    }

    /// Batches of the first pairs, which have up to `max_tokens` tokens with what fills them, but at least one batch; 0 takes
    /// all whole batches.
    pub fn batches(&self, max_tokens: usize, batch_size: usize) -> impl Iterator<Item = TokenBatch> + '_ {
        let all = self.len() / (batch_size / 2);
        let wanted = if max_tokens == 0 { all } else { max_tokens / (batch_size * self.seq_len) };
        (0..wanted.clamp(1, all.max(1)) as u64).map(move |batch| self.batch(batch, batch_size))
    }

    fn parts(&self, pair: u64) -> [Range<usize>; 2] {
        let len = self.len() as u64;
        let Some(seed) = self.seed else {
            let Range { start, end } = self.documents[(pair % len) as usize];
            let middle = start.midpoint(end);
            return [start..middle, middle..end];
        };
        let key = mix(seed, pair / len);
        let number = Permutation::new(len, key).apply(pair % len);
        let Range { start, end } = self.documents[number as usize];
        // at least one token on either side
        let quarter = ((end - start) / 4).max(1);
        let cut = start + quarter + mix(key, number) as usize % (end - start - 2 * quarter + 1);
        [start..cut, cut..end]
    }

    fn append(&self, part: Range<usize>, batch: &mut TokenBatch) {
        let tokens = part.len().min(self.seq_len - 1);
        let part = part.start..part.start + tokens;
        let eos = self.eos.0.cast_signed();
        batch.inputs.push(eos);
        self.shard.copy_range(part.clone(), &mut batch.inputs);
        self.shard.copy_range(part, &mut batch.targets);
        batch.inputs.extend(repeat_n(eos, self.seq_len - 1 - tokens));
        batch.targets.extend(repeat_n(TokenBatch::UNSCORED, self.seq_len - tokens));
        batch.batch_size += 1;
    }
}
