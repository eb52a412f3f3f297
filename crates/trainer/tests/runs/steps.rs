//! What a step does, seen through whole runs.

use std::path::Path;

use burn::tensor::Device;
use itera_model::{LanguageModel, ModelError};
use itera_ops::composite;
use itera_shape::NamedTensor;
use itera_testkit::{assert_close, max_difference};
use itera_tokenizer::TokenId;
use itera_trainer::{
    Job, Method, Plain, Resume, RunEnd, Signal, StopCause, StopFlag, TrainError, time_steps, train, validate,
};

use crate::support::Fixture;

/// The bar of the project for loss curves.
const CURVE: f64 = 1e-3;

#[test]
fn accumulating_two_halves_is_one_whole_batch() {
    let fixture = Fixture::new();
    // the auxiliary losses are not means over tokens, so they are left out
    let plain = ["train.steps=4", "train.warmup_steps=2", "train.load_balance_coef=0", "train.z_loss_coef=0"];
    for (name, batch, accum) in [
        ("whole", "train.batch_size=4", "train.grad_accum_steps=1"),
        ("halves", "train.batch_size=2", "train.grad_accum_steps=2"),
    ] {
        let config = fixture.config(name, &[&plain[..], &[batch, accum]].concat());
        fixture.run(&config, Resume::No).expect("it trains");
    }
    for (whole, halves) in fixture.parameters("whole").iter().zip(fixture.parameters("halves")) {
        // Adam divides by the root of a squared gradient, so rounding in a gradient near zero shows in the weight
        let off = max_difference(&halves.data, &whole.data);
        assert!(off < 1e-4, "{}: {off:.1e}", whole.name);
    }
}

#[test]
fn patience_counts_from_the_last_real_improvement_and_best_is_the_lowest() {
    let fixture = Fixture::new();
    let config = fixture.config(
        "run",
        &[
            "train.lr=1e-5",
            "train.warmup_steps=0",
            "eval.every_steps=1",
            "eval.min_delta=0.5",
            "eval.patience=3",
            "checkpoint.keep_best=2",
            "checkpoint.keep_last=1",
        ],
    );
    let outcome = fixture.run(&config, Resume::No).expect("it trains");
    assert_eq!(outcome.end, RunEnd::EarlyStopped);
    assert_eq!(outcome.state.step, 4);
    let kept: Vec<u64> = outcome.state.kept_best.iter().map(|best| best.step).collect();
    assert_eq!(outcome.state.best.map(|best| best.step), kept.first().copied());
    assert!(outcome.state.kept_best[0].val_bpb < outcome.state.kept_best[1].val_bpb);
    let dir = fixture.dir.path().join("run");
    let mut left: Vec<String> = std::fs::read_dir(dir.join("checkpoints"))
        .expect("checkpoints")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    left.sort();
    let mut expected: Vec<String> = kept.iter().chain([&4]).map(|step| format!("step-{step:06}")).collect();
    expected.sort();
    expected.dedup();
    assert_eq!(left, expected);
    assert!(dir.join("best").canonicalize().expect("best").ends_with(format!("step-{:06}", kept[0])));
}

#[test]
fn a_signal_before_the_first_step_saves_and_the_run_goes_on_to_the_same_end() {
    let fixture = Fixture::new();
    let whole = fixture.config("whole", &[]);
    fixture.run(&whole, Resume::No).expect("it trains");

    let config = fixture.config("cut", &[]);
    let (data, device) = (itera_data::prepare(&config).expect("data"), Device::flex());
    let stop = StopFlag::default();
    stop.cell().store(15, std::sync::atomic::Ordering::Relaxed);
    let job = Job { stop, ..Job::new(&config, &data, &device) };
    let outcome = train(job, &mut |_| {}).expect("it stops");
    assert_eq!(
        (outcome.end, outcome.state.step),
        (RunEnd::Interrupted(StopCause::Signal(Signal::new(15).expect("SIGTERM"))), 0)
    );
    let outcome = fixture.run(&config, Resume::Last).expect("it goes on");
    assert_eq!((outcome.end, outcome.state.resumes), (RunEnd::Finished, 1));
    assert_eq!(fixture.parameters("cut"), fixture.parameters("whole"));

    let again = fixture.run(&config, Resume::Last).expect("a finished run can be resumed");
    assert_eq!(again.state.step, outcome.state.step);
    assert_eq!(again.state.samples, outcome.state.samples);
}

#[test]
fn steps_that_are_timed_are_those_of_a_run() {
    let fixture = Fixture::new();
    let config = fixture.config("run", &["train.steps=6", "log.every_steps=1", "eval.every_steps=6"]);
    fixture.run(&config, Resume::No).expect("it trains");
    let data = itera_data::prepare(&config).expect("data");
    let dir = fixture.dir.path().join("timed");
    let times = time_steps(Job::new(&config, &data, &Device::flex()), &dir, 6).expect("it trains");
    assert_eq!(times.len(), 6);
    assert!(times.iter().all(|step| step.total() >= step.forward + step.backward), "{times:?}");

    let rows = |dir: &Path| itera_metrics::read_records(&dir.join("metrics.jsonl")).expect("metrics");
    let losses = |dir: &Path| -> Vec<f64> { rows(dir).iter().map(|row| row.loss_nats).collect() };
    assert_eq!(losses(&dir), losses(&fixture.dir.path().join("run")));
    assert!(rows(&dir).iter().all(|row| row.val_bpb.is_none()), "nothing is validated meanwhile");
}

/// Computes with weights rounded to multiples of `step`; a step of 0 changes none.
struct Rounded {
    step: f32,
}

impl Method for Rounded {
    fn identity(&self) -> String {
        format!("weights rounded to multiples of {}", self.step)
    }

    fn weights(&self, kept: &[NamedTensor]) -> Option<Vec<Vec<f32>>> {
        let round = |x: &f32| if self.step == 0.0 { *x } else { (x / self.step).round() * self.step };
        Some(kept.iter().map(|parameter| parameter.data.iter().map(round).collect()).collect())
    }
}

#[test]
fn a_method_decides_what_is_computed_with_and_gradients_go_straight_through() {
    let fixture = Fixture::new();
    let changes = ["train.steps=8", "train.warmup_steps=2", "eval.every_steps=4", "log.every_steps=1"];
    let run = |name: &str, method: &dyn Method, resume| {
        let config = fixture.config(name, &changes);
        let (data, device) = (itera_data::prepare(&config).expect("data"), Device::flex());
        train(Job { method, resume, ..Job::new(&config, &data, &device) }, &mut |_| {})
    };
    run("plain", &Plain, Resume::No).expect("it trains");
    run("unrounded", &Rounded { step: 0.0 }, Resume::No).expect("it trains");
    let coarse = run("coarse", &Rounded { step: 0.05 }, Resume::No).expect("it trains");
    assert_eq!(fixture.parameters("plain"), fixture.parameters("unrounded"));

    // initial weights have a deviation of 0.02: only weights that are kept finer than they are computed with can move
    let kept = fixture.parameters("coarse");
    let off = |x: &f32| (x / 0.05 - (x / 0.05).round()).abs();
    assert!(kept.iter().any(|parameter| parameter.data.iter().any(|x| off(x) > 0.1)));
    let plain = fixture.parameters("plain");
    assert!(kept.iter().zip(&plain).any(|(kept, plain)| kept.data != plain.data));

    // validation sees the model as it computes
    let config = fixture.config("coarse", &changes);
    let data = itera_data::prepare(&config).expect("data");
    let score = |values: Vec<Vec<f32>>| {
        let mut values = values.into_iter();
        let model =
            LanguageModel::from_tensors(&config.model, &Device::flex(), &mut |_, _| values.next().expect("all"));
        let batches = data.validation_batches(&config, config.eval.tokens);
        let bytes = |id: i32| data.tokenizer.token_bytes(TokenId(id as u32));
        validate(&model.expect("a model"), batches, bytes, |_| false).expect("the CPU").bits_per_byte()
    };
    let rounded = score(Rounded { step: 0.05 }.weights(&kept).expect("values"));
    let unrounded = score(kept.into_iter().map(|parameter| parameter.data).collect());
    let last = itera_metrics::read_records(&fixture.dir.path().join("coarse/metrics.jsonl")).expect("metrics");
    let val_bpb = last.last().and_then(|row| row.val_bpb).expect("a validation");
    assert!((val_bpb - rounded).abs() < 1e-9 && (val_bpb - unrounded).abs() > 1e-4, "{val_bpb} {rounded} {unrounded}");
    assert_eq!(coarse.end, RunEnd::Finished);

    let error = run("coarse", &Rounded { step: 0.1 }, Resume::Last).expect_err("another method").to_string();
    assert!(error.contains("multiples of 0.05") && error.contains("multiples of 0.1"), "{error}");
}

#[test]
fn a_run_begins_with_the_weights_it_is_given() {
    let fixture = Fixture::new();
    fixture.run(&fixture.config("first", &[]), Resume::No).expect("it trains");
    let initial = fixture.parameters("first");

    let config = fixture.config("second", &[]);
    let (data, device) = (itera_data::prepare(&config).expect("data"), Device::flex());
    let stop = StopFlag::default();
    stop.cell().store(15, std::sync::atomic::Ordering::Relaxed);
    let job = Job { stop, initial: Some(&initial), ..Job::new(&config, &data, &device) };
    train(job.clone(), &mut |_| {}).expect("it stops before its first step");
    assert_eq!(fixture.parameters("second"), initial);

    let job = Job { initial: Some(&initial[1..]), resume: Resume::Overwrite, ..job };
    let error = train(job, &mut |_| {}).expect_err("one is missing");
    assert!(
        matches!(&error, TrainError::Initial(ModelError::ShapeMismatch { name, .. }) if name == "embed"),
        "{error}"
    );
}

#[test]
fn fused_operators_train_as_their_composites_do() {
    let fixture = Fixture::new();
    // rounding may send a token to another expert, and from there curves part; with no expert to choose they do not
    for (what, routing, bar) in [("top 2", "model.top_k=2", CURVE), ("all experts", "model.top_k=4", 1e-5)] {
        let losses = |form: &str| -> Vec<f32> {
            let name = format!("{form}, {what}");
            let changes = [routing, "train.steps=30", "log.every_steps=1", "eval.every_steps=30"];
            fixture.run(&fixture.config(&name, &changes), Resume::No).expect("it trains");
            let rows = itera_metrics::read_records(&fixture.dir.path().join(name).join("metrics.jsonl"));
            rows.expect("metrics").iter().map(|row| row.loss_nats as f32).collect()
        };
        let (fused, composite) = (losses("fused"), composite::only(|| losses("composite")));
        assert_eq!(fused.len(), 30);
        assert_ne!(fused, composite, "sums in another order round otherwise");
        assert_close(&format!("loss curve, {what}"), &fused, &composite, bar);
    }
}
