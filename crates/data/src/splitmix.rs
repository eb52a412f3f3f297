//! SplitMix64 (Steele, Lea and Flood 2014): words without state.

/// Step of its Weyl sequence, 2⁶⁴ by the golden ratio.
pub(crate) const GOLDEN_GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// Its finaliser: a bijection of 64-bit words in which every bit of the input moves about half of the output.
pub(crate) fn finalise(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// A well-mixed word of two.
pub(crate) fn mix(key: u64, value: u64) -> u64 {
    finalise(finalise(key.wrapping_add(GOLDEN_GAMMA)).wrapping_add(GOLDEN_GAMMA) ^ value)
}
