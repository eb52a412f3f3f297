//! blocks of q4_0 ⇄ words of eight codes, and scales apart: the same numbers in the layout of compressed-tensors.
//!
//! ```text
//! block   scale f16, 16 bytes: element i in the low nibble of byte i, element i + 16 in the high one
//! words   16 bytes: element 2·i in the low nibble of byte i, element 2·i + 1 in the high one     scales   one f16 apart
//! ```
//!
//! Codes are 0..=15 in both and stand for −8..=7. What compressed-tensors calls words of 32 bits, the lowest first, are
//! these bytes.

use itera_kernels::quant::Kind;

/// Elements that share a scale.
pub(super) const GROUP: usize = Kind::Q4_0.block_len();

/// Bytes of the codes of a group.
const CODES: usize = GROUP / 2;

/// Bytes of a scale.
const SCALE: usize = Kind::F16.block_bytes();

/// The words and the scales of whole blocks.
pub(super) fn words_and_scales(blocks: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (mut words, mut scales) = (Vec::new(), Vec::new());
    for block in blocks.chunks_exact(Kind::Q4_0.block_bytes()) {
        let (scale, codes) = block.split_at(SCALE);
        scales.extend(scale);
        let code = |element: usize| codes[element % CODES] >> (element / CODES * 4) & 15;
        words.extend((0..CODES).map(|byte| code(2 * byte) | code(2 * byte + 1) << 4));
    }
    (words, scales)
}

/// Undo [`words_and_scales`].
pub(super) fn blocks(words: &[u8], scales: &[u8]) -> Vec<u8> {
    let mut blocks = Vec::new();
    for (codes, scale) in words.chunks_exact(CODES).zip(scales.chunks_exact(SCALE)) {
        let code = |element: usize| codes[element / 2] >> (element % 2 * 4) & 15;
        blocks.extend(scale);
        blocks.extend((0..CODES).map(|byte| code(byte) | code(byte + CODES) << 4));
    }
    blocks
}
