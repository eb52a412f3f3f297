//! By what the loss is multiplied before its backward pass, so that f16 holds its gradients
//!
//! Dynamic loss scaling (arXiv 1710.03740, section 3.2), with the constants of PyTorch's `GradScaler`: a step whose gradient is
//! not finite changes nothing and halves the scale, and after [`GROWTH_INTERVAL`] good steps it doubles. It is a power of
//! two, so it rounds nothing.

use itera_shape::Precision;
use serde::{Deserialize, Serialize};

const INITIAL: f64 = 65536.0;

const GROWTH_INTERVAL: u64 = 2000;

/// Where the scale of a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossScale {
    /// At least 1.
    pub scale: f64,
    /// Steps since it last changed.
    pub good_steps: u64,
}

impl LossScale {
    /// That of a run at its beginning; `None` in a precision with the range of f32.
    pub(crate) fn of(precision: Precision) -> Option<Self> {
        (precision == Precision::F16).then_some(Self { scale: INITIAL, good_steps: 0 })
    }

    /// Count a step whose loss and gradient were finite, or were not. Says whether the scale is smaller now.
    pub(crate) fn after_step(&mut self, is_finite: bool) -> bool {
        if !is_finite {
            let before = self.scale;
            *self = Self { scale: (before / 2.0).max(1.0), good_steps: 0 };
            return self.scale < before;
        }
        self.good_steps += 1;
        if self.good_steps == GROWTH_INTERVAL {
            *self = Self { scale: self.scale * 2.0, good_steps: 0 };
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_halves_down_to_one_and_doubles_after_good_steps_in_a_row() {
        let mut scale = LossScale::of(Precision::F16).expect("f16 is scaled");
        assert!(scale.after_step(false) && scale.after_step(false));
        assert_eq!(scale.scale, 16384.0);
        let good = |scale: &mut LossScale, steps| (0..steps).for_each(|_| assert!(!scale.after_step(true)));
        good(&mut scale, GROWTH_INTERVAL - 1);
        assert!(scale.after_step(false), "good steps are counted anew");
        good(&mut scale, GROWTH_INTERVAL - 1);
        assert_eq!(scale.scale, 8192.0);
        good(&mut scale, 1);
        assert_eq!(scale, LossScale { scale: 16384.0, good_steps: 0 });
        assert_eq!((0..20).filter(|_| scale.after_step(false)).count(), 14, "1 is the last");
        assert_eq!(scale.scale, 1.0);
        assert_eq!([Precision::F32, Precision::Bf16].map(LossScale::of), [None; 2]);
    }
}
