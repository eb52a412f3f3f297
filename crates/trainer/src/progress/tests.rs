use super::*;
use crate::losses::Losses;

fn config(changes: &[&str]) -> Config {
    let base = ["train.steps=20", "train.warmup_steps=2", "eval.every_steps=4", "log.every_steps=3"];
    let changes: Vec<String> = base.iter().chain(changes).map(ToString::to_string).collect();
    Config::from_toml("", "test", &changes).expect("valid")
}

fn update(nats: f64) -> Update {
    let losses = Losses { nats, total: nats, tokens_per_expert: vec![vec![3, 1]], ..Losses::default() };
    Update { losses, grad_norm: 1.0, ..Update::default() }
}

/// A held-out byte costs `bpb` bits.
fn score(bpb: f64) -> Score {
    Score { nats: bpb * std::f64::consts::LN_2 * 10.0, tokens: 10, bytes: 10, unknown_bytes: 0 }
}

/// Steps after which `what` is due in a run of good steps.
fn due(config: &Config, what: impl Fn(Due) -> bool) -> Vec<u64> {
    let mut progress = Progress::new(config, None);
    let mut steps = vec![];
    while progress.end().is_none() {
        if what(progress.after_step(&update(1.0), Duration::ZERO)) {
            steps.push(progress.state.step);
        }
    }
    assert_eq!(progress.end(), Some(RunEnd::Finished));
    assert_eq!(progress.state.tokens, 20 * config.train.tokens_per_step());
    steps
}

#[test]
fn each_thing_is_due_on_its_own_grid_and_at_the_end() {
    let config = config(&["checkpoint.every_steps=7"]);
    assert_eq!(due(&config, |due| due.validate), [4, 8, 12, 16, 20]);
    assert_eq!(due(&config, |due| due.record), [3, 4, 6, 8, 9, 12, 15, 16, 18, 20]);
    assert_eq!(due(&config, |due| due.save), [7, 14]);
    assert!(due(&config, |due| due.stop).is_empty());
}

#[test]
fn a_run_that_decays_is_saved_before_it_does() {
    let config = config(&["checkpoint.every_steps=7", "train.schedule=wsd", "train.decay_fraction=0.25"]);
    assert_eq!(due(&config, |due| due.save), [7, 14, 15]);
}

#[test]
fn a_window_is_the_mean_of_its_finite_steps_and_counts_the_tokens_of_all() {
    let config = config(&["train.max_skipped_steps=2"]);
    let mut progress = Progress::new(&config, None);
    let second = Duration::from_secs(1);
    for nats in [4.0, f64::NAN, 2.0] {
        assert!(!progress.after_step(&update(nats), second).stop);
    }
    let record = progress.record(&update(2.0), 0.5, Some(score(1.5)));
    assert_eq!((record.step, record.loss_nats, record.lr, record.skipped), (3, 3.0, 0.5, 1));
    assert_eq!(record.tokens_per_expert, [[9, 3]]);
    assert_eq!((record.step_ms, record.tokens_per_s), (1e3, config.train.tokens_per_step() as f64));
    assert!((record.val_bpb.expect("validated") - 1.5).abs() < 1e-12);

    progress.after_step(&update(7.0), second);
    assert_eq!(progress.record(&update(7.0), 0.5, None).loss_nats, 7.0, "the next window is another");
    assert!(!progress.after_step(&update(f64::INFINITY), second).stop);
    assert!(progress.after_step(&update(f64::NAN), second).stop, "two in a row");
    assert!(progress.record(&update(f64::NAN), 0.5, None).loss_nats.is_nan(), "none was finite");
}

#[test]
fn in_f16_a_step_that_is_not_finite_halves_the_scale_before_it_counts_as_a_fault() {
    let config = config(&["train.precision=f16", "train.max_skipped_steps=2"]);
    let mut progress = Progress::new(&config, None);
    let scale = |progress: &Progress<'_>| progress.state.loss_scale.expect("f16").scale;
    assert_eq!(scale(&progress), 65536.0);
    let skip = |progress: &mut Progress<'_>| progress.after_step(&update(f64::INFINITY), Duration::ZERO).stop;
    for halved in 1..=16 {
        assert!(!skip(&mut progress));
        assert_eq!((scale(&progress), progress.state.skipped), (2f64.powi(16 - halved), halved as u64));
        assert_eq!(progress.state.consecutive_skipped, 0);
    }
    assert_eq!(progress.record(&update(1.0), 0.5, None).loss_scale, Some(1.0));
    let mut resumed = Progress::new(&config, Some(progress.state.clone()));
    assert_eq!(resumed.state.loss_scale, progress.state.loss_scale);
    assert!(!skip(&mut resumed));
    assert!(skip(&mut resumed), "two in a row that a smaller scale could not have mended");
}

#[test]
fn the_best_is_the_lowest_and_patience_counts_from_the_last_real_improvement() {
    let config = config(&["eval.patience=2", "eval.min_delta=0.5", "checkpoint.keep_best=2"]);
    let mut progress = Progress::new(&config, None);
    let mut validate = |bpb: f64| {
        progress.after_step(&update(1.0), Duration::ZERO);
        let Validation { best, is_kept, .. } = progress.after_validation(score(bpb));
        (best, is_kept, progress.state.validations_without_improvement, progress.end())
    };
    assert_eq!(validate(3.0), (true, true, 0, None));
    assert_eq!(validate(f64::NAN), (false, false, 0, None), "no measure of anything");
    assert_eq!(validate(2.75), (true, true, 1, None), "the best, and no real improvement");
    assert_eq!(validate(2.25), (true, true, 0, None), "one from the last real one");
    assert_eq!(validate(2.5), (false, true, 1, None));
    assert_eq!(validate(2.5), (false, false, 2, Some(RunEnd::EarlyStopped)), "equal: the earlier one is kept");
    let kept: Vec<u64> = progress.state.kept_best.iter().map(|best| best.step).collect();
    assert_eq!(kept, [4, 5]);
    assert_eq!(progress.state.best.map(|best| best.step), Some(4));
}

#[test]
fn a_run_that_lost_patience_goes_on_with_more() {
    let impatient = config(&["eval.patience=1"]);
    let mut progress = Progress::new(&impatient, None);
    for bpb in [2.0, 2.0] {
        progress.after_validation(score(bpb));
    }
    assert_eq!(progress.end(), Some(RunEnd::EarlyStopped));
    let state = progress.state.clone();
    assert_eq!(Progress::new(&impatient, Some(state.clone())).end(), Some(RunEnd::EarlyStopped));
    for patience in ["eval.patience=2", "eval.patience=0"] {
        let config = config(&[patience]);
        let progress = Progress::new(&config, Some(state.clone()));
        assert_eq!((progress.end(), progress.state.resumes), (None, 1), "{patience}");
    }
}
