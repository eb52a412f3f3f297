//! Kinds whose every element is a float of its own.

use super::f16;

/// The least E4M3 above 0, of which all below 2⁻⁶ are multiples.
const E4M3_STEP: f32 = 1.0 / 512.0;
const E4M3_MAX: f32 = 448.0;

pub(super) fn widen_f32(bytes: &[u8], out: &mut [f32]) {
    for (out, bytes) in out.iter_mut().zip(bytes.as_chunks().0) {
        *out = f32::from_le_bytes(*bytes);
    }
}

pub(super) fn widen_f16(bytes: &[u8], out: &mut [f32]) {
    for (out, bytes) in out.iter_mut().zip(bytes.as_chunks().0) {
        *out = f16::widen(u16::from_le_bytes(*bytes));
    }
}

pub(super) fn widen_bf16(bytes: &[u8], out: &mut [f32]) {
    for (out, bytes) in out.iter_mut().zip(bytes.as_chunks().0) {
        *out = f32::from_bits(u32::from(u16::from_le_bytes(*bytes)) << 16);
    }
}

pub(super) fn widen_e4m3(bytes: &[u8], out: &mut [f32]) {
    for (out, &byte) in out.iter_mut().zip(bytes) {
        let magnitude = match byte & 0x7f {
            0x7f => f32::NAN,
            small @ ..8 => f32::from(small) * E4M3_STEP,
            // the exponent is biased by 7 there and by 127 in f32
            normal => f32::from_bits((u32::from(normal) << 20) + ((127 - 7) << 23)),
        };
        *out = if byte < 0x80 { magnitude } else { -magnitude };
    }
}

pub(super) fn narrow_f32(x: &[f32], bytes: &mut [u8]) {
    for (x, bytes) in x.iter().zip(bytes.as_chunks_mut().0) {
        *bytes = x.to_le_bytes();
    }
}

pub(super) fn narrow_f16(x: &[f32], bytes: &mut [u8]) {
    for (&x, bytes) in x.iter().zip(bytes.as_chunks_mut().0) {
        *bytes = f16::narrow(x).to_le_bytes();
    }
}

pub(super) fn narrow_bf16(x: &[f32], bytes: &mut [u8]) {
    for (&x, bytes) in x.iter().zip(bytes.as_chunks_mut().0) {
        *bytes = half::bf16::from_f32(x).to_le_bytes();
    }
}

pub(super) fn narrow_e4m3(x: &[f32], bytes: &mut [u8]) {
    for (&x, byte) in x.iter().zip(bytes) {
        *byte = e4m3(x);
    }
}

/// The E4M3 nearest to `x`, ties to even; the largest for all that is larger.
#[inline(always)]
pub(super) fn e4m3(x: f32) -> u8 {
    let magnitude = x.abs().min(E4M3_MAX);
    // next to 2¹⁴ the steps of f32 are these, and an addition rounds ties to even
    let small = (magnitude + 16_384.0).to_bits() - 16_384f32.to_bits();
    let bits = magnitude.to_bits();
    let nearest = bits + 0x7_ffff + (bits >> 20 & 1);
    let normal = (nearest >> 20).wrapping_sub((127 - 7) << 3);
    let code = if magnitude < 8.0 * E4M3_STEP { small } else { normal };
    let code = if x.is_nan() { 0x7f } else { code };
    (code | x.to_bits() >> 31 << 7) as u8
}
