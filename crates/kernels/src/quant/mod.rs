//! The kinds of number that deployed files hold: GGUF's, and the 8-bit float of safetensors, bit for bit.
//!
//! ```text
//! row of f32 ── quantize ──→ blocks of bytes ── dequantize ──→ row of f32
//!                              │
//!                              └ group of 16, 32 or 64 elements: integer codes q, scale d, sometimes a minimum m
//!                                element = q·d (+ m)
//! ```
//!
//! The rounding of each kind is defined here and nowhere else, as llama.cpp's `quantize_row_*_ref` defines it; what a
//! block stands for is what its `dequantize_row_*` and the `gguf` package say. GGUF lacks E4M3: there, torch and
//! compressed-tensors say both. `tests/golden/quant` holds all to it. [`quantize_closest`] looks for scales that lose
//! less, [`quantize_with_feedback`] for codes that make up for each other. [`apart`] has the kinds of server formats.
//!
//! A [`QuantMatrix`] is a view of rows of blocks that lie in a file; [`matvec`](mod@crate::matvec) multiplies by it.

pub mod apart;
mod block;
mod f16;
mod feedback;
mod float;
mod linear;
mod matrix;
mod scales;
mod search;
mod table;

pub(crate) use block::Block;
pub use feedback::{Feedback, quantize_with_feedback};
pub(crate) use linear::{Q2_0, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0};
pub use matrix::{MatrixError, QuantMatrix};
pub use scales::Scales;
pub use search::quantize_closest;
#[cfg(target_arch = "x86_64")]
pub(crate) use table::{E2M1, NON_LINEAR};
pub(crate) use table::{Iq4Nl, Mxfp4, Nvfp4};

/// How the numbers of a tensor are stored. Multi-byte fields are little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// IEEE binary32.
    F32,
    /// IEEE binary16.
    F16,
    /// The upper half of a binary32.
    Bf16,
    /// A float of 4 bits of exponent and 3 of significand, without infinities, at most 448: multiples of 2⁻⁹ below 2⁻⁶,
    /// above within 1 part in 16 (OCP 8-bit Floating Point 1.0). Only safetensors have it.
    F8E4M3,
    /// 32 codes in −127..=127 and an f16 scale: 8.5 bits an element.
    Q8_0,
    /// 32 codes in −8..=7 and an f16 scale: 4.5 bits.
    Q4_0,
    /// 32 codes in 0..=15, an f16 scale and an f16 minimum: 5 bits.
    Q4_1,
    /// 32 codes in −16..=15 and an f16 scale: 5.5 bits.
    Q5_0,
    /// 32 codes in 0..=31, an f16 scale and an f16 minimum: 6 bits.
    Q5_1,
    /// 32 codes into a table that suits bell-shaped weights, and an f16 scale: 4.5 bits.
    Iq4Nl,
    /// 32 numbers in E2M1 and a power of two: 4.25 bits (OCP Microscaling Formats 1.0).
    Mxfp4,
    /// 64 numbers in E2M1, an unsigned E4M3 scale for each 16: 4.5 bits.
    Nvfp4,
    /// 64 codes in −1..=2 and an f16 scale: 2.25 bits.
    Q2_0,
}

/// Call `$f::<B>(…)` with the [`Block`] of a kind that has one, or the other arm.
macro_rules! for_block {
    ($kind:expr, $block:ident => $call:expr, _ => $other:expr) => {
        match $kind {
            $crate::quant::Kind::Q8_0 => {
                type $block = $crate::quant::Q8_0;
                $call
            }
            $crate::quant::Kind::Q4_0 => {
                type $block = $crate::quant::Q4_0;
                $call
            }
            $crate::quant::Kind::Q4_1 => {
                type $block = $crate::quant::Q4_1;
                $call
            }
            $crate::quant::Kind::Q5_0 => {
                type $block = $crate::quant::Q5_0;
                $call
            }
            $crate::quant::Kind::Q5_1 => {
                type $block = $crate::quant::Q5_1;
                $call
            }
            $crate::quant::Kind::Iq4Nl => {
                type $block = $crate::quant::Iq4Nl;
                $call
            }
            $crate::quant::Kind::Mxfp4 => {
                type $block = $crate::quant::Mxfp4;
                $call
            }
            $crate::quant::Kind::Nvfp4 => {
                type $block = $crate::quant::Nvfp4;
                $call
            }
            $crate::quant::Kind::Q2_0 => {
                type $block = $crate::quant::Q2_0;
                $call
            }
            _ => $other,
        }
    };
}
pub(crate) use for_block;

impl Kind {
    /// Every kind.
    pub const fn all() -> [Self; 13] {
        use Kind::*;
        [F32, F16, Bf16, F8E4M3, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Iq4Nl, Mxfp4, Nvfp4, Q2_0]
    }

    /// The name that llama.cpp prints, or torch.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::F8E4M3 => "f8_e4m3",
            Self::Q8_0 => "q8_0",
            Self::Q4_0 => "q4_0",
            Self::Q4_1 => "q4_1",
            Self::Q5_0 => "q5_0",
            Self::Q5_1 => "q5_1",
            Self::Iq4Nl => "iq4_nl",
            Self::Mxfp4 => "mxfp4",
            Self::Nvfp4 => "nvfp4",
            Self::Q2_0 => "q2_0",
        }
    }

    /// Elements of a block, along a row.
    pub const fn block_len(self) -> usize {
        for_block!(self, B => B::LEN, _ => 1)
    }

    /// Bytes of a block.
    pub const fn block_bytes(self) -> usize {
        for_block!(self, B => B::BYTES, _ => match self { Self::F32 => 4, Self::F8E4M3 => 1, _ => 2 })
    }

    /// Bytes of a row of `cols` elements; `None` if `cols` is not a multiple of [`Kind::block_len`], or the bytes do
    /// not fit `usize`.
    pub fn row_bytes(self, cols: usize) -> Option<usize> {
        if cols.is_multiple_of(self.block_len()) {
            (cols / self.block_len()).checked_mul(self.block_bytes())
        } else {
            None
        }
    }
}

/// The f32 that each element of `bytes` stands for, exactly as the `gguf` package computes it. A NaN or an infinite
/// scale makes its group NaN or infinite.
///
/// # Panics
/// If `bytes` is not the whole blocks of `out.len()` elements.
pub fn dequantize(kind: Kind, bytes: &[u8], out: &mut [f32]) {
    assert_eq!(Some(bytes.len()), kind.row_bytes(out.len()), "bytes of {} elements of {}", out.len(), kind.name());
    match kind {
        Kind::F32 => float::widen_f32(bytes, out),
        Kind::F16 => float::widen_f16(bytes, out),
        Kind::Bf16 => float::widen_bf16(bytes, out),
        Kind::F8E4M3 => float::widen_e4m3(bytes, out),
        blocked => for_block!(blocked, B => block::decode::<B>(bytes, out), _ => unreachable!("floats are above")),
    }
}

/// Round `x` to blocks, exactly as llama.cpp's reference does; to E4M3 as compressed-tensors does.
///
/// Any input gives some blocks. A NaN counts as 0 in the kinds that have codes; an infinity, or a number too large for
/// the scale of the kind, makes a block that stands for infinities or NaN; in E4M3 it makes the largest number.
///
/// # Panics
/// If `bytes` is not the whole blocks of `x.len()` elements.
pub fn quantize(kind: Kind, x: &[f32], bytes: &mut [u8]) {
    assert_eq!(Some(bytes.len()), kind.row_bytes(x.len()), "bytes of {} elements of {}", x.len(), kind.name());
    match kind {
        Kind::F32 => float::narrow_f32(x, bytes),
        Kind::F16 => float::narrow_f16(x, bytes),
        Kind::Bf16 => float::narrow_bf16(x, bytes),
        Kind::F8E4M3 => float::narrow_e4m3(x, bytes),
        blocked => for_block!(blocked, B => block::encode::<B>(x, bytes), _ => unreachable!("floats are above")),
    }
}

#[cfg(test)]
mod tests;
