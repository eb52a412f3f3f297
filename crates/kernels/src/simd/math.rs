//! Branch-free scalar functions for the loops of `simd!` bodies, which the compiler vectorises.

use super::Isa;

/// Adding 1.5·2²³ leaves the nearest integer in the low bits of the sum, for |x| < 2²².
pub(crate) const ROUND: f32 = 12_582_912.0;

/// `a·b + c`, fused where that is one instruction.
#[inline(always)]
pub(crate) fn mul_add<S: Isa>(a: f32, b: f32, c: f32) -> f32 {
    if S::FMA { a.mul_add(b, c) } else { a * b + c }
}

/// eˣ to 1 ulp or so; arguments below −87.33 give exactly 0, so that no result is subnormal, those above 88.37 give ∞.
///
/// x = n·ln 2 + r with |r| ≤ ln 2 / 2; eʳ by its Taylor polynomial of degree 7 in Horner form, 2ⁿ by its bits.
#[inline(always)]
pub(crate) fn exp<S: Isa>(x: f32) -> f32 {
    const LOW: f32 = -87.33;
    const HIGH: f32 = 88.37;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let clamped = x.clamp(LOW, HIGH);
    let rounded = mul_add::<S>(clamped, std::f32::consts::LOG2_E, ROUND);
    let n = rounded - ROUND;
    let r = mul_add::<S>(n, -LN_2_LOW, mul_add::<S>(n, -LN_2_HIGH, clamped));
    let mut p = 1.0 / 5040.0;
    for c in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = mul_add::<S>(p, r, c);
    }
    let exponent = rounded.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127);
    let y = p * f32::from_bits(exponent << 23);
    let y = if x < LOW { 0.0 } else { y };
    if x > HIGH { f32::INFINITY } else { y }
}

/// σ(x) = 1 / (1 + e⁻ˣ).
#[inline(always)]
pub(crate) fn sigmoid<S: Isa>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<S>(-x))
}

/// x·σ(x).
#[inline(always)]
pub(crate) fn silu<S: Isa>(x: f32) -> f32 {
    x * sigmoid::<S>(x)
}

/// d silu(x) / dx = σ(x)·(1 + x·(1 − σ(x))).
#[inline(always)]
pub(crate) fn silu_derivative<S: Isa>(x: f32) -> f32 {
    let s = sigmoid::<S>(x);
    s * mul_add::<S>(x, 1.0 - s, 1.0)
}

/// [`silu`] and [`silu_derivative`] of one x, for the price of one exponential.
#[inline(always)]
pub(crate) fn silu_and_derivative<S: Isa>(x: f32) -> (f32, f32) {
    let s = sigmoid::<S>(x);
    let silu = x * s;
    (silu, mul_add::<S>(silu, 1.0 - s, s))
}

/// ln x for normal x > 0, to 2 ulp or so.
///
/// x = 2ᵉ·m with m in √½..√2; ln m = 2·atanh(s), s = (m − 1)/(m + 1), by its odd series to s⁹.
#[inline(always)]
pub(crate) fn ln<S: Isa>(x: f32) -> f32 {
    const SQRT_HALF_BITS: i32 = 0x3f35_04f3;
    let shifted = x.to_bits() as i32 - SQRT_HALF_BITS;
    let e = shifted >> 23;
    let m = f32::from_bits(((shifted & 0x007f_ffff) + SQRT_HALF_BITS) as u32);
    let s = (m - 1.0) / (m + 1.0);
    let s2 = s * s;
    let mut p = 2.0 / 9.0;
    for c in [2.0 / 7.0, 2.0 / 5.0, 2.0 / 3.0, 2.0] {
        p = mul_add::<S>(p, s2, c);
    }
    mul_add::<S>(e as f32, std::f32::consts::LN_2, p * s)
}

/// softplus(x) = ln(1 + eˣ), as max(x, 0) + ln(1 + e^−|x|).
#[inline(always)]
pub(crate) fn softplus<S: Isa>(x: f32) -> f32 {
    let small = exp::<S>(-x.abs());
    // ln(1 + u) loses u's low bits to the 1; (u − ((1 + u) − 1)) / (1 + u) gives them back
    let one_plus = 1.0 + small;
    let lost = small - (one_plus - 1.0);
    x.max(0.0) + (ln::<S>(one_plus) + lost / one_plus)
}

#[cfg(test)]
mod tests {
    use crate::simd::{Level, with_level};

    type Scalar = fn(&[f32], &mut [f32]);

    macro_rules! over_slices {
        ($($name:ident),*) => { $(
            crate::simd::simd! {
                pub(super) fn $name<S>(x: &[f32], y: &mut [f32]) {
                    for (x, y) in x.iter().zip(y) {
                        *y = crate::simd::math::$name::<S>(*x);
                    }
                }
            }
        )* };
    }
    mod slices {
        over_slices!(exp, sigmoid, silu, silu_derivative, softplus, ln);
    }

    /// Largest |fast − exact| / max(|exact|, floor) over `x`, at every level.
    fn worst(f: Scalar, exact: fn(f64) -> f64, x: &[f32], floor: f64) -> f64 {
        let mut worst: f64 = 0.0;
        for level in Level::available() {
            let mut y = vec![f32::NAN; x.len()];
            with_level(level, 1, || f(x, &mut y));
            for (&x, &y) in x.iter().zip(&y) {
                let exact = exact(f64::from(x));
                let error = (f64::from(y) - exact).abs() / exact.abs().max(floor);
                assert!(!error.is_nan(), "{x} at {level:?}");
                worst = worst.max(error);
            }
        }
        worst
    }

    fn grid(low: f32, high: f32) -> Vec<f32> {
        (0..=100_003).map(|i| low + (high - low) * i as f32 / 100_003.0).collect()
    }

    #[test]
    fn scalar_functions_are_exact_to_a_few_ulp() {
        let sigma = |x: f64| 1.0 / (1.0 + (-x).exp());
        let ulp = f64::from(f32::EPSILON);
        assert!(worst(slices::exp, f64::exp, &grid(-87.0, 88.3), 0.0) < 1.5 * ulp);
        assert!(worst(slices::sigmoid, sigma, &grid(-80.0, 80.0), 0.0) < 3.0 * ulp);
        assert!(worst(slices::silu, |x| x / (1.0 + (-x).exp()), &grid(-80.0, 80.0), 1e-30) < 3.0 * ulp);
        let derivative = |x: f64| {
            let s = 1.0 / (1.0 + (-x).exp());
            s * (1.0 + x * (1.0 - s))
        };
        // 1 − σ(x) is off by half an ulp of 1, and x multiplies it
        assert!(worst(slices::silu_derivative, derivative, &grid(-40.0, 40.0), 1.0) < 10.0 * ulp);
        assert!(
            worst(slices::softplus, |x| x.max(0.0) + (-x.abs()).exp().ln_1p(), &grid(-80.0, 80.0), 0.0) < 4.0 * ulp
        );
        assert!(worst(slices::ln, f64::ln, &grid(1e-3, 10.0), 1e-3) < 4.0 * ulp);
    }

    #[test]
    fn exp_ends_cleanly() {
        let x = [-1e30, -100.0, -87.4, 0.0, 88.8, 1e30, f32::INFINITY, f32::NEG_INFINITY];
        let expected = [0.0, 0.0, 0.0, 1.0, f32::INFINITY, f32::INFINITY, f32::INFINITY, 0.0];
        for level in Level::available() {
            let mut y = [f32::NAN; 8];
            with_level(level, 1, || slices::exp(&x, &mut y));
            assert_eq!(y, expected, "{level:?}");
            let mut y = [0.0];
            with_level(level, 1, || slices::exp(&[f32::NAN], &mut y));
            assert!(y[0].is_nan(), "{level:?}");
        }
    }

    #[test]
    fn nothing_is_subnormal() {
        let x = grid(-110.0, -80.0);
        let mut y = vec![0.0; x.len()];
        slices::exp(&x, &mut y);
        assert!(y.iter().all(|y| *y == 0.0 || y.is_normal()));
    }
}
