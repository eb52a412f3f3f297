//! Kinds of server formats, whose codes and scales lie in tensors of their own: FP8 and NVFP4 as compressed-tensors (0.19)
//! and llm-compressor compute them, bit for bit.
//!
//! ```text
//! FP8    x [n], scale                 → E4M3(x / scale)                                      a scale a row, block or tensor
//! NVFP4  x [n], factor of the tensor  → scales [n/16] = E4M3(factor · max|x| / 6), codes [n/2] = E2M1(x · factor / scale)
//! ```
//!
//! Torch computes in the kind that weights are stored in, so quotients are rounded to it before they are rounded again.

use super::{
    Kind, f16,
    float::{e4m3, widen_e4m3},
};
use crate::simd::simd;

/// Largest number of E4M3.
pub const E4M3_MAX: f32 = 448.0;

/// Largest number of E2M1.
pub const E2M1_MAX: f32 = 6.0;

/// Numbers that share a scale in NVFP4.
pub const NVFP4_GROUP: usize = 16;

/// What stands for the scale of a group of zeros: the least that compressed-tensors writes.
const LEAST_SCALE: f32 = 0.125;

/// `x` as `kind` stores it: F32, F16 or Bf16, to nearest, ties to even.
///
/// # Panics
/// If `kind` is another.
pub fn as_stored(kind: Kind, x: f32) -> f32 {
    match kind {
        Kind::F32 => x,
        Kind::F16 => f16::widen(f16::narrow(x)),
        Kind::Bf16 => half::bf16::from_f32(x).to_f32(),
        other => panic!("no arithmetic in {}", other.name()),
    }
}

/// The scale that makes `largest`, the largest magnitude of some numbers in `kind`, the largest of E4M3; of zeros the distance
/// from 1 to the next number of `kind`.
pub fn fp8_scale(kind: Kind, largest: f32) -> f32 {
    let scale = as_stored(kind, largest / E4M3_MAX);
    let least = match kind {
        Kind::F16 => 1.0 / 1024.0,
        Kind::Bf16 => 1.0 / 128.0,
        _ => f32::EPSILON,
    };
    if scale == 0.0 { least } else { scale }
}

/// Rounds the quotients of `x`, stored in `kind`, and `scale` to E4M3.
///
/// # Panics
/// If `codes` are not as many as `x`, or `kind` is none of F32, F16 and Bf16.
pub fn quantize_fp8(kind: Kind, x: &[f32], scale: f32, codes: &mut [u8]) {
    assert_eq!(x.len(), codes.len(), "a code a number");
    let mut quotients = [0.0; 256];
    for (x, codes) in x.chunks(quotients.len()).zip(codes.chunks_mut(quotients.len())) {
        fp8_codes(kind, x, scale, &mut quotients[..x.len()], codes);
    }
}

simd! {
    fn fp8_codes<S>(kind: Kind, x: &[f32], scale: f32, quotients: &mut [f32], codes: &mut [u8]) {
        for (quotient, x) in quotients.iter_mut().zip(x) {
            *quotient = x / scale;
        }
        match kind {
            Kind::Bf16 => {
                for quotient in quotients.iter_mut() {
                    *quotient = as_bf16(*quotient);
                }
            }
            other => {
                for quotient in quotients.iter_mut() {
                    *quotient = as_stored(other, *quotient);
                }
            }
        }
        for (code, quotient) in codes.iter_mut().zip(&*quotients) {
            *code = e4m3(*quotient);
        }
    }
}

/// [`as_stored`] of what is no NaN.
#[inline(always)]
fn as_bf16(x: f32) -> f32 {
    let bits = x.to_bits();
    f32::from_bits((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff_0000)
}

/// What NVFP4's scales of a tensor are multiplied by, so that the largest is the largest of E4M3: 448 · 6 / `largest`, the largest
/// magnitude, in the arithmetic of `kind`; 1 for zeros, and where the quotient overflows.
///
/// In f16 that would be whenever `largest` is below 0.042, which leaves scales without bits; there it is computed in f32.
pub fn nvfp4_factor(kind: Kind, largest: f32) -> f32 {
    let kind = if kind == Kind::F16 { Kind::F32 } else { kind };
    // torch divides a number by a tensor so
    let inverse = as_stored(kind, 1.0 / largest.max(f32::MIN_POSITIVE));
    let factor = as_stored(kind, inverse * (E4M3_MAX * E2M1_MAX));
    if factor.is_finite() { factor } else { 1.0 }
}

/// Rounds `x`, stored in `kind`, to NVFP4: two codes a byte, the first in the low nibble, and a scale a group. A number stands for
/// code · scale / `factor`.
///
/// # Panics
/// If `x` is not whole groups, or there is not a nibble a number and a scale a group.
pub fn quantize_nvfp4(kind: Kind, x: &[f32], factor: f32, codes: &mut [u8], scales: &mut [u8]) {
    assert_eq!(
        (x.len() % NVFP4_GROUP, codes.len(), scales.len()),
        (0, x.len() / 2, x.len() / NVFP4_GROUP),
        "whole groups"
    );
    nvfp4_codes(kind, x, factor, codes, scales);
}

simd! {
    fn nvfp4_codes<S>(kind: Kind, x: &[f32], factor: f32, codes: &mut [u8], scales: &mut [u8]) {
        let groups = x.as_chunks::<NVFP4_GROUP>().0;
        for ((x, codes), scale) in groups.iter().zip(codes.as_chunks_mut::<{ NVFP4_GROUP / 2 }>().0).zip(scales) {
            let mut largest = 0.0_f32;
            for x in x {
                largest = largest.max(x.abs());
            }
            let (code, rounded) = group_scale(factor * as_stored(kind, largest / E2M1_MAX));
            *scale = code;
            let step = rounded / factor;
            let mut nibbles = [0_u32; NVFP4_GROUP];
            for (nibble, x) in nibbles.iter_mut().zip(x) {
                *nibble = e2m1(x / step);
            }
            for (byte, pair) in codes.iter_mut().zip(nibbles.as_chunks::<2>().0) {
                *byte = (pair[0] | pair[1] << 4) as u8;
            }
        }
    }
}

/// As [`quantize_nvfp4`], but of the E4M3 numbers from half the scale there to √2 times it, each group has the one under which
/// Σ (x − number)² is least; that of [`quantize_nvfp4`] if none is better.
///
/// # Panics
/// As [`quantize_nvfp4`].
pub fn quantize_nvfp4_closest(kind: Kind, x: &[f32], factor: f32, codes: &mut [u8], scales: &mut [u8]) {
    quantize_nvfp4(kind, x, factor, codes, scales);
    closer_codes(x, factor, codes, scales);
}

/// E4M3 numbers below and above a scale that are tried: eight of them double it.
const BELOW: u8 = 8;
const ABOVE: u8 = 4;

simd! {
    fn closer_codes<S>(x: &[f32], factor: f32, codes: &mut [u8], scales: &mut [u8]) {
        let groups = x.as_chunks::<NVFP4_GROUP>().0;
        for ((x, codes), scale) in groups.iter().zip(codes.as_chunks_mut::<{ NVFP4_GROUP / 2 }>().0).zip(scales) {
            let first = *scale;
            let (mut best, mut least) = (first, squared_error(x, first, factor));
            for candidate in first.saturating_sub(BELOW).max(1)..=(first + ABOVE).min(LARGEST_E4M3) {
                let error = squared_error(x, candidate, factor);
                if error < least {
                    (best, least) = (candidate, error);
                }
            }
            if best != first {
                *scale = best;
                let step = e4m3_value(best) / factor;
                for (byte, pair) in codes.iter_mut().zip(x.as_chunks::<2>().0) {
                    *byte = (e2m1(pair[0] / step) | e2m1(pair[1] / step) << 4) as u8;
                }
            }
        }
    }
}

/// The code of [`E4M3_MAX`].
const LARGEST_E4M3: u8 = 0x7e;

#[inline(always)]
fn e4m3_value(code: u8) -> f32 {
    let mut value = [0.0];
    widen_e4m3(&[code], &mut value);
    value[0]
}

/// Σ (x − number)² of a group whose scale is this code, the numbers not rounded to bf16.
#[inline(always)]
fn squared_error(x: &[f32; NVFP4_GROUP], scale: u8, factor: f32) -> f32 {
    let step = e4m3_value(scale) / factor;
    let mut errors = [0.0_f32; NVFP4_GROUP];
    for (error, x) in errors.iter_mut().zip(x) {
        let magnitude = (x / step).abs();
        // the distance of 0, ½, 1, 1½ | 2, 3 | 4, 6 is ½, 1 or 2
        let spacing = if magnitude < 1.75 {
            0.5
        } else if magnitude < 3.5 {
            1.0
        } else {
            2.0
        };
        let nearest = ((magnitude / spacing).round_ties_even() * spacing).min(E2M1_MAX);
        *error = (magnitude - nearest) * step;
    }
    let mut sum = 0.0;
    for error in errors {
        sum += error * error;
    }
    sum
}

/// The numbers that E4M3 codes with `scale` stand for: products, rounded to the kind of the scale.
///
/// # Panics
/// If `numbers` are not as many as `codes`, or `kind` is none of F32, F16 and Bf16.
pub fn expand_fp8(kind: Kind, codes: &[u8], scale: f32, numbers: &mut [f32]) {
    assert_eq!(codes.len(), numbers.len(), "a number a code");
    widen_e4m3(codes, numbers);
    numbers.iter_mut().for_each(|number| *number = as_stored(kind, *number * scale));
}

/// The numbers that NVFP4 codes stand for: products with the step of their group, rounded to bf16 as compressed-tensors unpacks
/// them.
///
/// # Panics
/// If there is not a step for 16 numbers and a byte for two.
pub fn expand_nvfp4(codes: &[u8], steps: &[f32], numbers: &mut [f32]) {
    assert_eq!((codes.len() * 2, steps.len() * NVFP4_GROUP), (numbers.len(), numbers.len()), "whole groups");
    let groups = codes.chunks_exact(NVFP4_GROUP / 2).zip(numbers.chunks_exact_mut(NVFP4_GROUP));
    for ((codes, numbers), step) in groups.zip(steps) {
        for (code, pair) in codes.iter().zip(numbers.as_chunks_mut::<2>().0) {
            *pair = [code & 15, code >> 4].map(|nibble| as_stored(Kind::Bf16, E2M1[usize::from(nibble)] * step));
        }
    }
}

/// What a nibble stands for.
const E2M1: [f32; 16] = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0];

/// The E4M3 nearest to a scale, and its value.
#[inline(always)]
fn group_scale(scale: f32) -> (u8, f32) {
    let code = match e4m3(scale) {
        0 => e4m3(LEAST_SCALE),
        code => code,
    };
    let mut value = [0.0];
    widen_e4m3(&[code], &mut value);
    (code, value[0])
}

/// The E2M1 nearest to `x`, ties to even; what is above 6 becomes 6. A number below 0 keeps its sign, though it become 0.
#[inline(always)]
fn e2m1(x: f32) -> u32 {
    let magnitude = x.abs();
    let code = u32::from(magnitude > 0.25)
        + u32::from(magnitude >= 0.75)
        + u32::from(magnitude > 1.25)
        + u32::from(magnitude >= 1.75)
        + u32::from(magnitude > 2.5)
        + u32::from(magnitude >= 3.5)
        + u32::from(magnitude > 5.0);
    code | u32::from(x < 0.0) << 3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Level, with_level};

    #[test]
    fn codes_of_four_bits_are_the_nearest_and_even_between_two() {
        for (code, pair) in (0_u32..).zip(E2M1[..8].windows(2)) {
            let middle = 0.5 * (pair[0] + pair[1]);
            let even = code + code % 2;
            for (x, expected) in
                [(pair[0], code), (middle.next_down(), code), (middle, even), (middle.next_up(), code + 1)]
            {
                assert_eq!(e2m1(x), expected, "{x}");
                if x > 0.0 {
                    assert_eq!(e2m1(-x), expected | 8, "{x}");
                }
            }
        }
        assert_eq!([e2m1(7.0), e2m1(f32::INFINITY), e2m1(0.0), e2m1(-0.0)], [7, 7, 0, 0]);
    }

    #[test]
    fn the_largest_number_of_a_tensor_is_held_to_the_precision_of_its_scales() {
        let x: Vec<f32> = (0..64).map(|i| (i as f32 - 31.5) * 0.01).collect();
        let largest = x.iter().fold(0.0, |largest: f32, x| largest.max(x.abs()));
        for kind in [Kind::F32, Kind::Bf16, Kind::F16] {
            let x: Vec<f32> = x.iter().map(|x| as_stored(kind, *x)).collect();
            let factor = nvfp4_factor(kind, as_stored(kind, largest));
            let (mut codes, mut scales) = ([0; 32], [0; 4]);
            quantize_nvfp4(kind, &x, factor, &mut codes, &mut scales);
            let mut steps = [0.0; 4];
            super::super::dequantize(Kind::F8E4M3, &scales, &mut steps);
            steps.iter_mut().for_each(|step| *step /= factor);
            let mut numbers = [f32::NAN; 64];
            expand_nvfp4(&codes, &steps, &mut numbers);
            for (i, (x, number)) in x.iter().zip(numbers).enumerate() {
                // half a step of the codes where it is widest, the rounding of the scale, and that of the number to bf16
                let step = steps[i / 16];
                assert!((number - x).abs() <= 1.08 * step, "{kind:?} {i}: {x} became {number}");
                assert_eq!(number, as_stored(Kind::Bf16, number));
            }
        }
    }

    #[test]
    fn numbers_of_fp8_are_products_in_the_kind_of_their_scale() {
        let codes: Vec<u8> = (0..=0xff).filter(|code| code & 0x7f != 0x7f).collect();
        let mut wide = vec![0.0; codes.len()];
        super::super::dequantize(Kind::F8E4M3, &codes, &mut wide);
        for kind in [Kind::F32, Kind::Bf16, Kind::F16] {
            let scale = as_stored(kind, 0.0123);
            let mut numbers = vec![f32::NAN; codes.len()];
            expand_fp8(kind, &codes, scale, &mut numbers);
            for ((code, wide), number) in codes.iter().zip(&wide).zip(numbers) {
                assert_eq!(number, as_stored(kind, wide * scale), "{kind:?} {code}");
            }
        }
    }

    fn error(x: &[f32], factor: f32, codes: &[u8], scales: &[u8]) -> f64 {
        let mut steps = vec![0.0; scales.len()];
        super::super::dequantize(Kind::F8E4M3, scales, &mut steps);
        let numbers = x.iter().enumerate().map(|(i, x)| {
            let nibble = codes[i / 2] >> (4 * (i % 2)) & 15;
            f64::from(E2M1[usize::from(nibble)] * (steps[i / 16] / factor) - x)
        });
        numbers.map(|difference| difference * difference).sum()
    }

    #[test]
    fn scales_that_are_searched_for_are_never_farther_and_the_best_of_all_near_ones() {
        // bell-shaped, and groups of zeros, of one number, and of a number far below the others
        let mut x: Vec<f32> = (0..1024).map(|i| ((i * 7919 % 1013) as f32 / 1013.0 - 0.5).powi(3)).collect();
        x[..16].fill(0.0);
        x[17..32].fill(0.0);
        x[32..48].fill(1e-9);
        for kind in [Kind::F32, Kind::Bf16, Kind::F16] {
            let x: Vec<f32> = x.iter().map(|x| as_stored(kind, *x)).collect();
            let factor = nvfp4_factor(kind, x.iter().fold(0.0, |most: f32, x| most.max(x.abs())));
            let (mut codes, mut scales) = (vec![0; 512], vec![0; 64]);
            quantize_nvfp4(kind, &x, factor, &mut codes, &mut scales);
            let (mut closest, mut found) = (codes.clone(), scales.clone());
            quantize_nvfp4_closest(kind, &x, factor, &mut closest, &mut found);
            for group in 0..64 {
                let (of, bytes) = (16 * group..16 * (group + 1), 8 * group..8 * (group + 1));
                let before = error(&x[of.clone()], factor, &codes[bytes.clone()], &scales[group..=group]);
                let after = error(&x[of.clone()], factor, &closest[bytes], &found[group..=group]);
                assert!(after <= before, "{kind:?} {group}: {after} after {before}");
                // no other scale nearby is better
                for scale in scales[group].saturating_sub(BELOW).max(1)..=(scales[group] + ABOVE).min(LARGEST_E4M3) {
                    let step = e4m3_value(scale) / factor;
                    let nearest = |x: &f32| f64::from(E2M1[e2m1(x / step) as usize] * step - x).powi(2);
                    let other: f64 = x[of.clone()].iter().map(nearest).sum();
                    assert!(
                        after <= other * (1.0 + 1e-5) + 1e-20,
                        "{kind:?} {group}: {scale} has {other}, not {after}"
                    );
                }
            }
            let [before, after] =
                [(&codes, &scales), (&closest, &found)].map(|(codes, scales)| error(&x, factor, codes, scales));
            assert!(after < 0.95 * before, "{kind:?}: {after} after {before}");
        }
    }

    #[test]
    fn every_set_of_instructions_gives_the_same_bits() {
        let x: Vec<f32> = (0..272).map(|i| ((i * 7919) % 1013) as f32 * 1e-4 - 0.05).collect();
        for kind in [Kind::F32, Kind::Bf16, Kind::F16] {
            let x: Vec<f32> = x.iter().map(|x| as_stored(kind, *x)).collect();
            let results = Level::available().into_iter().map(|level| {
                with_level(level, 1, || {
                    let (mut codes, mut scales, mut wide) = (vec![0; 136], vec![0; 17], vec![0; 272]);
                    quantize_nvfp4_closest(kind, &x, 40_000.0, &mut codes, &mut scales);
                    quantize_fp8(kind, &x, fp8_scale(kind, 0.05), &mut wide);
                    (codes, scales, wide)
                })
            });
            let results: Vec<_> = results.collect();
            assert!(results.windows(2).all(|pair| pair[0] == pair[1]), "{kind:?}");
            let expected: Vec<u8> = x.iter().map(|x| e4m3(as_stored(kind, x / fp8_scale(kind, 0.05)))).collect();
            assert_eq!(results[0].2, expected, "{kind:?}");
        }
    }

    #[test]
    fn zeros_have_scales_above_zero() {
        let (mut codes, mut scales) = ([1; 8], [0]);
        quantize_nvfp4(Kind::F32, &[0.0; 16], nvfp4_factor(Kind::F32, 0.0), &mut codes, &mut scales);
        assert_eq!((codes, scales), ([0; 8], [0x20]));
        assert_eq!(nvfp4_factor(Kind::Bf16, 0.0), 1.0);
        for kind in [Kind::F32, Kind::Bf16, Kind::F16] {
            let mut codes = [1; 2];
            quantize_fp8(kind, &[0.0, -0.0], fp8_scale(kind, 0.0), &mut codes);
            assert_eq!(codes, [0, 0x80]);
        }
    }
}
