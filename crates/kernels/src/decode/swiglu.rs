//! gate, up → factor·silu(gate)·up

use crate::simd::{silu, simd};

simd! {
    /// `hidden = factor·silu(gate)·up`: between the two products of an expert, whose weight for the token is the factor.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn swiglu<S>(gate: &[f32], up: &[f32], factor: f32, hidden: &mut [f32]) {
        assert_eq!([gate.len(), up.len()], [hidden.len(); 2], "gate and up");
        for ((hidden, gate), up) in hidden.iter_mut().zip(gate).zip(up) {
            *hidden = factor * silu::<S>(*gate) * up;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::{assert_close, wide},
        simd::{Level, with_level},
        test_data::uniform,
    };

    #[test]
    fn agrees_with_its_definition() {
        for f in [1, 15, 16, 17, 128] {
            let (gate, up) = (uniform(f, 1), uniform(f, 2));
            let silu = |x: f64| x / (1.0 + (-x).exp());
            let expected: Vec<f64> = wide(&gate).iter().zip(wide(&up)).map(|(g, u)| 0.25 * silu(*g) * u).collect();
            for level in Level::available() {
                let mut hidden = vec![f32::NAN; f];
                with_level(level, 1, || swiglu(&gate, &up, 0.25, &mut hidden));
                assert_close(&hidden, &expected, 1e-6, (f, level));
            }
        }
    }
}
