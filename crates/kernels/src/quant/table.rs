//! Kinds whose codes are looked up in a table of 16.
//!
//! ```text
//! iq4_nl  d:f16   nibbles:16              unevenly spaced, close together near 0
//! mxfp4   e:u8    nibbles:16              E2M1 × 2 · 2^(e − 128)
//! nvfp4   d:4×u8  nibbles:4×8             E2M1 × 2 · d/2, one d (unsigned E4M3) for each 16 elements
//! ```
//!
//! E2M1 is 0, ½, 1, 1½, 2, 3, 4, 6 and their negatives. The table holds twice that, so the scales are halved.

use super::block::{Block, MAX_LEN, Scaled, extreme, pack_nibbles, reciprocal_or_zero, unpack_nibbles};
use super::f16;

/// [`Kind::Iq4Nl`](super::Kind::Iq4Nl).
pub(crate) struct Iq4Nl;
/// [`Kind::Mxfp4`](super::Kind::Mxfp4).
pub(crate) struct Mxfp4;
/// [`Kind::Nvfp4`](super::Kind::Nvfp4).
pub(crate) struct Nvfp4;

pub(crate) const NON_LINEAR: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// Twice E2M1.
pub(crate) const E2M1: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

impl Block for Iq4Nl {
    const LEN: usize = 32;
    const BYTES: usize = 18;

    #[inline(always)]
    fn codes(block: &[u8]) -> [i8; MAX_LEN] {
        let mut codes = [0; MAX_LEN];
        unpack_nibbles(&block[2..Self::BYTES], &mut codes[..Self::LEN], |code| NON_LINEAR[usize::from(code & 15)]);
        codes
    }

    /// Codes by the scale that takes the largest element to the end of the table; then the scale of least squares for
    /// these codes, weighted by x².
    fn encode(x: &[f32], block: &mut [u8]) {
        const TINY: f32 = 1e-15;
        let extreme = extreme(x);
        let mut codes = nearest_non_linear(&[0.0; Self::LEN], 1.0);
        let (mut products, mut squares) = (0.0, 0.0);
        if extreme.abs() >= TINY {
            codes = nearest_non_linear(x, 1.0 / (extreme / f32::from(NON_LINEAR[0])));
            for (code, &x) in codes.iter().zip(x) {
                let value = f32::from(NON_LINEAR[usize::from(*code)]);
                products += x * x * value * x;
                squares += x * x * value * value;
            }
        }
        f16::write(if squares > 0.0 { products / squares } else { 0.0 }, block);
        pack_nibbles(&codes, &mut block[2..]);
    }
}

impl Scaled for Iq4Nl {
    fn encode_span(x: &[f32], _span: usize, scale: f32, block: &mut [u8]) {
        f16::write(scale, block);
        let inverse = reciprocal_or_zero(f16::read(block));
        pack_nibbles(&nearest_non_linear(x, inverse), &mut block[2..]);
    }
}

/// Index of the entry nearest to each of `factor·x`, the upper of two equally near.
fn nearest_non_linear(x: &[f32], factor: f32) -> [u8; Iq4Nl::LEN] {
    let mut codes = [0; Iq4Nl::LEN];
    for pair in NON_LINEAR.windows(2) {
        let (low, high) = (f32::from(pair[0]), f32::from(pair[1]));
        for (code, x) in codes.iter_mut().zip(x) {
            // whether x is past the middle: exact, the entries are integers
            *code += u8::from(factor * x - low >= high - factor * x);
        }
    }
    codes
}

impl Block for Mxfp4 {
    const LEN: usize = 32;
    const BYTES: usize = 17;

    #[inline(always)]
    fn codes(block: &[u8]) -> [i8; MAX_LEN] {
        let mut codes = [0; MAX_LEN];
        unpack_nibbles(&block[1..Self::BYTES], &mut codes[..Self::LEN], |code| E2M1[usize::from(code & 15)]);
        codes
    }

    #[inline(always)]
    fn scale(block: &[u8], _group: usize) -> f32 {
        half_power_of_two(block[0])
    }

    /// The power of two that brings the largest magnitude into 4..8, the exponent of E2M1's largest numbers.
    fn encode(x: &[f32], block: &mut [u8]) {
        let magnitude = extreme(x).abs();
        // log₂ rounded to f32, as the reference has it: just below a large power of two, the floor is that power
        let exponent = if magnitude > 0.0 { (f64::from(magnitude).log2() as f32).floor() - 2.0 + 127.0 } else { 0.0 };
        block[0] = exponent as u8;
        encode_e2m1(x, half_power_of_two(block[0]), &mut block[1..]);
    }
}

impl Scaled for Mxfp4 {
    fn encode_span(x: &[f32], _span: usize, scale: f32, block: &mut [u8]) {
        block[0] = (scale.abs().log2().round() + 128.0) as u8;
        encode_e2m1(x, half_power_of_two(block[0]), &mut block[1..]);
    }
}

/// 2^(e − 128), half of what the E8M0 `e` stands for. E8M0's NaN, 255, is 2¹²⁷ here as in the reference.
#[inline(always)]
fn half_power_of_two(e: u8) -> f32 {
    // the two least are subnormal
    f32::from_bits(if e < 2 { 0x0020_0000 << e } else { u32::from(e - 1) << 23 })
}

impl Block for Nvfp4 {
    const LEN: usize = 64;
    const BYTES: usize = 36;
    const GROUP: usize = 16;

    #[inline(always)]
    fn codes(block: &[u8]) -> [i8; MAX_LEN] {
        let mut codes = [0; MAX_LEN];
        for (bytes, codes) in block[4..Self::BYTES].chunks_exact(8).zip(codes.chunks_exact_mut(Self::GROUP)) {
            unpack_nibbles(bytes, codes, |code| E2M1[usize::from(code & 15)]);
        }
        codes
    }

    #[inline(always)]
    fn scale(block: &[u8], group: usize) -> f32 {
        half_e4m3(block[group])
    }

    /// The largest magnitude of a group to 6, E2M1's largest number.
    fn encode(x: &[f32], block: &mut [u8]) {
        let (scales, bytes) = block.split_at_mut(4);
        for ((x, scale), bytes) in x.chunks_exact(Self::GROUP).zip(scales).zip(bytes.chunks_exact_mut(8)) {
            *scale = to_e4m3(extreme(x).abs() / 6.0);
            encode_e2m1(x, half_e4m3(*scale), bytes);
        }
    }
}

impl Scaled for Nvfp4 {
    fn encode_span(x: &[f32], span: usize, scale: f32, block: &mut [u8]) {
        block[span] = to_e4m3(2.0 * scale.abs());
        let scale = half_e4m3(block[span]);
        encode_e2m1(x, scale, &mut block[4 + 8 * span..][..8]);
    }
}

/// Half the value of an E4M3 whose sign is not looked at; 127, its NaN, is 0 here as in the reference.
#[inline(always)]
fn half_e4m3(bits: u8) -> f32 {
    let (exponent, significand) = (u32::from(bits >> 3 & 15), u32::from(bits & 7));
    let subnormal = significand as f32 * (1.0 / 1024.0);
    // the exponent is biased by 7 in E4M3 and by 127 in f32, and one less for the half
    let normal = f32::from_bits((exponent + 127 - 7 - 1) << 23 | significand << 20);
    let value = if exponent == 0 { subnormal } else { normal };
    if bits == 0x7f { 0.0 } else { value }
}

/// The unsigned E4M3 nearest to `x`, ties upwards; 0 for what is not above 0, 448 for what rounds to 256 or more, as in
/// the reference.
fn to_e4m3(x: f32) -> u8 {
    const LARGEST: u8 = 0x7e;
    const EXPONENT_15: u32 = 15 << 3;
    if x.is_nan() || x <= 0.0 {
        return 0;
    }
    let bits = x.to_bits();
    let exponent = (bits >> 23) as i32 - 127 + 7;
    if exponent <= 0 {
        // steps of 2⁻⁹; those that round to the least normal number stay below it, as in the reference
        return ((x * 512.0 + 0.5) as u8).min(7);
    }
    // exponent and significand lie side by side: a carry out of the one goes into the other
    let rounded = (exponent << 3) as u32 + (bits >> 20 & 7) + (bits >> 19 & 1);
    if rounded < EXPONENT_15 { rounded as u8 } else { LARGEST }
}

/// Each of `x` to the entry nearest to it in units of `scale`, the smaller of two equally near.
fn encode_e2m1(x: &[f32], scale: f32, bytes: &mut [u8]) {
    let mut codes = [0; 32];
    for pair in E2M1[..8].windows(2) {
        let [low, high] = [pair[0], pair[1]].map(f32::from);
        // what is past the middle goes on, unless there is nothing to go on to; products of so few bits are exact
        let next = high * scale;
        let middle = if next.is_finite() && next > 0.0 { 0.5 * (low + high) * scale } else { f32::INFINITY };
        for (code, x) in codes.iter_mut().zip(x) {
            *code += u8::from(x.abs() > middle);
        }
    }
    for (code, x) in codes.iter_mut().zip(x) {
        *code |= if *x < 0.0 && *code > 0 { 8 } else { 0 };
    }
    pack_nibbles(&codes[..x.len()], bytes);
}
