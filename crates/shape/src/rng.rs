//! (seed, purpose, index) → an independent random stream
//!
//! ChaCha is counter-based: a stream is a function of its key alone, so nothing about randomness has to be saved. This is
//! the only place that says what is random; the order of training data, which needs a permutation and no stream, mixes
//! the seed itself.

pub use rand_chacha::ChaCha8Rng as Stream;
use rand_chacha::rand_core::SeedableRng;

/// The use of a random stream. Streams of different purposes never overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Initial weights; the index is the tensor's.
    Init = 1,
    /// Dropout masks; the index is the micro-batch's.
    Dropout = 2,
    /// Choices of tokens; the index is that of the text.
    Sampling = 3,
    /// Tokens that stand for inputs; the index is the micro-batch's.
    ReplacedInputs = 4,
}

/// The stream of `purpose` number `index` under `seed`.
pub fn stream(seed: u64, purpose: Purpose, index: u64) -> Stream {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8] = purpose as u8;
    let mut rng = Stream::from_seed(key);
    rng.set_stream(index);
    rng
}
