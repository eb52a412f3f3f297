//! Rows combined with rows, beside the sweeps: inner products and scaled sums.

#![expect(unsafe_code, reason = "vectors, and rows that other tasks write beside")]

use super::{
    lanes::{Lanes, MAX_LANES, lanes},
    rows::{Rows, RowsMut},
};

/// Rows that memory gets to fetch those that are written.
const AHEAD: usize = 16;

lanes! {
    /// `products[t] = ⟨a_t, b_t⟩` for as many rows as there are products.
    ///
    /// # Safety
    /// The rows exist.
    pub(super) unsafe fn row_products<V>(a: Rows<'_>, b: Rows<'_>, products: &mut [f32]) {
        for (block, products) in products.chunks_mut(V::N).enumerate() {
            let (a, b) = (a.from(block * V::N), b.from(block * V::N));
            // SAFETY: as many rows from the block's first on as it has products.
            unsafe {
                let sums = if products.len() == V::N {
                    block_products::<V, true>(a, b, V::N)
                } else {
                    block_products::<V, false>(a, b, products.len())
                };
                V::sums(&sums).store_up_to(products.as_mut_ptr(), products.len());
            }
        }
    }
}

/// The lanes of the inner products of N rows, or of the first `rows` unless FULL.
#[inline(always)]
unsafe fn block_products<V: Lanes, const FULL: bool>(a: Rows<'_>, b: Rows<'_>, rows: usize) -> [V; MAX_LANES] {
    // SAFETY: the caller's; the last row is read again where there are none.
    unsafe {
        let mut sums = [V::splat(0.0); MAX_LANES];
        for lane in (0..a.width).step_by(V::N) {
            let left = a.width - lane;
            let (mut a_row, mut b_row) = (a.pointer(0).add(lane), b.pointer(0).add(lane));
            for (i, sum) in sums[..V::N].iter_mut().enumerate() {
                *sum = V::load_up_to(a_row, left).mul_add(V::load_up_to(b_row, left), *sum);
                if FULL || i + 1 < rows {
                    (a_row, b_row) = (a_row.wrapping_add(a.stride), b_row.wrapping_add(b.stride));
                }
            }
        }
        sums
    }
}

lanes! {
    /// `out_t = a_scale_t·a_t + b_scale_t·b_t`, or `out_t += …` if `add`, for as many rows as there are scales.
    ///
    /// # Safety
    /// The rows exist, those of `out` of the width of `a`; nobody else reads or writes those of `out`.
    pub(super) unsafe fn combine<V>(
        a: (Rows<'_>, &[f32]), b: (Rows<'_>, &[f32]), out: RowsMut<'_>, add: bool,
    ) {
        let ((a, a_scale), (b, b_scale)) = (a, b);
        for lane in (0..a.width).step_by(V::N) {
            let left = a.width - lane;
            let (mut a_row, mut b_row) = (a.pointer(0).wrapping_add(lane), b.pointer(0).wrapping_add(lane));
            for (t, (a_scale, b_scale)) in a_scale.iter().zip(b_scale).enumerate() {
                let out_row = out.row(t).wrapping_add(lane);
                // SAFETY: `left` lanes of row t; a prefetch may be of anything.
                unsafe {
                    V::prefetch_to_write(out.row(t + AHEAD).wrapping_add(lane));
                    let mut sum = V::load_up_to(b_row, left).mul(V::splat(*b_scale));
                    if add {
                        sum = sum.add(V::load_up_to(out_row, left));
                    }
                    sum = V::load_up_to(a_row, left).mul_add(V::splat(*a_scale), sum);
                    sum.store_up_to(out_row, left);
                }
                (a_row, b_row) = (a_row.wrapping_add(a.stride), b_row.wrapping_add(b.stride));
            }
        }
    }
}

lanes! {
    /// Σ a·b
    ///
    /// # Safety
    /// None: slices are checked.
    pub(super) unsafe fn inner_product<V>(a: &[f32], b: &[f32]) -> f32 {
        const CHAINS: usize = 4;
        let b = &b[..a.len()];
        let step = CHAINS * V::N;
        let whole = a.len() / step * step;
        // SAFETY: all within the slices, which are of one length.
        unsafe {
            let mut sums = [V::splat(0.0); MAX_LANES];
            for at in (0..whole).step_by(step) {
                for (chain, sum) in sums[..CHAINS].iter_mut().enumerate() {
                    let at = at + chain * V::N;
                    *sum = V::load(a.as_ptr().add(at)).mul_add(V::load(b.as_ptr().add(at)), *sum);
                }
            }
            for at in (whole..a.len()).step_by(V::N) {
                let left = (a.len() - at).min(V::N);
                let (a, b) = (V::load_part(a.as_ptr().add(at), left), V::load_part(b.as_ptr().add(at), left));
                sums[0] = a.mul_add(b, sums[0]);
            }
            let mut sum = [0.0; MAX_LANES];
            V::sums(&sums).store(sum.as_mut_ptr());
            (sum[0] + sum[1]) + (sum[2] + sum[3])
        }
    }
}

lanes! {
    /// `out_t = Σ parts_{i, t}` over `count` matrices that begin `distance` rows of `parts` apart, in order.
    ///
    /// # Safety
    /// All have `len` rows of `width` elements; nobody else writes them, or reads or writes those of `out`.
    pub(super) unsafe fn sum_parts<V>(
        parts: (RowsMut<'_>, usize), count: usize, distance: usize, len: usize, out: RowsMut<'_>,
    ) {
        let (parts, width) = parts;
        for t in 0..len {
            for lane in (0..width).step_by(V::N) {
                let left = width - lane;
                // SAFETY: `left` lanes of row t; a prefetch may be of anything.
                unsafe {
                    V::prefetch_to_write(out.row(t + AHEAD).wrapping_add(lane));
                    let mut sum = V::load_up_to(parts.row(t).add(lane), left);
                    for i in 1..count {
                        sum = sum.add(V::load_up_to(parts.row(i * distance + t).add(lane), left));
                    }
                    sum.store_up_to(out.row(t).add(lane), left);
                }
            }
        }
    }
}
