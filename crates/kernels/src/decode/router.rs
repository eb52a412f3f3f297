//! logits → the k largest → softmax over them

use crate::simd::{exp, simd};

simd! {
    /// The experts with the largest logits (ties to the lower index), from the largest, and a softmax over the chosen
    /// (arXiv 2401.04088 §2.1). As many as there is room for.
    ///
    /// Logits that are not numbers still give different ids; their weights are NaN.
    ///
    /// # Shapes
    /// `logits`: `[e]`, `ids`, `weights`: `[k]`
    ///
    /// # Panics
    /// Unless 0 < k ≤ e and there are as many weights as ids.
    pub fn choose<S>(logits: &[f32], ids: &mut [u32], weights: &mut [f32]) {
        assert!((1..=logits.len()).contains(&ids.len()), "{} of {} experts", ids.len(), logits.len());
        assert_eq!(ids.len(), weights.len(), "a weight for each expert chosen");
        let mut previous = i64::MAX;
        for (id, weight) in ids.iter_mut().zip(&mut *weights) {
            let ranks = logits.iter().zip(0..).map(|(logit, e)| rank(*logit, e));
            previous = ranks.fold(i64::MIN, |best, rank| if rank < previous { best.max(rank) } else { best });
            *id = u32::MAX - previous as u32;
            *weight = logits[*id as usize];
        }
        let (largest, mut sum) = (weights[0], 0.0);
        for weight in &mut *weights {
            *weight = exp::<S>(*weight - largest);
            sum += *weight;
        }
        for weight in weights {
            *weight /= sum;
        }
    }
}

/// A number that orders experts: by logit, then the lower index first. No two are equal.
#[inline(always)]
fn rank(logit: f32, expert: u32) -> i64 {
    // the total order of IEEE 754: negative numbers run backwards
    let bits = logit.to_bits() as i32;
    let key = bits ^ ((bits >> 31) as u32 >> 1) as i32;
    i64::from(key) << 32 | i64::from(u32::MAX - expert)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::{assert_close, wide},
        reference,
        simd::{Level, with_level},
        test_data::uniform,
    };

    fn chosen(logits: &[f32], k: usize, level: Level) -> (Vec<u32>, Vec<f32>) {
        let (mut ids, mut weights) = (vec![u32::MAX; k], vec![f32::NAN; k]);
        with_level(level, 1, || choose(logits, &mut ids, &mut weights));
        (ids, weights)
    }

    #[test]
    fn agrees_with_the_twin_ties_included() {
        for (e, k) in [(1, 1), (4, 2), (7, 7), (17, 3), (64, 8)] {
            for (seed, levels) in [(1, 1e6), (2, 2.0), (3, 1.0)] {
                // few levels make many ties
                let logits: Vec<f32> = uniform(e, seed).iter().map(|x| (x * levels).round() * 3.0 / levels).collect();
                let one = reference::route(&[1.0], &wide(&logits), e, k);
                for level in Level::available() {
                    let (ids, weights) = chosen(&logits, k, level);
                    assert_eq!(ids, one.expert_ids, "{k} of {e}, {levels} levels, {level:?}");
                    assert_close(&weights, &one.expert_weights, 1e-6, (e, k, level));
                }
            }
        }
    }

    #[test]
    fn logits_that_are_no_numbers_still_give_different_experts() {
        for level in Level::available() {
            let (mut ids, _) = chosen(&[f32::NAN, f32::NEG_INFINITY, f32::NAN, -f32::NAN], 4, level);
            ids.sort_unstable();
            assert_eq!(ids, [0, 1, 2, 3]);
        }
    }
}
