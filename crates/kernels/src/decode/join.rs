//! x + m·Σ branches → x → rms_norm → u

use crate::{
    simd::{mul_add, simd},
    sums::dot,
};

simd! {
    /// `x ← x + m·Σ branches` and `u = x / √(mean(x²) + ε) · w`: where one branch of the model ends and the next begins.
    ///
    /// # Shapes
    /// `x`, `w`, `u`: `[d]`; `branches`: [any number, d]
    ///
    /// # Panics
    /// If the lengths do not fit.
    pub fn join_norm<S>(x: &mut [f32], branches: &[f32], m: f32, w: &[f32], eps: f32, u: &mut [f32]) {
        let d = x.len();
        assert!(d > 0 && branches.len().is_multiple_of(d), "branches of {d} floats: {}", branches.len());
        assert_eq!([w.len(), u.len()], [d; 2], "gain and output");
        for branch in branches.chunks_exact(d) {
            for (x, y) in x.iter_mut().zip(branch) {
                *x = mul_add::<S>(m, *y, *x);
            }
        }
        let r = 1.0 / (dot::<S>(x, x) / d as f32 + eps).sqrt();
        for ((u, x), w) in u.iter_mut().zip(&*x).zip(w) {
            *u = x * r * w;
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
        for (d, branches) in [(1, 0), (1, 1), (15, 2), (16, 1), (17, 3), (128, 1)] {
            let (x, y, w) = (uniform(d, 1), uniform(d * branches, 2), uniform(d, 3));
            let sum =
                |i: usize| f64::from(x[i]) + 0.5 * y.iter().skip(i).step_by(d).map(|y| f64::from(*y)).sum::<f64>();
            let sums: Vec<f64> = (0..d).map(sum).collect();
            for level in Level::available() {
                let (mut found, mut u) = (x.clone(), vec![f32::NAN; d]);
                with_level(level, 1, || join_norm(&mut found, &y, 0.5, &w, 1e-5, &mut u));
                assert_close(&found, &sums, 1e-6, (d, branches, level));
                assert_close(&u, &rms_norm(&sums, &wide(&w), f64::from(1e-5f32)), 1e-5, (d, branches, level));
            }
        }
    }
}
