//! Kinds whose every element is a float of its own.

use super::f16;

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
