//! Passes over the transposed logits of a block of tokens.

use std::marker::PhantomData;

use crate::simd::{Isa, exp, simd};

/// Tokens of a block, side by side.
pub(super) const LANES: usize = 32;

/// Exponents below this count as −∞: e⁻⁶⁰ ≈ 1e-26 changes no sum in f32, and its products with gradients stay normal.
const NEGLIGIBLE: f32 = -60.0;

/// Rows that are summed before their sum joins the others, which keeps rounding to that of a short sum.
const RUN: usize = 64;

/// One block's columns in every row of a slab.
pub(super) struct Slab<'a> {
    first: *mut f32,
    stride: usize,
    rows: usize,
    slab: PhantomData<&'a mut [f32]>,
}

#[expect(unsafe_code, reason = "see SAFETY")]
// SAFETY: `columns` hands out ranges that do not overlap, so two threads never write the same element.
unsafe impl Send for Slab<'_> {}

impl<'a> Slab<'a> {
    /// The blocks of a slab whose rows are `stride` apart.
    pub(super) fn columns(slab: &'a mut [f32], stride: usize) -> impl Iterator<Item = Self> {
        let (rows, first) = (slab.len() / stride, slab.as_mut_ptr());
        (0..stride / LANES).map(move |block| Self {
            first: first.wrapping_add(block * LANES),
            stride,
            rows,
            slab: PhantomData,
        })
    }

    #[inline(always)]
    #[expect(unsafe_code, reason = "see SAFETY")]
    pub(super) fn write_row(&mut self, row: usize, values: &[f32; LANES]) {
        assert!(row < self.rows);
        // SAFETY: the row is one of the slab's, checked above, and this block's columns lie inside it since
        // (block + 1)·LANES ≤ stride.
        unsafe { self.first.add(row * self.stride).cast::<[f32; LANES]>().write(*values) }
    }
}

simd! {
    /// The largest of each column.
    pub(super) fn max<S>(z: &[f32]) -> [f32; LANES] {
        let mut max = [f32::NEG_INFINITY; LANES];
        for row in z.as_chunks::<LANES>().0 {
            for (max, z) in max.iter_mut().zip(row) {
                *max = if *z > *max { *z } else { *max };
            }
        }
        max
    }
}

simd! {
    /// z ← exp(z − max), and the sum of each column.
    pub(super) fn exp_and_sum<S>(z: &mut [f32], max: &[f32; LANES]) -> [f32; LANES] {
        exponentials::<S>(z, max, |_, _| ())
    }
}

simd! {
    /// [`exp_and_sum`] that writes the exponentials into `slab` too.
    pub(super) fn exp_and_sum_twice<S>(z: &mut [f32], max: &[f32; LANES], slab: &mut Slab<'_>) -> [f32; LANES] {
        exponentials::<S>(z, max, |row, values| slab.write_row(row, values))
    }
}

#[inline(always)]
fn exponentials<S: Isa>(z: &mut [f32], max: &[f32; LANES], mut copy: impl FnMut(usize, &[f32; LANES])) -> [f32; LANES] {
    let mut sums = [0.0; LANES];
    for (run, rows) in z.as_chunks_mut::<LANES>().0.chunks_mut(RUN).enumerate() {
        let mut part = [0.0; LANES];
        for (row, z) in rows.iter_mut().enumerate() {
            for (lane, z) in z.iter_mut().enumerate() {
                let x = *z - max[lane];
                let e = if x < NEGLIGIBLE { 0.0 } else { exp::<S>(x) };
                *z = e;
                part[lane] += e;
            }
            copy(run * RUN + row, z);
        }
        sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
    }
    sums
}
