//! f32 ↔ bfloat16, the upper half of an f32.
//!
//! ```text
//! x → round to 8 significant bits, ties to even → upper 16 bits of x │ 16 bits → followed by 16 zeros → f32
//! ```

use rayon::prelude::*;

use crate::{TASK_LEN, simd::simd};

/// Round each of `x` to the nearest bfloat16, ties to even. A NaN stays one, what overflows becomes infinite.
///
/// # Panics
/// If the lengths differ.
pub fn narrow(x: &[f32], y: &mut [u16]) {
    assert_eq!(x.len(), y.len(), "as many bfloat16 as f32");
    y.par_chunks_mut(TASK_LEN).zip(x.par_chunks(TASK_LEN)).for_each(|(y, x)| narrow_part(x, y));
}

/// The f32 that each bfloat16 of `x` stands for, exactly.
///
/// # Panics
/// If the lengths differ.
pub fn widen(x: &[u16], y: &mut [f32]) {
    assert_eq!(x.len(), y.len(), "as many f32 as bfloat16");
    y.par_chunks_mut(TASK_LEN).zip(x.par_chunks(TASK_LEN)).for_each(|(y, x)| widen_part(x, y));
}

simd! {
    /// [`narrow`] on this thread.
    pub(crate) fn narrow_part<S>(x: &[f32], y: &mut [u16]) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = nearest(x) as u16;
        }
    }
}

/// The bits of the bfloat16 nearest to `x`.
#[inline(always)]
pub(crate) fn nearest(x: f32) -> u32 {
    let bits = x.to_bits();
    // half an ulp, less one bit unless the kept part is odd: a carry rounds up, ties only towards even
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
    let quiet_nan = bits >> 16 | 0x40;
    if x.is_nan() { quiet_nan } else { rounded }
}

/// The same, a zero if `x` is subnormal: what products see.
#[inline(always)]
pub(crate) fn nearest_normal(x: f32) -> u32 {
    const EXPONENT: u32 = 0x7f80_0000;
    if x.to_bits() & EXPONENT == 0 { 0 } else { nearest(x) }
}

/// The bits `x` of a bfloat16, a zero if it is subnormal.
#[inline(always)]
pub(crate) fn normal(x: u16) -> u32 {
    const EXPONENT: u16 = 0x7f80;
    if x & EXPONENT == 0 { 0 } else { u32::from(x) }
}

simd! {
    /// [`widen`] on this thread.
    pub(crate) fn widen_part<S>(x: &[u16], y: &mut [f32]) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = wide(x);
        }
    }
}

/// The f32 that the bits of a bfloat16 stand for.
#[inline(always)]
pub(crate) fn wide(x: u16) -> f32 {
    f32::from_bits(u32::from(x) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference;
    use crate::simd::{Level, with_level};
    use crate::test_data::{AWKWARD_LENGTHS, for_thread_counts, uniform};

    fn narrowed(x: &[f32]) -> Vec<u16> {
        let mut y = vec![0xdead; x.len()];
        narrow(x, &mut y);
        y
    }

    fn widened(x: &[u16]) -> Vec<f32> {
        let mut y = vec![f32::NAN; x.len()];
        widen(x, &mut y);
        y
    }

    #[test]
    fn every_bfloat16_survives_the_way_through_f32() {
        let all: Vec<u16> = (0..=u16::MAX).collect();
        for level in Level::available() {
            let back = with_level(level, 2, || narrowed(&widened(&all)));
            for (&x, &y) in all.iter().zip(&back) {
                let nan = f32::from_bits(u32::from(x) << 16).is_nan();
                assert_eq!(y, if nan { x | 0x40 } else { x }, "{level:?}");
            }
        }
    }

    #[test]
    fn rounds_to_the_nearest_and_ties_to_even_like_its_twin() {
        // around every kind of boundary: each upper half with a lower half at, below and above the tie
        let lower = [0, 1, 0x7fff, 0x8000, 0x8001, 0xffff];
        let x: Vec<f32> = (0..=u16::MAX)
            .flat_map(|upper| lower.map(|lower| f32::from_bits(u32::from(upper) << 16 | lower)))
            .filter(|x| !x.is_nan())
            .chain(uniform(1000, 1))
            .collect();
        let expected: Vec<u16> = x.iter().map(|&x| reference::bf16(x)).collect();
        for level in Level::available() {
            assert_eq!(with_level(level, 2, || narrowed(&x)), expected, "{level:?}");
        }
    }

    #[test]
    fn a_nan_stays_a_nan() {
        let nans = [0x7f80_0001, 0xffff_ffff, 0x7fc0_0000, 0xff80_8000].map(f32::from_bits);
        assert!(widened(&narrowed(&nans)).iter().all(|x| x.is_nan()));
    }

    #[test]
    fn awkward_lengths_and_any_number_of_threads() {
        for n in AWKWARD_LENGTHS {
            let x = uniform(n, 2);
            let expected: Vec<u16> = x.iter().map(|&x| reference::bf16(x)).collect();
            assert!(for_thread_counts(|| narrowed(&x)).iter().all(|y| *y == expected), "length {n}");
            let wide: Vec<f32> = expected.iter().map(|&x| f32::from_bits(u32::from(x) << 16)).collect();
            assert!(for_thread_counts(|| widened(&expected)).iter().all(|y| *y == wide), "length {n}");
        }
    }
}
