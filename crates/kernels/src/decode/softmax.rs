//! logits → the likeliest token, nats of one, likelihoods of all

use crate::{
    simd::{Isa, exp, simd},
    sums::LANES,
};

simd! {
    /// The index of the largest logit, the lowest of those that tie; logits that are no numbers do not count. 0 if none
    /// does.
    pub fn likeliest<S>(logits: &[f32]) -> usize {
        let largest = largest(logits);
        let has_it = |block: &[f32]| block.iter().fold(false, |found, x| found | (*x == largest));
        let skipped = LANES * logits.as_chunks::<LANES>().0.iter().take_while(|block| !has_it(*block)).count();
        logits[skipped..].iter().position(|x| *x == largest).map_or(0, |index| skipped + index)
    }
}

simd! {
    /// Nats that the token `target` costs: ln Σ eˣ − x\[target\].
    ///
    /// # Panics
    /// If there is no such token.
    pub fn nats<S>(logits: &[f32], target: usize) -> f64 {
        let largest = largest(logits);
        let sum = sum_of_exp::<S>(logits, largest, 1.0, |_, _| ());
        sum.ln() + (f64::from(largest) - f64::from(logits[target]))
    }
}

simd! {
    /// `weights = e^((x − max x)·scale)`: likelihoods relative to the most likely token's. Returns their sum, exact but
    /// for roundings of f64.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn likelihoods<S>(logits: &[f32], scale: f32, weights: &mut [f32]) -> f64 {
        assert_eq!(logits.len(), weights.len(), "a weight for each logit");
        let largest = largest(logits);
        sum_of_exp::<S>(logits, largest, scale, |at, terms| weights[at..at + terms.len()].copy_from_slice(terms))
    }
}

/// The largest number; −∞ if there is none.
#[inline(always)]
pub(super) fn largest(x: &[f32]) -> f32 {
    let (blocks, rest) = x.as_chunks::<LANES>();
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for block in blocks {
        for (lane, x) in lanes.iter_mut().zip(block) {
            *lane = if *x > *lane { *x } else { *lane };
        }
    }
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |largest, x| if *x > largest { *x } else { largest })
}

/// Σ e^((x − largest)·scale), whose terms `each` gets with their position.
#[inline(always)]
fn sum_of_exp<S: Isa>(x: &[f32], largest: f32, scale: f32, mut each: impl FnMut(usize, &[f32])) -> f64 {
    let mut lanes = [0.0; LANES];
    for (block, x) in x.chunks(LANES).enumerate() {
        let mut terms = [f32::NEG_INFINITY; LANES];
        terms[..x.len()].copy_from_slice(x);
        for (lane, term) in lanes.iter_mut().zip(&mut terms) {
            *term = exp::<S>((*term - largest) * scale);
            *lane += f64::from(*term);
        }
        each(block * LANES, &terms[..x.len()]);
    }
    lanes.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::{assert_close, wide},
        simd::{Level, with_level},
        test_data::uniform,
    };

    fn logits(v: usize) -> Vec<f32> {
        uniform(v, 1).iter().map(|x| 12.0 * x).collect()
    }

    #[test]
    fn the_likeliest_is_the_first_of_the_largest() {
        for level in Level::available() {
            for v in [1, 15, 16, 17, 40, 4097] {
                let mut x = logits(v);
                for at in [v - 1, v / 2, v / 3] {
                    x[at] = 20.0;
                    assert_eq!(with_level(level, 1, || likeliest(&x)), at, "{v}, {level:?}");
                }
                x[0] = f32::NAN;
                assert_eq!(with_level(level, 1, || likeliest(&x)), v / 3, "{v}, {level:?}");
                x.fill(f32::NEG_INFINITY);
                assert_eq!(with_level(level, 1, || likeliest(&x)), 0, "{v}, {level:?}");
            }
        }
        assert_eq!(likeliest(&[]), 0);
    }

    #[test]
    fn nats_agree_with_their_definition() {
        for v in [1, 15, 16, 17, 4097] {
            let x = logits(v);
            let exact = wide(&x).iter().map(|x| x.exp()).sum::<f64>().ln();
            for level in Level::available() {
                for target in [0, v / 2, v - 1] {
                    let found = with_level(level, 1, || nats(&x, target));
                    assert!((found - (exact - f64::from(x[target]))).abs() < 1e-6, "{v}, {target}, {level:?}");
                }
            }
        }
    }

    #[test]
    fn nats_are_finite_where_exponentials_are_not() {
        assert_eq!(nats(&[1e4, -1e4], 1), 2e4);
        assert_eq!(nats(&[-1e4, -1e4], 1), std::f64::consts::LN_2);
    }

    #[test]
    fn likelihoods_agree_with_their_definition() {
        for v in [1, 15, 16, 17, 4097] {
            let x = logits(v);
            let top = x.iter().fold(f64::MIN, |top, x| top.max(f64::from(*x)));
            let expected: Vec<f64> = x.iter().map(|x| ((f64::from(*x) - top) * 1.25).exp()).collect();
            for level in Level::available() {
                let mut weights = vec![f32::NAN; v];
                let sum = with_level(level, 1, || likelihoods(&x, 1.25, &mut weights));
                assert_close(&weights, &expected, 1e-6, (v, level));
                let exact: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
                assert!((sum / exact - 1.0).abs() < 1e-12, "{v}, {level:?}: {sum} against {exact}");
            }
        }
    }
}
