//! Who makes the choices of a story, and what they cost.
//!
//! ```text
//! grammar ──choose(n)──► Author ──i──► grammar ──write(text)──► Author
//!                          Writer: i from the counter generator, text appended
//!                          Reader: i tried in turn, text compared   (reader.rs)
//! ```
//!
//! Every choice is uniform, so the probability of a derivation is the product of its `1/n` and its cost the sum
//! of `ln n`, added in the order of the text.

use crate::splitmix::{GOLDEN_GAMMA, finalise};

/// Makes the choices of one telling and receives its text, left to right.
pub(super) trait Author {
    /// One of `n` equally likely options; adds `ln n` nats to the cost of the story.
    ///
    /// `fits(i, rest)` says whether option `i` could go on as `rest`. It may say yes too often, never no too often;
    /// only a reader asks.
    fn choose(&mut self, n: usize, fits: impl Fn(usize, &str) -> bool) -> usize;

    /// The next words of the story.
    fn write(&mut self, text: &str);
}

/// Nats of one choice among `n`.
pub(super) fn cost_nats(n: usize) -> f64 {
    (n as f64).ln()
}

/// Writes a story with the random words of a counter: word `k` of story `index` depends on nothing else.
pub(super) struct Writer {
    pub text: String,
    pub nats: f64,
    counter: u64,
}

impl Writer {
    pub fn new(seed: u64, index: u64) -> Self {
        let stream = finalise(finalise(seed.wrapping_add(GOLDEN_GAMMA)) ^ index);
        Self { text: String::with_capacity(1024), nats: 0.0, counter: finalise(stream.wrapping_add(GOLDEN_GAMMA)) }
    }

    fn next_word(&mut self) -> u64 {
        self.counter = self.counter.wrapping_add(GOLDEN_GAMMA);
        finalise(self.counter)
    }

    /// Uniform in `0..n`, exactly: Lemire's multiply-shift with rejection (arXiv 1805.10941).
    fn below(&mut self, n: u64) -> u64 {
        let mut wide = u128::from(self.next_word()) * u128::from(n);
        if (wide as u64) < n {
            let unfair = n.wrapping_neg() % n;
            while (wide as u64) < unfair {
                wide = u128::from(self.next_word()) * u128::from(n);
            }
        }
        (wide >> 64) as u64
    }
}

impl Author for Writer {
    fn choose(&mut self, n: usize, _fits: impl Fn(usize, &str) -> bool) -> usize {
        self.nats += cost_nats(n);
        self.below(n as u64) as usize
    }

    fn write(&mut self, text: &str) {
        self.text.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_is_equally_likely() {
        let mut writer = Writer::new(7, 0);
        for n in [1u64, 2, 3, 7, 200] {
            let draws = 4000 * n;
            let mut seen = vec![0u64; n as usize];
            for _ in 0..draws {
                seen[writer.below(n) as usize] += 1;
            }
            // 4000 expected in each, standard deviation below 64: six of them.
            assert!(seen.iter().all(|&count| count.abs_diff(4000) < 6 * 64), "n = {n}: {seen:?}");
        }
    }

    #[test]
    fn seeds_and_indices_do_not_share_words() {
        let mut words: Vec<u64> = (0..40).flat_map(|s| (0..40).map(move |i| Writer::new(s, i).next_word())).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), 40 * 40);
    }
}
