//! (seed, purpose, index) → an independent random stream
//!
//! ChaCha is counter-based: a stream is a function of its key alone, so nothing about randomness has to be saved.

use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

/// What a random stream is for. Streams of different purposes never overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Initial weights; the index is the tensor's.
    Init = 1,
    /// Dropout masks; the index is the micro-batch's.
    Dropout = 2,
    // 3 is the runtime's, which chooses tokens
}

/// The stream of `purpose` number `index` under `seed`.
pub fn stream(seed: u64, purpose: Purpose, index: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8] = purpose as u8;
    let mut rng = ChaCha8Rng::from_seed(key);
    rng.set_stream(index);
    rng
}
