//! x + m·branch → x → rms_norm → u

use crate::{
    rms_norm::inverse_rms,
    simd::{mul_add, simd},
    sums::dot,
};

simd! {
    /// `x ← x + m·branch` and `u = x / √(mean(x²) + ε) · w`, a row at a time: where one branch of the model ends and the
    /// next begins. Nothing is added if there is no branch.
    ///
    /// # Shapes
    /// `x`, `u`: [t, d]; `branch`: [t, d] or empty; `w`: `[d]`
    ///
    /// # Panics
    /// If the lengths do not fit.
    pub fn join_norm<S>(x: &mut [f32], branch: &[f32], m: f32, w: &[f32], eps: f32, u: &mut [f32]) {
        let d = w.len();
        assert!(d > 0 && x.len().is_multiple_of(d), "rows of {d} floats: {}", x.len());
        assert!(branch.is_empty() || branch.len() == x.len(), "a branch of {} floats for {}", branch.len(), x.len());
        assert_eq!(u.len(), x.len(), "output");
        for (x, y) in x.iter_mut().zip(branch) {
            *x = mul_add::<S>(m, *y, *x);
        }
        for (x, u) in x.chunks_exact(d).zip(u.chunks_exact_mut(d)) {
            let r = inverse_rms(dot::<S>(x, x), d, eps);
            for ((u, x), w) in u.iter_mut().zip(x).zip(w) {
                *u = x * r * w;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::{assert_close, wide},
        reference::rms_norm,
        simd::{Level, with_level},
        test_data::uniform,
    };

    #[test]
    fn agrees_with_the_sum_and_its_norm() {
        for (t, d, has_branch) in
            [(1, 1, false), (1, 1, true), (2, 15, true), (1, 16, true), (3, 17, false), (2, 128, true)]
        {
            let (x, w) = (uniform(t * d, 1), uniform(d, 3));
            let branch = if has_branch { uniform(t * d, 2) } else { vec![] };
            let mut sums = wide(&x);
            sums.iter_mut().zip(&branch).for_each(|(sum, y)| *sum += 0.5 * f64::from(*y));
            for level in Level::available() {
                let (mut found, mut u) = (x.clone(), vec![f32::NAN; t * d]);
                with_level(level, 1, || join_norm(&mut found, &branch, 0.5, &w, 1e-5, &mut u));
                assert_close(&found, &sums, 1e-6, (t, d, level));
                assert_close(&u, &rms_norm(&sums, &wide(&w), f64::from(1e-5f32)), 1e-5, (t, d, level));
            }
        }
    }
}
