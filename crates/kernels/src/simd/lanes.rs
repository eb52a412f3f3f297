//! Vectors of f32, for loops whose data must stay in registers.

#![expect(unsafe_code, reason = "loads and stores take a pointer")]

/// The most lanes of any set.
pub(crate) const MAX_LANES: usize = 16;

/// A vector, which only the token of its [`Isa`](super::Isa) makes: to have one is to be allowed its instructions.
pub(crate) trait Lanes: Copy {
    /// How many lanes there are.
    const N: usize;

    /// Store every lane.
    ///
    /// # Safety
    /// - `to` is valid for writes of [`N`](Self::N) floats, of any alignment.
    unsafe fn store(self, to: *mut f32);

    /// Store the first `lanes` ≤ N.
    ///
    /// # Safety
    /// - `to` is valid for writes of `lanes` floats, of any alignment.
    unsafe fn store_part(self, to: *mut f32, lanes: usize);

    /// Store the first `lanes`, or all if that is more.
    ///
    /// # Safety
    /// - `to` is valid for writes of `lanes.min(N)` floats, of any alignment.
    #[inline(always)]
    unsafe fn store_up_to(self, to: *mut f32, lanes: usize) {
        // SAFETY: `store_part` writes `lanes` floats where these are fewer than N, `store` writes N elsewhere.
        unsafe { if lanes < Self::N { self.store_part(to, lanes) } else { self.store(to) } }
    }

    /// Σ of the lanes of each of the first [`N`](Self::N) of `rows`, lane i that of row i.
    fn sums(rows: &[Self; MAX_LANES]) -> Self;

    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;

    /// self·b + c
    fn mul_add(self, b: Self, c: Self) -> Self;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Level, simd, with_level};

    simd! {
        /// Sums of as many rows as the lanes that the set in use has.
        fn sums_of_rows<S>[isa](rows: &[[f32; MAX_LANES]; MAX_LANES]) -> Vec<f32> {
            let mut vectors = [isa.splat(0.0); MAX_LANES];
            for (vector, row) in vectors.iter_mut().zip(rows) {
                // SAFETY: a row has as many floats as any vector has lanes.
                *vector = unsafe { isa.load(row.as_ptr()) };
            }
            let mut sums = vec![0.0; S::Lanes::N];
            // SAFETY: there is room for every lane.
            unsafe { S::Lanes::sums(&vectors).store(sums.as_mut_ptr()) };
            sums
        }
    }

    /// Of four lanes the even and the odd ones, of more the halves.
    fn sum(row: &[f32]) -> f32 {
        match row {
            [a, b, c, d] => (a + c) + (b + d),
            _ => sum(&row[..row.len() / 2]) + sum(&row[row.len() / 2..]),
        }
    }

    #[test]
    fn sums_add_up_in_the_same_order_in_every_set() {
        // of numbers so unlike that each order rounds in its own way
        let rows = std::array::from_fn(|i| {
            std::array::from_fn(|j| ((i * 37 + j * 101) as f32).sin() * 3.0_f32.powi(j as i32 % 7))
        });
        for level in Level::available() {
            let sums = with_level(level, 1, || sums_of_rows(&rows));
            let expected: Vec<f32> = rows[..sums.len()].iter().map(|row| sum(&row[..sums.len()])).collect();
            assert_eq!(sums, expected, "{level:?}");
        }
    }
}
