//! Kernels by hand for AVX2, and for AVX-512 with its dot products of bytes.
//!
//! ```text
//! one vector    8 rows at a time: a register of partial sums each, transposed and added to one register of 8 results
//! 8 vectors     a lane each: an element of W to all lanes, no sums across lanes; some rows at a time share x
//! 16, 32        the same with two tiles of 8 side by side
//! ```
//!
//! Registers are 256 bits at both levels: rows are short, and what wider ones would save, the sums across them cost. Only
//! pairs of tiles take 512, where nothing is summed across lanes. Beside them, AVX-512 brings twice as many
//! registers, and one instruction in place of three for four products of bytes.

mod bytes;
mod exact;
mod int8;
mod kinds;
mod scales;
mod sums;

use std::arch::x86_64::{
    __m256, __m512, _mm256_setzero_ps, _mm256_storeu_ps, _mm256_storeu2_m128, _mm512_castps512_ps256,
    _mm512_extractf32x8_ps,
};

use super::{LANES, Operand, activations::Int8, for_tiles, portable};
use crate::{
    quant::{Iq4Nl, Kind, Mxfp4, Nvfp4, Q2_0, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, QuantMatrix},
    simd::{Avx2, Vnni, features},
};
use kinds::{Bf16, Codes, F8E4M3, F16, F32, Numbers};

/// An instruction set with kernels here.
#[derive(Clone, Copy)]
pub(super) enum Set {
    Avx2(Avx2),
    Vnni(Vnni),
}

impl Set {
    /// The set for the level in use, if there is one.
    #[inline]
    pub(super) fn in_use() -> Option<Self> {
        Vnni::in_use().map(Self::Vnni).or_else(|| Avx2::in_use().map(Self::Avx2))
    }

    /// See [`super::run`].
    #[inline]
    pub(super) fn run(self, w: QuantMatrix<'_>, x: Operand<'_>, y: &mut [f32]) {
        match w.kind() {
            Kind::F32 => self.exact::<F32>(w, x, y),
            Kind::F16 => self.exact::<F16>(w, x, y),
            Kind::Bf16 => self.exact::<Bf16>(w, x, y),
            Kind::F8E4M3 => self.exact::<F8E4M3>(w, x, y),
            Kind::Q8_0 => self.either::<Q8_0>(w, x, y),
            Kind::Q4_0 => self.either::<Q4_0>(w, x, y),
            Kind::Q4_1 => self.either::<Q4_1>(w, x, y),
            Kind::Q5_0 => self.either::<Q5_0>(w, x, y),
            Kind::Q5_1 => self.either::<Q5_1>(w, x, y),
            Kind::Iq4Nl => self.either::<Iq4Nl>(w, x, y),
            Kind::Mxfp4 => self.either::<Mxfp4>(w, x, y),
            Kind::Nvfp4 => self.either::<Nvfp4>(w, x, y),
            Kind::Q2_0 => self.either::<Q2_0>(w, x, y),
        }
    }

    #[inline(always)]
    fn either<B: Codes>(self, w: QuantMatrix<'_>, x: Operand<'_>, y: &mut [f32]) {
        match (self, x) {
            (Self::Vnni(isa), Operand::OneInt8(x)) => vnni_int8_one::<B>(isa, w, x, y),
            (Self::Avx2(isa), Operand::OneInt8(x)) => avx2_int8_one::<B>(isa, w, x, y),
            (Self::Vnni(isa), Operand::ManyInt8(x)) => {
                for_tiles(
                    w,
                    y,
                    &[4, 2, 1],
                    |start, len| x.part(start, len),
                    |tiles, x, y| match tiles {
                        4 => vnni_int8_fours::<B>(isa, w, x, y),
                        2 => vnni_int8_twos::<B>(isa, w, x, y),
                        _ => vnni_int8_tile::<B>(isa, w, x, y),
                    },
                );
            }
            (Self::Avx2(isa), Operand::ManyInt8(x)) => {
                let part = |start, len| x.part(start, len);
                for_tiles(w, y, &[1], part, |_, x, y| avx2_int8_tile::<B>(isa, w, x, y));
            }
            _ => self.exact::<B>(w, x, y),
        }
    }

    #[inline(always)]
    fn exact<K: Numbers>(self, w: QuantMatrix<'_>, x: Operand<'_>, y: &mut [f32]) {
        let whole = w.cols().is_multiple_of(K::STEP);
        match (self, x) {
            (_, Operand::One(x)) if whole => avx2_exact_one::<K>(self.avx2(), w, x, y),
            (_, Operand::One(x)) => ragged::<1>(self.avx2(), w, x, y),
            (Self::Vnni(isa), Operand::Many(x)) if whole => {
                for_tiles(
                    w,
                    y,
                    &[2, 1],
                    |start, len| &x[start..][..len],
                    |tiles, x, y| match tiles {
                        2 => vnni_exact_twos::<K>(isa, w, x, y),
                        _ => vnni_exact_tile::<K>(isa, w, x, y),
                    },
                );
            }
            (Self::Avx2(isa), Operand::Many(x)) if whole => {
                let part = |start, len| &x[start..][..len];
                for_tiles(w, y, &[1], part, |_, x, y| avx2_exact_tile::<K>(isa, w, x, y));
            }
            (_, Operand::Many(x)) => {
                let part = |start, len| &x[start..][..len];
                for_tiles(w, y, &[1], part, |_, x, y| ragged::<LANES>(self.avx2(), w, x, y));
            }
            _ => unreachable!("a kind without codes is multiplied exactly"),
        }
    }

    fn avx2(self) -> Avx2 {
        match self {
            Self::Avx2(isa) => isa,
            Self::Vnni(isa) => isa.into(),
        }
    }
}

/// The first of `N` rows of a matrix, and where each of them begins; the last `N` begin earlier instead of ending later,
/// and where the matrix has fewer, its last row stands in for those past it.
struct RowTiles<const N: usize> {
    rows: [*const u8; N],
    row_bytes: usize,
    start: usize,
    last: usize,
    left: usize,
}

impl<const N: usize> RowTiles<N> {
    #[inline(always)]
    fn new(w: QuantMatrix<'_>) -> Self {
        let mut rows = [w.bytes().as_ptr(); N];
        for i in 1..N {
            rows[i] = if i < w.rows() { rows[i - 1].wrapping_add(w.row_bytes()) } else { rows[i - 1] };
        }
        Self { rows, row_bytes: w.row_bytes(), start: 0, last: w.rows().saturating_sub(N), left: w.rows().div_ceil(N) }
    }
}

impl<const N: usize> Iterator for RowTiles<N> {
    type Item = (usize, [*const u8; N]);

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let tile = (self.start, self.rows);
        let next = self.last.min(self.start + N);
        let bytes = (next - self.start) * self.row_bytes;
        for row in &mut self.rows {
            *row = row.wrapping_add(bytes);
        }
        self.start = next;
        Some(tile)
    }
}

/// Eight numbers, or as many as `y` takes.
///
/// # Safety
/// - The processor has AVX2.
#[inline(always)]
unsafe fn store(x: __m256, y: &mut [f32]) {
    let mut all = [0.0; LANES];
    // SAFETY: `y` is stored to only where it has eight floats, `all` has eight.
    unsafe {
        if y.len() >= LANES {
            return _mm256_storeu_ps(y.as_mut_ptr(), x);
        }
        _mm256_storeu_ps(all.as_mut_ptr(), x);
    }
    for (y, x) in y.iter_mut().zip(all) {
        *y = x;
    }
}

/// A tile of rows of `y`, each with a vector a lane: as many vectors as begin in `y`, which are `stride` apart, and as
/// many of the `N` ≤ 4 rows as such a vector has.
///
/// # Safety
/// - The processor has AVX2.
#[inline(always)]
unsafe fn store_lanes<const N: usize>(x: &[__m256; N], y: &mut [f32], stride: usize) {
    let mut lanes = [[0.0; 4]; LANES];
    // SAFETY: four floats each are stored to lanes i and i + 4 of eight, which have four.
    unsafe {
        let mut rows = [_mm256_setzero_ps(); 4];
        rows[..N].copy_from_slice(x);
        for (i, quads) in sums::transpose(rows).into_iter().enumerate() {
            _mm256_storeu2_m128(lanes[i + 4].as_mut_ptr(), lanes[i].as_mut_ptr(), quads);
        }
    }
    for (lane, y) in lanes.iter().zip(y.chunks_mut(stride)) {
        match y.first_chunk_mut::<N>() {
            Some(tile) => tile.copy_from_slice(&lane[..N]),
            None => y.iter_mut().zip(lane).for_each(|(y, x)| *y = *x),
        }
    }
}

/// [`store_lanes`] of two tiles of vectors, from row `start` of each vector on.
///
/// # Safety
/// - The processor has AVX-512 F and DQ.
#[inline(always)]
unsafe fn store_wide<const N: usize>(x: &[__m512; N], y: &mut [f32], start: usize, stride: usize) {
    // SAFETY: the processor has the instructions by this function's contract; `store_lanes` is handed slices.
    unsafe {
        let (mut low, mut high) = ([_mm256_setzero_ps(); N], [_mm256_setzero_ps(); N]);
        for ((low, high), x) in low.iter_mut().zip(&mut high).zip(x) {
            (*low, *high) = (_mm512_castps512_ps256(*x), _mm512_extractf32x8_ps::<1>(*x));
        }
        let (first, second) = y.split_at_mut(LANES * stride);
        store_lanes(&low, &mut first[start..], stride);
        store_lanes(&high, &mut second[start..], stride);
    }
}

/// The definition, for rows that are not whole steps.
fn ragged<const N: usize>(isa: Avx2, w: QuantMatrix<'_>, x: &[f32], y: &mut [f32]) {
    features! {
        avx2 compile fn compiled<const N: usize>(_isa: Avx2, w: QuantMatrix<'_>, x: &[f32], y: &mut [f32]) {
            portable::exact::<N, Avx2>(w, x, y);
        }
    }
    // SAFETY: the token proves that the processor has the features that the function is compiled for.
    unsafe { compiled::<N>(isa, w, x, y) }
}

/// Define `$name`, which is `$module::$kernel` for `$vectors` vectors compiled for a set: whoever has the token can call it.
macro_rules! compile {
    ($set:ident $token:ident, $name:ident<$kind:ident>($x:ty), $vectors:expr, $module:ident::$kernel:ident<$($args:tt),+>) => {
        #[inline(always)]
        fn $name<K: $kind>(isa: $token, w: QuantMatrix<'_>, x: $x, y: &mut [f32]) {
            features! {
                $set compile unsafe fn compiled<K: $kind>(isa: $token, w: QuantMatrix<'_>, x: $x, y: &mut [f32]) {
                    // SAFETY: the operands are those that were asserted below.
                    unsafe { $module::$kernel::<$($args),+>(isa, w, x, y) }
                }
            }
            $module::assert_operands::<K>(w, x, $vectors);
            // SAFETY: the token proves that the processor has the features that the function is compiled for, and the
            // operands are those that the kernel asks for.
            unsafe { compiled::<K>(isa, w, x, y) }
        }
    };
}

compile!(avx2 Avx2, avx2_exact_one<Numbers>(&[f32]), 1, exact::one<K>);
compile!(avx2 Avx2, avx2_exact_tile<Numbers>(&[f32]), LANES, exact::many<K, 1>);
compile!(avx2 Avx2, avx2_int8_one<Codes>(Int8<'_>), 1, int8::one<K, Avx2>);
compile!(avx2 Avx2, avx2_int8_tile<Codes>(Int8<'_>), LANES, int8::many<K, Avx2>);
compile!(vnni Vnni, vnni_exact_tile<Numbers>(&[f32]), LANES, exact::many<K, 3>);
compile!(vnni Vnni, vnni_exact_twos<Numbers>(&[f32]), 2 * LANES, exact::wide<K, 3>);
compile!(vnni Vnni, vnni_int8_one<Codes>(Int8<'_>), 1, int8::one<K, Vnni>);
compile!(vnni Vnni, vnni_int8_tile<Codes>(Int8<'_>), LANES, int8::many<K, Vnni>);
compile!(vnni Vnni, vnni_int8_twos<Codes>(Int8<'_>), 2 * LANES, int8::wide<K, 1>);
compile!(vnni Vnni, vnni_int8_fours<Codes>(Int8<'_>), 4 * LANES, int8::wide<K, 2>);
