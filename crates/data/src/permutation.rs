//! index → index, a pseudo-random bijection of `0..len` that stores nothing

use crate::splitmix::mix;

/// Feistel rounds; four suffice for a permutation that looks random (Luby and Rackoff 1988), more cost little.
const ROUNDS: u64 = 6;

/// A permutation of `0..len`, a pure function of its key.
///
/// A Feistel network permutes the next power of four; a value that falls outside `0..len` is sent through again until
/// it falls inside (cycle walking, Black and Rogaway 2002), fewer than four times on average.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Permutation {
    len: u64,
    half_bits: u32,
    key: u64,
}

impl Permutation {
    pub(crate) fn new(len: u64, key: u64) -> Self {
        let bits = u64::BITS - len.saturating_sub(1).leading_zeros();
        Self { len, half_bits: bits.div_ceil(2), key }
    }

    /// Where `index < len` goes.
    pub(crate) fn apply(&self, index: u64) -> u64 {
        debug_assert!(index < self.len);
        let mut value = index;
        loop {
            value = self.feistel(value);
            if value < self.len {
                return value;
            }
        }
    }

    fn feistel(&self, value: u64) -> u64 {
        let mask = (1 << self.half_bits) - 1;
        let (mut left, mut right) = (value >> self.half_bits, value & mask);
        for round in 0..ROUNDS {
            (left, right) = (right, left ^ (mix(self.key, (round << 32) | right) & mask));
        }
        (left << self.half_bits) | right
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const AWKWARD: [u64; 14] = [1, 2, 3, 4, 5, 7, 13, 15, 16, 17, 63, 64, 65, 1009];

    #[test]
    fn it_is_a_bijection() {
        for len in AWKWARD {
            for key in 0..20 {
                let permutation = Permutation::new(len, key);
                let images: HashSet<_> = (0..len).map(|i| permutation.apply(i)).collect();
                assert_eq!(images, (0..len).collect(), "len {len}, key {key}");
            }
        }
    }

    #[test]
    fn the_largest_domain_does_not_overflow() {
        let permutation = Permutation::new(u64::from(u32::MAX), 1);
        assert!((0..1000).all(|i| permutation.apply(i) < u64::from(u32::MAX)));
    }

    #[test]
    fn every_place_is_equally_likely() {
        let (len, keys) = (5, 5000);
        let mut counts = [[0u32; 5]; 5];
        for key in 0..keys {
            for i in 0..len {
                counts[i as usize][Permutation::new(len, key).apply(i) as usize] += 1;
            }
        }
        // 1000 expected, σ = 28.
        assert!(counts.iter().flatten().all(|&count| count.abs_diff(1000) < 150), "{counts:?}");
    }

    #[test]
    fn neighbours_are_torn_apart() {
        let permutation = Permutation::new(1009, 7);
        let kept = (1..1009).filter(|&i| permutation.apply(i) == permutation.apply(i - 1) + 1).count();
        assert!(kept < 10, "{kept} of 1008 neighbours stay neighbours");
    }
}
