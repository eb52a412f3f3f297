//! u → logits → the k largest → softmax over them

use crate::{
    simd::{Isa, exp, simd},
    sums::dot,
};

simd! {
    /// The experts with the largest logits (ties to the lower index), from the largest, and a softmax over the chosen
    /// (arXiv 2401.04088 §2.1). As many as there is room for.
    ///
    /// Logits that are not numbers still give different ids; their weights are NaN.
    ///
    /// # Shapes
    /// `u`: `[d]`, `router`: [e, d], `logits`: `[e]`, written on the way, `ids`, `weights`: `[k]`
    ///
    /// # Panics
    /// If the lengths do not fit, or unless 0 < k ≤ e.
    pub fn route<S>(u: &[f32], router: &[f32], logits: &mut [f32], ids: &mut [u32], weights: &mut [f32]) {
        assert!((1..=logits.len()).contains(&ids.len()), "{} of {} experts", ids.len(), logits.len());
        assert_eq!(router.len(), logits.len() * u.len(), "a router of {} × {}", logits.len(), u.len());
        assert_eq!(ids.len(), weights.len(), "a weight for each expert chosen");
        for (logit, row) in logits.iter_mut().zip(router.chunks_exact(u.len())) {
            *logit = dot::<S>(row, u);
        }
        choose::<S>(logits, ids, weights);
    }
}

#[inline(always)]
fn choose<S: Isa>(logits: &[f32], ids: &mut [u32], weights: &mut [f32]) {
    let mut previous = i64::MAX;
    for (id, weight) in ids.iter_mut().zip(&mut *weights) {
        let ranks = logits.iter().zip(0..).map(|(logit, e)| rank(*logit, e));
        previous = ranks.fold(i64::MIN, |best, rank| if rank < previous { best.max(rank) } else { best });
        *id = LAST - previous as u32;
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

/// More than any index of an expert, and so little that no rank is the largest or the least of its type.
const LAST: u32 = i32::MAX as u32;

/// A number that orders experts: by logit, then the lower index first. No two are equal.
#[inline(always)]
fn rank(logit: f32, expert: u32) -> i64 {
    // the total order of IEEE 754: negative numbers run backwards
    let bits = logit.to_bits() as i32;
    let key = bits ^ ((bits >> 31) as u32 >> 1) as i32;
    i64::from(key) << 32 | i64::from(LAST - expert)
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

    fn chosen(u: &[f32], router: &[f32], k: usize, level: Level) -> (Vec<u32>, Vec<f32>) {
        let mut logits = vec![f32::NAN; router.len() / u.len()];
        let (mut ids, mut weights) = (vec![u32::MAX; k], vec![f32::NAN; k]);
        with_level(level, 1, || route(u, router, &mut logits, &mut ids, &mut weights));
        (ids, weights)
    }

    #[test]
    fn agrees_with_the_twin() {
        for (d, e, k) in [(1, 1, 1), (15, 4, 2), (16, 7, 7), (17, 17, 3), (128, 64, 8)] {
            let (u, router) = (uniform(d, 1), uniform(e * d, 2));
            let expected = reference::route(&wide(&u), &wide(&router), e, k);
            for level in Level::available() {
                let (ids, weights) = chosen(&u, &router, k, level);
                assert_eq!(ids, expected.expert_ids, "{k} of {e}, {level:?}");
                assert_close(&weights, &expected.expert_weights, 1e-5, (e, k, level));
            }
        }
    }

    #[test]
    fn ties_go_to_the_lower_index() {
        // few different logits make many ties
        let router: Vec<f32> = uniform(40, 3).iter().map(|x| (3.0 * x).round()).collect();
        let expected = reference::route(&[1.0], &wide(&router), 40, 20);
        for level in Level::available() {
            assert_eq!(chosen(&[1.0], &router, 20, level).0, expected.expert_ids, "{level:?}");
        }
    }

    #[test]
    fn logits_that_are_no_numbers_still_give_different_experts() {
        // the first and the last of all in the order of bits among them
        let extremes = [0x7fff_ffff, 0xffff_ffff].map(f32::from_bits);
        for logits in [[f32::NAN, f32::NEG_INFINITY, f32::NAN, -f32::NAN], [extremes[0], extremes[1], 1.0, extremes[0]]]
        {
            for level in Level::available() {
                let (mut ids, _) = chosen(&[1.0], &logits, 4, level);
                ids.sort_unstable();
                assert_eq!(ids, [0, 1, 2, 3], "{logits:?}, {level:?}");
            }
        }
    }
}
