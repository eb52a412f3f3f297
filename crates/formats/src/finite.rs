//! Numbers that are not finite, found before they are written or trusted.

use std::path::Path;

use itera_kernels::quant::{Kind, dequantize};

use crate::error::{FormatError, Result};

/// Numbers of packed blocks that are looked at together; whole blocks of every kind.
const PART: usize = 1 << 14;

/// An error if a number of a tensor that was read is not finite; the first of `numbers` has index `first` in it.
pub(crate) fn check_finite(path: &Path, tensor: &str, first: usize, numbers: &[f32]) -> Result<()> {
    match numbers.iter().position(|number| !number.is_finite()) {
        Some(at) => Err(FormatError::NotFinite {
            path: path.to_owned(),
            tensor: tensor.to_owned(),
            index: first + at,
            value: numbers[at],
        }),
        None => Ok(()),
    }
}

/// An error if a number is not finite, or is too large for `kind`: as that it would be infinite or, in E4M3 and NVFP4, cut
/// to the largest there is. Where the scale of a block would be infinite, its blocks tell.
pub(crate) fn check_storable(tensor: &str, kind: Kind, numbers: &[f32]) -> Result<()> {
    let largest = largest(kind);
    match numbers.iter().position(|number| number.is_nan() || number.abs() > largest) {
        Some(index) => Err(unstorable(tensor, index, numbers[index], kind)),
        None => Ok(()),
    }
}

/// An error if blocks stand for a number that is not finite: one of `numbers`, if they were rounded from those.
pub(crate) fn check_blocks(tensor: &str, kind: Kind, blocks: &[u8], numbers: Option<&[f32]>) -> Result<()> {
    let part_bytes = PART / kind.block_len() * kind.block_bytes();
    let mut read = vec![0.0; PART];
    for (part, blocks) in blocks.chunks(part_bytes).enumerate() {
        let read = &mut read[..blocks.len() / kind.block_bytes() * kind.block_len()];
        dequantize(kind, blocks, read);
        if let Some(at) = read.iter().position(|number| !number.is_finite()) {
            let index = part * PART + at;
            return Err(unstorable(tensor, index, numbers.map_or(read[at], |numbers| numbers[index]), kind));
        }
    }
    Ok(())
}

/// Whether blocks stand for finite numbers alone, as far as their scales tell: where this is false, the numbers themselves
/// must be looked at. Reading scales takes a tenth of the time that reading numbers takes.
pub(crate) fn is_surely_finite(kind: Kind, blocks: &[u8]) -> bool {
    // no early end, so that the compiler may take many at once
    fn all<const N: usize>(bytes: &[u8], is_finite: impl Fn(&[u8; N]) -> bool) -> bool {
        bytes.as_chunks().0.iter().fold(true, |all, bytes| all & is_finite(bytes))
    }
    let f16 = |bits: &[u8; 2]| u16::from_le_bytes(*bits) & 0x7c00 != 0x7c00;
    match kind {
        Kind::F32 => all(blocks, |bits| u32::from_le_bytes(*bits) & 0x7f80_0000 != 0x7f80_0000),
        Kind::F16 => all(blocks, f16),
        Kind::Bf16 => all(blocks, |bits| u16::from_le_bytes(*bits) & 0x7f80 != 0x7f80),
        Kind::F8E4M3 => all(blocks, |[bits]| bits & 0x7f != 0x7f),
        Kind::Q8_0 | Kind::Q4_0 | Kind::Q5_0 | Kind::Iq4Nl | Kind::Q2_0 => {
            blocks.chunks_exact(kind.block_bytes()).all(|block| f16(&[block[0], block[1]]))
        }
        // a scale and a minimum
        Kind::Q4_1 | Kind::Q5_1 => blocks
            .chunks_exact(kind.block_bytes())
            .all(|block| f16(&[block[0], block[1]]) && f16(&[block[2], block[3]])),
        // 6 times a higher power of two may be infinite
        Kind::Mxfp4 => blocks.chunks_exact(kind.block_bytes()).all(|block| block[0] <= 252),
        Kind::Nvfp4 => true,
    }
}

fn unstorable(tensor: &str, index: usize, value: f32, kind: Kind) -> FormatError {
    FormatError::Unstorable { tensor: tensor.to_owned(), index, value, kind }
}

/// The largest number that stays finite when it is rounded to this kind, ties to even. A kind with codes has a scale, so
/// what it holds shows in its blocks.
fn largest(kind: Kind) -> f32 {
    match kind {
        // halfway to the next power of two, which would be infinite, and below it
        Kind::F16 => 65_520_f32.next_down(),
        Kind::Bf16 => f32::from_bits(0x7f7f_8000).next_down(),
        // halfway to 480, which would be NaN, and even
        Kind::F8E4M3 => 464.0,
        // the largest code times the largest scale, to which it cuts
        Kind::Nvfp4 => 6.0 * 448.0,
        _ => f32::MAX,
    }
}

#[cfg(test)]
mod tests {
    use itera_kernels::quant::quantize;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Any bytes: what is said to be finite is, and a changed scale is noticed.
        #[test]
        fn scales_tell_whether_numbers_are_finite(
            bytes in prop::collection::vec(any::<u8>(), 17 * 36),
            at in any::<prop::sample::Index>(),
        ) {
            for kind in Kind::all() {
                let n_blocks = bytes.len() / kind.block_bytes();
                let mut blocks = bytes[..n_blocks * kind.block_bytes()].to_vec();
                let mut numbers = vec![0.0; n_blocks * kind.block_len()];
                let mut is_finite = |blocks: &[u8]| {
                    dequantize(kind, blocks, &mut numbers);
                    numbers.iter().all(|number| number.is_finite())
                };
                prop_assert!(!is_surely_finite(kind, &blocks) || is_finite(&blocks), "{kind:?}");
                // scales that are usual, and one that is not
                for block in blocks.chunks_exact_mut(kind.block_bytes()) {
                    block[..kind.block_bytes().min(4)].fill(0x3c);
                }
                prop_assert!(is_surely_finite(kind, &blocks) && is_finite(&blocks), "{kind:?}");
                let start = at.index(n_blocks) * kind.block_bytes();
                blocks[start..start + kind.block_bytes().min(4)].fill(0xff);
                prop_assert_eq!(is_surely_finite(kind, &blocks), kind == Kind::Nvfp4, "{:?}", kind);
            }
        }
    }

    #[test]
    fn the_largest_number_of_a_kind_is_the_last_that_it_holds() {
        for (kind, held) in [(Kind::F32, f32::MAX), (Kind::F16, 65_504.0), (Kind::Bf16, 3.389_531_4e38)] {
            let (mut bytes, mut back) = (vec![0; kind.block_bytes()], [0.0]);
            let mut rounded = |number: f32| {
                quantize(kind, &[number], &mut bytes);
                dequantize(kind, &bytes, &mut back);
                back[0]
            };
            assert_eq!(rounded(largest(kind)), held, "{kind:?}");
            assert!(rounded(largest(kind).next_up()).is_infinite(), "{kind:?}");
        }
        check_storable("w", Kind::Nvfp4, &[2688.0]).expect("448 · 6");
        check_storable("w", Kind::Nvfp4, &[2689.0]).expect_err("cut");
        check_storable("w", Kind::F8E4M3, &[464.0, -464.0]).expect("448 is as near as any");
        for number in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -464.1] {
            check_storable("w", Kind::F8E4M3, &[0.0, number]).expect_err("refused");
        }
    }
}
