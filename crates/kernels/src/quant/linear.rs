//! Kinds whose codes are evenly spaced.
//!
//! ```text
//! q8_0  d:f16 codes:32 × i8
//! q4_0  d:f16             nibbles:16          code − 8
//! q4_1  d:f16 m:f16       nibbles:16
//! q5_0  d:f16       high:4 nibbles:16         code − 16; bit j of `high` is bit 4 of code j
//! q5_1  d:f16 m:f16 high:4 nibbles:16
//! q2_0  d:f16             crumbs:16           code − 1; four codes a byte, the first in the lowest bits
//! ```

use super::block::{Block, MAX_LEN, Scaled, extreme, pack_nibbles, reciprocal_or_zero, unpack_nibbles};
use super::f16;

/// [`Kind::Q8_0`](super::Kind::Q8_0).
pub(crate) struct Q8_0;
/// [`Kind::Q4_0`](super::Kind::Q4_0).
pub(crate) struct Q4_0;
/// [`Kind::Q4_1`](super::Kind::Q4_1).
pub(crate) struct Q4_1;
/// [`Kind::Q5_0`](super::Kind::Q5_0).
pub(crate) struct Q5_0;
/// [`Kind::Q5_1`](super::Kind::Q5_1).
pub(crate) struct Q5_1;
/// [`Kind::Q2_0`](super::Kind::Q2_0).
pub(crate) struct Q2_0;

/// Elements of every block here but the last.
const LEN: usize = 32;

impl Block for Q8_0 {
    const LEN: usize = LEN;
    const BYTES: usize = 34;
    const ARE_BYTES: bool = true;

    #[inline(always)]
    fn codes(block: &[u8]) -> [i8; MAX_LEN] {
        let mut codes = [0; MAX_LEN];
        for (code, &byte) in codes.iter_mut().zip(&block[2..Self::BYTES]) {
            *code = byte.cast_signed();
        }
        codes
    }

    fn encode(x: &[f32], block: &mut [u8]) {
        let scale = extreme(x).abs() / 127.0;
        let inverse = reciprocal_or_zero(scale);
        f16::write(scale, block);
        for (byte, &x) in block[2..].iter_mut().zip(x) {
            *byte = ((x * inverse).round() as i8).cast_unsigned();
        }
    }
}

impl Scaled for Q8_0 {
    fn encode_span(x: &[f32], _span: usize, scale: f32, block: &mut [u8]) {
        f16::write(scale, block);
        let inverse = reciprocal_or_zero(f16::read(block));
        for (byte, &x) in block[2..].iter_mut().zip(x) {
            *byte = ((x * inverse).round().clamp(-127.0, 127.0) as i8).cast_unsigned();
        }
    }
}

impl Block for Q4_0 {
    const LEN: usize = LEN;
    const BYTES: usize = 18;

    #[inline(always)]
    fn codes(block: &[u8]) -> [i8; MAX_LEN] {
        let mut codes = [0; MAX_LEN];
        unpack_nibbles(&block[2..Self::BYTES], &mut codes[..LEN], |code| code.cast_signed() - 8);
        codes
    }

    fn encode(x: &[f32], block: &mut [u8]) {
        let (scale, codes) = around_zero(x, 8.0);
        f16::write(scale, block);
        pack_nibbles(&codes, &mut block[2..]);
    }
}

impl Scaled for Q4_0 {
    fn encode_span(x: &[f32], _span: usize, scale: f32, block: &mut [u8]) {
        f16::write(scale, block);
        pack_nibbles(&nearest_around_zero(x, f16::read(block), 8.0), &mut block[2..]);
    }
}

impl Block for Q4_1 {
    const LEN: usize = LEN;
    const BYTES: usize = 20;
    const HAS_MINIMUM: bool = true;

    #[inline(always)]
    fn codes(block: &[u8]) -> [i8; MAX_LEN] {
        let mut codes = [0; MAX_LEN];
        unpack_nibbles(&block[4..Self::BYTES], &mut codes[..LEN], u8::cast_signed);
        codes
    }

    #[inline(always)]
    fn minimum(block: &[u8]) -> f32 {
        f16::read(&block[2..])
    }

    fn encode(x: &[f32], block: &mut [u8]) {
        let (scale, minimum, codes) = above_minimum(x, 15);
        f16::write(scale, block);
        f16::write(minimum, &mut block[2..]);
        pack_nibbles(&codes, &mut block[4..]);
    }
}

impl Block for Q5_0 {
    const LEN: usize = LEN;
    const BYTES: usize = 22;

    #[inline(always)]
    fn codes(block: &[u8]) -> [i8; MAX_LEN] {
        let mut codes = five_bits(&block[2..Self::BYTES]);
        codes.iter_mut().for_each(|code| *code -= 16);
        codes
    }

    fn encode(x: &[f32], block: &mut [u8]) {
        let (scale, codes) = around_zero(x, 16.0);
        f16::write(scale, block);
        pack_five_bits(&codes, &mut block[2..]);
    }
}

impl Scaled for Q5_0 {
    fn encode_span(x: &[f32], _span: usize, scale: f32, block: &mut [u8]) {
        f16::write(scale, block);
        pack_five_bits(&nearest_around_zero(x, f16::read(block), 16.0), &mut block[2..]);
    }
}

impl Block for Q5_1 {
    const LEN: usize = LEN;
    const BYTES: usize = 24;
    const HAS_MINIMUM: bool = true;

    #[inline(always)]
    fn codes(block: &[u8]) -> [i8; MAX_LEN] {
        five_bits(&block[4..Self::BYTES])
    }

    #[inline(always)]
    fn minimum(block: &[u8]) -> f32 {
        f16::read(&block[2..])
    }

    fn encode(x: &[f32], block: &mut [u8]) {
        let (scale, minimum, codes) = above_minimum(x, 31);
        f16::write(scale, block);
        f16::write(minimum, &mut block[2..]);
        pack_five_bits(&codes, &mut block[4..]);
    }
}

impl Block for Q2_0 {
    const LEN: usize = 64;
    const BYTES: usize = 18;
    const GROUP: usize = 32;

    #[inline(always)]
    fn codes(block: &[u8]) -> [i8; MAX_LEN] {
        let mut codes = [0; MAX_LEN];
        for (codes, byte) in codes.as_chunks_mut::<4>().0.iter_mut().zip(&block[2..Self::BYTES]) {
            *codes = [0, 2, 4, 6].map(|shift| (byte >> shift & 3).cast_signed() - 1);
        }
        codes
    }

    fn encode(x: &[f32], block: &mut [u8]) {
        let scale = extreme(x).abs();
        f16::write(scale, block);
        pack_crumbs(x, reciprocal_or_zero(scale), &mut block[2..]);
    }
}

impl Scaled for Q2_0 {
    const SPAN: usize = Self::LEN;
    // of 64 bell-shaped numbers the largest is 2.5 standard deviations, and a scale of one is best
    const FIRST: f32 = 0.4;

    fn encode_span(x: &[f32], _span: usize, scale: f32, block: &mut [u8]) {
        f16::write(scale, block);
        pack_crumbs(x, reciprocal_or_zero(f16::read(block)), &mut block[2..]);
    }
}

/// Four codes a byte, each 1 more than the nearest of −1..=2 to `factor·x`.
fn pack_crumbs(x: &[f32], factor: f32, bytes: &mut [u8]) {
    for (byte, x) in bytes.iter_mut().zip(x.as_chunks::<4>().0) {
        // a NaN becomes 0
        let codes = x.map(|x| ((x * factor).round().clamp(-1.0, 2.0) as i8 + 1).cast_unsigned());
        *byte = codes[0] | codes[1] << 2 | codes[2] << 4 | codes[3] << 6;
    }
}

/// Codes 0..2·`half`, where `half` stands for 0 and 0 for the element of largest magnitude, whose sign the scale takes.
fn around_zero(x: &[f32], half: f32) -> (f32, [u8; LEN]) {
    let scale = extreme(x) / -half;
    let inverse = reciprocal_or_zero(scale);
    let largest = (2.0 * half) as u8 - 1;
    let mut codes = [0; LEN];
    for (code, &x) in codes.iter_mut().zip(x) {
        *code = ((x * inverse + (half + 0.5)) as u8).min(largest);
    }
    (scale, codes)
}

/// Codes 0..2·`half`, where `half` stands for 0, nearest to `x` in units of `scale`.
fn nearest_around_zero(x: &[f32], scale: f32, half: f32) -> [u8; LEN] {
    let inverse = reciprocal_or_zero(scale);
    let mut codes = [0; LEN];
    for (code, &x) in codes.iter_mut().zip(x) {
        // a NaN becomes code 0 here and in no group that matters: its error is NaN under every scale
        *code = ((x * inverse).round() + half).clamp(0.0, 2.0 * half - 1.0) as u8;
    }
    codes
}

/// Codes 0..=`largest`, from the least element to the greatest.
fn above_minimum(x: &[f32], largest: u8) -> (f32, f32, [u8; LEN]) {
    // not ∞: a block of nothing but NaN has a scale and a minimum too
    let (mut minimum, mut maximum) = (f32::MAX, f32::MIN);
    for &x in x {
        // of 0 and −0 the first
        minimum = if x < minimum { x } else { minimum };
        maximum = if x > maximum { x } else { maximum };
    }
    let scale = (maximum - minimum) / f32::from(largest);
    let inverse = reciprocal_or_zero(scale);
    let mut codes = [0; LEN];
    for (code, &x) in codes.iter_mut().zip(x) {
        *code = (((x - minimum) * inverse + 0.5) as u8).min(largest);
    }
    (scale, minimum, codes)
}

/// Codes 0..32 from four bytes of fifth bits and sixteen of nibbles.
#[inline(always)]
fn five_bits(bytes: &[u8]) -> [i8; MAX_LEN] {
    let high = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let mut codes = [0; MAX_LEN];
    unpack_nibbles(&bytes[4..20], &mut codes[..LEN], u8::cast_signed);
    for (bit, code) in codes[..LEN].iter_mut().enumerate() {
        *code |= ((high >> bit & 1) << 4) as i8;
    }
    codes
}

/// Undo [`five_bits`].
fn pack_five_bits(codes: &[u8; LEN], bytes: &mut [u8]) {
    let high = codes.iter().enumerate().fold(0, |high, (bit, code)| high | u32::from(code >> 4 & 1) << bit);
    bytes[..4].copy_from_slice(&high.to_le_bytes());
    pack_nibbles(codes, &mut bytes[4..]);
}
