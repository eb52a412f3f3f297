//! x → m·x; sum, x → sum + x; from, to → a point between them

use rayon::prelude::*;

use crate::{TASK_LEN, simd::simd};

/// `out = m·x`.
///
/// # Panics
/// If the slices differ in length.
pub fn scale(x: &[f32], m: f32, out: &mut [f32]) {
    assert_eq!(out.len(), x.len(), "m·x of different lengths");
    x.par_chunks(TASK_LEN).zip(out.par_chunks_mut(TASK_LEN)).for_each(|(x, out)| scale_part(x, m, out));
}

simd! {
    /// [`scale`] on this thread.
    fn scale_part<S>(x: &[f32], m: f32, out: &mut [f32]) {
        for (out, x) in out.iter_mut().zip(x) {
            *out = m * x;
        }
    }
}

/// `sum += x`.
///
/// # Panics
/// If the slices differ in length.
pub fn add(x: &[f32], sum: &mut [f32]) {
    assert_eq!(sum.len(), x.len(), "a sum of different lengths");
    x.par_chunks(TASK_LEN).zip(sum.par_chunks_mut(TASK_LEN)).for_each(|(x, sum)| add_part(x, sum));
}

simd! {
    /// [`add`] on this thread.
    fn add_part<S>(x: &[f32], sum: &mut [f32]) {
        for (sum, x) in sum.iter_mut().zip(x) {
            *sum += x;
        }
    }
}

/// `from += share·(to − from)`.
///
/// # Panics
/// If the slices differ in length.
pub fn lerp(from: &mut [f32], to: &[f32], share: f32) {
    assert_eq!(from.len(), to.len(), "a point between slices of different lengths");
    from.par_chunks_mut(TASK_LEN).zip(to.par_chunks(TASK_LEN)).for_each(|(from, to)| lerp_part(from, to, share));
}

simd! {
    /// [`lerp`] on this thread.
    fn lerp_part<S>(from: &mut [f32], to: &[f32], share: f32) {
        for (from, to) in from.iter_mut().zip(to) {
            *from += share * (to - *from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::{assert_close, wide},
        reference,
        simd::{Level, with_level},
        test_data::{AWKWARD_LENGTHS, for_thread_counts, uniform},
    };

    #[test]
    fn all_agree_with_their_twins_at_awkward_lengths() {
        for n in AWKWARD_LENGTHS {
            let (x, before) = (uniform(n, 1), uniform(n, 2));
            for level in Level::available() {
                let mut out = vec![f32::NAN; n];
                with_level(level, 2, || scale(&x, 0.3, &mut out));
                assert_close(&out, &reference::scale(&wide(&x), 0.3f32.into()), 1e-7, ("scale", n, level));
                let mut sum = before.clone();
                with_level(level, 2, || add(&x, &mut sum));
                assert_close(&sum, &reference::add(&wide(&x), &wide(&before)), 1e-7, ("add", n, level));
                let mut between = before.clone();
                with_level(level, 2, || lerp(&mut between, &x, 0.3));
                let twin = reference::lerp(&wide(&before), &wide(&x), 0.3f32.into());
                assert_close(&between, &twin, 1e-7, ("lerp", n, level));
            }
        }
    }

    #[test]
    fn every_thread_count_gives_the_same_bits() {
        let x = uniform(3 * TASK_LEN + 5, 1);
        let results = for_thread_counts(|| {
            let mut out = vec![0.0; x.len()];
            scale(&x, 0.7, &mut out);
            add(&x, &mut out);
            lerp(&mut out, &x, 0.3);
            out
        });
        assert!(results.iter().all(|result| *result == results[0]));
    }
}
