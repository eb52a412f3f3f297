//! step → learning rate, weight decay

use itera_config::{Schedule, TrainConfig};

/// What a schedule says of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Learning rate.
    pub lr: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
}

/// The rates of the step after `step` completed ones. Weight decay goes from `weight_decay` in the first step, on a straight
/// line, to `weight_decay_end_ratio · weight_decay` in the last.
pub(crate) fn rates(config: &TrainConfig, weight_decay: f64, step: u64) -> Rates {
    let change = (config.weight_decay_end_ratio - 1.0) * progress(step, 0, config.steps);
    Rates { lr: learning_rate(config, step), weight_decay: weight_decay * (1.0 + change) }
}

/// The learning rate of the step after `step` completed ones.
///
/// Warm-up is linear from lr / warmup_steps to lr. Cosine then falls along half a cosine to `min_lr_ratio · lr`
/// (arXiv 1608.03983 eq. 5); WSD stays and falls linearly over the last `decay_fraction` of the steps
/// (arXiv 2404.06395 §4).
pub fn learning_rate(config: &TrainConfig, step: u64) -> f64 {
    let TrainConfig { steps, lr, warmup_steps, min_lr_ratio, .. } = *config;
    if step < warmup_steps {
        return lr * (step + 1) as f64 / warmup_steps as f64;
    }
    let share_left = match config.schedule {
        Schedule::Cosine => {
            let done = progress(step, warmup_steps, steps);
            0.5 * (1.0 + (std::f64::consts::PI * done).cos())
        }
        Schedule::Wsd => 1.0 - progress(step, last_stable_step(config), steps),
    };
    lr * (min_lr_ratio + (1.0 - min_lr_ratio) * share_left)
}

/// Completed steps after which WSD begins to decay: those of the last checkpoint from which a run can be trained longer, for
/// all learning rates up to there are the same with more steps. `None` for the cosine, which falls from the end of warm-up.
pub fn decay_start(config: &TrainConfig) -> Option<u64> {
    matches!(config.schedule, Schedule::Wsd).then(|| (last_stable_step(config) + 1).min(config.steps))
}

/// The last step, counted from 0, at which WSD has not decayed yet.
fn last_stable_step(config: &TrainConfig) -> u64 {
    let decay_steps = (config.decay_fraction * config.steps as f64).round() as u64;
    (config.steps - decay_steps).saturating_sub(1).max(config.warmup_steps)
}

/// Completed steps up to which two configurations agree on every rate; `steps` if on all of those.
pub(crate) fn same_rates(a: &TrainConfig, b: &TrainConfig, steps: u64) -> u64 {
    if a.weight_decay != b.weight_decay {
        return 0;
    }
    // whatever the decay that they share
    let differs = |step: &u64| rates(a, 1.0, *step) != rates(b, 1.0, *step);
    (0..steps).find(differs).unwrap_or(steps)
}

/// How far `step` is from `from` to the last step before `to`, in 0..=1.
fn progress(step: u64, from: u64, to: u64) -> f64 {
    let last = to.saturating_sub(1);
    if step <= from || last <= from { 0.0 } else { ((step - from) as f64 / (last - from) as f64).min(1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(schedule: Schedule) -> TrainConfig {
        TrainConfig {
            steps: 100,
            lr: 1.0,
            warmup_steps: 10,
            min_lr_ratio: 0.1,
            schedule,
            decay_fraction: 0.2,
            ..TrainConfig::default()
        }
    }

    #[test]
    fn both_schedules_warm_up_peak_and_end_at_the_minimum() {
        for schedule in [Schedule::Cosine, Schedule::Wsd] {
            let config = config(schedule);
            assert_eq!(learning_rate(&config, 0), 0.1);
            assert_eq!(learning_rate(&config, 9), 1.0);
            assert_eq!(learning_rate(&config, 10), 1.0);
            assert!((learning_rate(&config, 99) - 0.1).abs() < 1e-12);
            let rates: Vec<f64> = (10..100).map(|step| learning_rate(&config, step)).collect();
            assert!(rates.windows(2).all(|pair| pair[1] <= pair[0]), "the rate never rises after warm-up");
        }
    }

    #[test]
    fn wsd_is_stable_until_it_decays_and_cosine_is_half_way_in_the_middle() {
        assert_eq!(learning_rate(&config(Schedule::Wsd), 79), 1.0);
        assert!(learning_rate(&config(Schedule::Wsd), 80) < 1.0, "20 of 100 steps decay");
        let middle = 10 + (99 - 10) / 2;
        let rate = learning_rate(&config(Schedule::Cosine), middle);
        assert!((rate - 0.55).abs() < 0.02, "{rate}");
    }

    #[test]
    fn more_steps_leave_the_rates_of_wsd_up_to_its_decay_and_those_of_the_cosine_up_to_its_peak() {
        let longer = |config: &TrainConfig| TrainConfig { steps: 150, ..config.clone() };
        let wsd = config(Schedule::Wsd);
        assert_eq!(decay_start(&wsd), Some(80));
        assert_eq!(same_rates(&wsd, &longer(&wsd), 100), 80);
        assert_eq!(same_rates(&wsd, &longer(&wsd), 70), 70);
        let never = TrainConfig { decay_fraction: 0.0, ..wsd };
        assert_eq!((decay_start(&never), same_rates(&never, &longer(&never), 100)), (Some(100), 100));
        let cosine = config(Schedule::Cosine);
        assert_eq!((decay_start(&cosine), same_rates(&cosine, &longer(&cosine), 100)), (None, 11));
    }

    #[test]
    fn a_run_shorter_than_its_warm_up_only_warms_up() {
        let config = TrainConfig { steps: 5, warmup_steps: 5, ..config(Schedule::Cosine) };
        assert_eq!(learning_rate(&config, 4), 1.0);
        let config = TrainConfig { steps: 1, warmup_steps: 0, ..config };
        assert_eq!(learning_rate(&config, 0), 1.0);
    }
}
