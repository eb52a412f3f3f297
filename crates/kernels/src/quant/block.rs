//! What the kinds with blocks have in common: a block is groups of integer codes with a scale, sometimes a minimum.
//!
//! ```text
//! bytes of a block → codes [i8; LEN], scale(group), minimum → code·scale (+ minimum)
//! ```

use super::f16;

/// Elements of the largest block.
pub(crate) const MAX_LEN: usize = 64;

/// A kind of block. `block` is always [`Block::BYTES`] bytes.
pub(crate) trait Block {
    /// Elements.
    const LEN: usize;
    /// Bytes.
    const BYTES: usize;
    /// Elements under one scale that products take at a time, at most 32.
    const GROUP: usize = Self::LEN;
    /// Whether codes take a byte each, as they are.
    const ARE_BYTES: bool = false;
    /// Whether there is a minimum.
    const HAS_MINIMUM: bool = false;

    /// The first [`Block::LEN`] of the result: what each element is in units of the scale.
    fn codes(block: &[u8]) -> [i8; MAX_LEN];

    /// The scale of the `group`-th [`Block::GROUP`] elements: an f16 at the head of the block, unless a kind says otherwise.
    #[inline(always)]
    fn scale(block: &[u8], _group: usize) -> f32 {
        f16::read(block)
    }

    /// What is added to every element, where [`Block::HAS_MINIMUM`].
    fn minimum(_block: &[u8]) -> f32 {
        0.0
    }

    /// Round [`Block::LEN`] numbers.
    fn encode(x: &[f32], block: &mut [u8]);
}

/// A kind whose scale may be chosen freely.
pub(super) trait Scaled: Block {
    /// Elements that share a scale: a span, one [`Block::GROUP`] or more.
    const SPAN: usize = Self::GROUP;
    /// Where a search for a scale begins, as a share of what [`Block::encode`] takes.
    const FIRST: f32 = 1.0;

    /// The scale of the `span`-th [`Scaled::SPAN`] elements.
    fn span_scale(block: &[u8], span: usize) -> f32 {
        Self::scale(block, span * (Self::SPAN / Self::GROUP))
    }

    /// Round the numbers of one span to the codes nearest to them under the scale nearest to `scale`, which may be
    /// negative.
    fn encode_span(x: &[f32], span: usize, scale: f32, block: &mut [u8]);
}

/// [`dequantize`](super::dequantize) for one kind.
pub(super) fn decode<B: Block>(bytes: &[u8], out: &mut [f32]) {
    for (block, out) in bytes.chunks_exact(B::BYTES).zip(out.chunks_exact_mut(B::LEN)) {
        decode_block::<B>(block, out);
    }
}

/// The [`Block::LEN`] numbers of one block.
#[inline(always)]
pub(crate) fn decode_block<B: Block>(block: &[u8], out: &mut [f32]) {
    let codes = B::codes(block);
    let minimum = B::minimum(block);
    for (group, (out, codes)) in out.chunks_exact_mut(B::GROUP).zip(codes.chunks_exact(B::GROUP)).enumerate() {
        let scale = B::scale(block, group);
        for (out, &code) in out.iter_mut().zip(codes) {
            let product = f32::from(code) * scale;
            // adding a minimum of 0 would turn −0 into 0
            *out = if B::HAS_MINIMUM { product + minimum } else { product };
        }
    }
}

/// [`quantize`](super::quantize) for one kind.
pub(super) fn encode<B: Block>(x: &[f32], bytes: &mut [u8]) {
    for (x, block) in x.chunks_exact(B::LEN).zip(bytes.chunks_exact_mut(B::BYTES)) {
        B::encode(x, block);
    }
}

/// 1 / x, or 0 for 0: the inverse scale of a block of zeros.
pub(super) fn reciprocal_or_zero(x: f32) -> f32 {
    if x == 0.0 { 0.0 } else { 1.0 / x }
}

/// The element of largest magnitude with its sign: the first of several, 0 if there are only NaN.
pub(super) fn extreme(x: &[f32]) -> f32 {
    x.iter().fold(0.0, |extreme: f32, &x| if x.abs() > extreme.abs() { x } else { extreme })
}

/// Two 4-bit codes a byte: the first half of a group in the low nibbles, the second half in the high ones.
pub(super) fn pack_nibbles(codes: &[u8], bytes: &mut [u8]) {
    let (low, high) = codes.split_at(bytes.len());
    for ((byte, low), high) in bytes.iter_mut().zip(low).zip(high) {
        *byte = low & 15 | high << 4;
    }
}

/// Undo [`pack_nibbles`], each code going through `value`.
#[inline(always)]
pub(super) fn unpack_nibbles(bytes: &[u8], out: &mut [i8], value: impl Fn(u8) -> i8) {
    let (low, high) = out.split_at_mut(bytes.len());
    for ((byte, low), high) in bytes.iter().zip(low).zip(high) {
        *low = value(byte & 15);
        *high = value(byte >> 4);
    }
}
