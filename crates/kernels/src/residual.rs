//! x + m·branch, and m·x.

use rayon::prelude::*;

use crate::{
    CHUNK_LEN,
    simd::{mul_add, simd},
};

/// `out = x + m·branch`.
///
/// # Panics
/// If the slices differ in length.
pub fn add_scaled(x: &[f32], branch: &[f32], m: f32, out: &mut [f32]) {
    assert!(branch.len() == x.len() && out.len() == x.len(), "x + m·branch of different lengths");
    let inputs = x.par_chunks(CHUNK_LEN).zip(branch.par_chunks(CHUNK_LEN));
    inputs.zip(out.par_chunks_mut(CHUNK_LEN)).for_each(|((x, branch), out)| add_scaled_chunk(x, branch, m, out));
}

/// `out = m·x`.
///
/// # Panics
/// If the slices differ in length.
pub fn scale(x: &[f32], m: f32, out: &mut [f32]) {
    assert_eq!(out.len(), x.len(), "m·x of different lengths");
    x.par_chunks(CHUNK_LEN).zip(out.par_chunks_mut(CHUNK_LEN)).for_each(|(x, out)| scale_chunk(x, m, out));
}

simd! {
    /// [`add_scaled`] on this thread.
    pub fn add_scaled_chunk<S>(x: &[f32], branch: &[f32], m: f32, out: &mut [f32]) {
        for ((out, x), branch) in out.iter_mut().zip(x).zip(branch) {
            *out = mul_add::<S>(m, *branch, *x);
        }
    }
}

simd! {
    /// [`scale`] on this thread.
    pub fn scale_chunk<S>(x: &[f32], m: f32, out: &mut [f32]) {
        for (out, x) in out.iter_mut().zip(x) {
            *out = m * x;
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
    fn agrees_with_the_twin_at_awkward_lengths() {
        for n in AWKWARD_LENGTHS {
            let (x, branch) = (uniform(n, 1), uniform(n, 2));
            for level in Level::available() {
                let (mut sum, mut scaled) = (vec![f32::NAN; n], vec![f32::NAN; n]);
                with_level(level, 2, || {
                    add_scaled(&x, &branch, 0.25, &mut sum);
                    scale(&x, 0.3, &mut scaled);
                });
                assert_close(&sum, &reference::add_scaled(&wide(&x), &wide(&branch), 0.25), 1e-7, (n, level));
                assert_close(
                    &scaled,
                    &reference::add_scaled(&vec![0.0; n], &wide(&x), 0.3f32.into()),
                    1e-7,
                    (n, level),
                );
            }
        }
    }

    #[test]
    fn every_thread_count_gives_the_same_bits() {
        let (x, branch) = (uniform(3 * CHUNK_LEN + 5, 1), uniform(3 * CHUNK_LEN + 5, 2));
        let results = for_thread_counts(|| {
            let mut out = vec![0.0; x.len()];
            add_scaled(&x, &branch, 0.7, &mut out);
            out
        });
        assert!(results.iter().all(|result| *result == results[0]));
    }
}
