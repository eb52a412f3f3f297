//! Rows combined with rows, beside the sweeps: inner products and scaled sums.

#![expect(unsafe_code, reason = "vectors are loaded and stored by pointers")]

use crate::{
    shared::{Rows, RowsMut},
    simd::{Isa, Lanes, MAX_LANES, simd},
};

/// Rows that memory gets to fetch those that are written.
const AHEAD: usize = 16;

simd! {
    /// `products[t] = ⟨a_t, b_t⟩` for as many rows as there are products.
    ///
    /// # Panics
    /// If there are fewer rows, or they differ in width.
    pub(super) fn row_products<S>[isa](a: Rows<'_>, b: Rows<'_>, products: &mut [f32]) {
        a.assert_rows(products.len());
        b.assert_rows(products.len());
        assert_eq!(a.width, b.width, "rows of one width");
        let n = S::Lanes::N;
        for (block, products) in products.chunks_mut(n).enumerate() {
            let (a, b) = (a.from(block * n), b.from(block * n));
            let sums = if products.len() == n {
                block_products::<S, true>(isa, a, b, n)
            } else {
                block_products::<S, false>(isa, a, b, products.len())
            };
            // SAFETY: `products` has room for its own length, which is at most N.
            unsafe { S::Lanes::sums(&sums).store_up_to(products.as_mut_ptr(), products.len()) };
        }
    }
}

/// The lanes of the inner products of N rows, or of the first `rows` unless FULL.
#[inline(always)]
fn block_products<S: Isa, const FULL: bool>(isa: S, a: Rows<'_>, b: Rows<'_>, rows: usize) -> [S::Lanes; MAX_LANES] {
    let mut sums = [isa.splat(0.0); MAX_LANES];
    for lane in (0..a.width).step_by(S::Lanes::N) {
        let left = a.width - lane;
        // stepped from row to row: sixteen products with the stride would need sixteen registers
        let (mut a_row, mut b_row) = (a.address(0, lane), b.address(0, lane));
        for (i, sum) in sums[..S::Lanes::N].iter_mut().enumerate() {
            debug_assert!(a_row == a.at(i.min(rows - 1), lane, left) && b_row == b.at(i.min(rows - 1), lane, left));
            // SAFETY: `row_products` checked that there are `rows` rows of `width` floats, of which `left` are left; the last
            // row is read again where there are none.
            *sum = unsafe { isa.load_up_to(a_row, left).mul_add(isa.load_up_to(b_row, left), *sum) };
            if FULL || i + 1 < rows {
                (a_row, b_row) = (a_row.wrapping_add(a.stride), b_row.wrapping_add(b.stride));
            }
        }
    }
    sums
}

simd! {
    /// `out_t = a_scale_t·a_t + b_scale_t·b_t`, or `out_t += …` if `add`, for every row of `out`.
    ///
    /// # Panics
    /// If there are fewer rows or scales, or rows differ in width.
    pub(super) fn combine<S>[isa](a: (Rows<'_>, &[f32]), b: (Rows<'_>, &[f32]), out: RowsMut<'_>, add: bool) {
        let ((a, a_scale), (b, b_scale)) = (a, b);
        a.assert_rows(out.rows);
        b.assert_rows(out.rows);
        assert_eq!([a.width, b.width], [out.width; 2], "rows of one width");
        let (a_scale, b_scale) = (&a_scale[..out.rows], &b_scale[..out.rows]);
        for lane in (0..out.width).step_by(S::Lanes::N) {
            let left = out.width - lane;
            let (mut a_row, mut b_row) = (a.address(0, lane), b.address(0, lane));
            for (t, (a_scale, b_scale)) in a_scale.iter().zip(b_scale).enumerate() {
                S::prefetch_to_write(out.address(t + AHEAD, lane));
                debug_assert!(a_row == a.at(t, lane, left) && b_row == b.at(t, lane, left));
                let to = out.at(t, lane, left);
                // SAFETY: the assertions above: all three have `out.rows` rows of `width` floats, of which `left` are left.
                unsafe {
                    let mut sum = isa.load_up_to(b_row, left).mul(isa.splat(*b_scale));
                    if add {
                        sum = sum.add(isa.load_up_to(to, left));
                    }
                    sum = isa.load_up_to(a_row, left).mul_add(isa.splat(*a_scale), sum);
                    sum.store_up_to(to, left);
                }
                (a_row, b_row) = (a_row.wrapping_add(a.stride), b_row.wrapping_add(b.stride));
            }
        }
    }
}

simd! {
    /// Σ a·b
    ///
    /// # Panics
    /// If `b` is shorter.
    pub(super) fn inner_product<S>[isa](a: &[f32], b: &[f32]) -> f32 {
        const CHAINS: usize = 4;
        let (b, n) = (&b[..a.len()], S::Lanes::N);
        let step = CHAINS * n;
        let whole = a.len() / step * step;
        let mut sums = [isa.splat(0.0); MAX_LANES];
        for at in (0..whole).step_by(step) {
            for (chain, sum) in sums[..CHAINS].iter_mut().enumerate() {
                let at = at + chain * n;
                // SAFETY: `at` + N ≤ `whole`, which is at most the length of both slices.
                *sum = unsafe { isa.load(a.as_ptr().add(at)).mul_add(isa.load(b.as_ptr().add(at)), *sum) };
            }
        }
        for at in (whole..a.len()).step_by(n) {
            let left = (a.len() - at).min(n);
            // SAFETY: `at` + `left` is at most the length of both slices.
            let (a, b) = unsafe { (isa.load_part(a.as_ptr().add(at), left), isa.load_part(b.as_ptr().add(at), left)) };
            sums[0] = a.mul_add(b, sums[0]);
        }
        let mut sum = [0.0; MAX_LANES];
        // SAFETY: there is room for the most lanes of any set.
        unsafe { S::Lanes::sums(&sums).store(sum.as_mut_ptr()) };
        (sum[0] + sum[1]) + (sum[2] + sum[3])
    }
}

simd! {
    /// `out_t = Σ parts_{i, t}` over `count` matrices that begin `distance` rows of `parts` apart, in order, for every row
    /// of `out`.
    ///
    /// # Panics
    /// If there are fewer rows, or rows differ in width.
    pub(super) fn sum_parts<S>[isa](parts: Rows<'_>, count: usize, distance: usize, out: RowsMut<'_>) {
        assert!(count > 0 && parts.width == out.width, "matrices of rows of one width");
        parts.assert_rows((count - 1) * distance + out.rows);
        for t in 0..out.rows {
            for lane in (0..out.width).step_by(S::Lanes::N) {
                let left = out.width - lane;
                S::prefetch_to_write(out.address(t + AHEAD, lane));
                // SAFETY: the assertions above: row i·distance + t of `parts` and row t of `out` have `width` floats, of
                // which `left` are left.
                unsafe {
                    let mut sum = isa.load_up_to(parts.at(t, lane, left), left);
                    for i in 1..count {
                        sum = sum.add(isa.load_up_to(parts.at(i * distance + t, lane, left), left));
                    }
                    sum.store_up_to(out.at(t, lane, left), left);
                }
            }
        }
    }
}
