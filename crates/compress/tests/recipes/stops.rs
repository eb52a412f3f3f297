//! What ends a recipe before its end, and that nothing is lost by it.

use std::{fs, sync::atomic::Ordering};

use itera_compress::{CompressError, Event, Metadata, Misfit, Outcome, Recipe, Report};
use itera_trainer::{Resume, StopCause, StopFlag};

use crate::support::{Fixture, QAT, open};

#[test]
fn an_interrupted_recipe_goes_on_to_the_same_bytes() {
    let fixture = Fixture::new();
    let whole = fixture.finish(&fixture.recipe("whole", QAT));
    let recipe = fixture.recipe("pause", QAT);
    let out = fixture.out("out-pause");
    fixture.interrupted(&recipe, Resume::No);
    assert!(!out.join("report.json").exists());

    let error = fixture.compress(&recipe, Resume::No, StopFlag::default()).expect_err("it is there already");
    assert!(matches!(&error, CompressError::Exists { path } if path.starts_with(&out)), "{error:?}");
    let changed = fixture.recipe("pause", &QAT.replace("steps = 8", "steps = 9"));
    for other in [&changed, &recipe.clone().with_effort(2.0)] {
        let error = fixture.compress(other, Resume::Last, StopFlag::default());
        assert!(matches!(error, Err(CompressError::OtherRecipe { .. })), "{error:?}");
    }
    let Outcome::Finished(report) = fixture.compress(&recipe, Resume::Last, StopFlag::default()).expect("done") else {
        panic!("interrupted")
    };
    let bytes = |report: &Report| fs::read(&report.stages[0].variant.path).expect("a file");
    let (mut cut, whole_bytes) = (bytes(&report), bytes(&whole));
    let name = cut.windows(5).position(|window| window == b"pause").expect("a file says what its model is called");
    cut[name..name + 5].copy_from_slice(b"whole");
    assert!(cut == whole_bytes, "the files differ");
    assert_eq!(report.stages[0].variant.bits_per_byte, whole.stages[0].variant.bits_per_byte);

    // begun anew, nothing of before is left beside what is not done yet
    fixture.interrupted(&changed, Resume::Overwrite);
    let left: Vec<_> =
        fs::read_dir(&out).expect("a directory").map(|entry| entry.expect("an entry").file_name()).collect();
    assert!(left.len() == 2 && left.iter().all(|name| name == "stages" || name == "recipe.toml"), "{left:?}");
}

#[test]
fn a_recipe_says_what_was_done_whatever_the_effort() {
    let fixture = Fixture::new();
    let harder = fixture.recipe("harder", QAT).with_effort(1.5);
    let report = fixture.finish(&harder);
    assert_eq!(report.stages[0].steps, 12);
    let out = fixture.out("out-harder");
    let written = Recipe::find(&out.join("recipe.toml").to_string_lossy()).expect("a recipe");
    assert_eq!(written.stages, harder.stages);
    let metadata = fs::read(out.join("compression_metadata.json")).expect("a file");
    let metadata: Metadata = serde_json::from_slice(&metadata).expect("metadata");
    assert_eq!(metadata.recipe.stages, harder.stages);
    let again = fixture.finish(&written);
    assert_eq!(again.stages[0].variant.bits_per_byte, report.stages[0].variant.bits_per_byte);
}

#[test]
fn stages_that_a_changed_recipe_still_has_are_kept() {
    let fixture = Fixture::new();
    let train = |steps: usize| format!("train = {{ steps = {steps}, lr = 1e-2 }}");
    let text = |steps: usize| {
        format!(
            "about = \"x\"\n[[stage]]\ndo = \"finetune\"\n{}\n[[stage]]\ndo = \"quantize\"\nkind = \"q8_0\"\n{}",
            train(4),
            train(steps)
        )
    };
    let short = fixture.finish(&fixture.recipe("tail", &text(2)));
    let out = fixture.out("out-tail");
    let longer = fixture.recipe("tail", &text(5));
    for left in [short.stages[1].variant.path.clone(), out.join("stages/2-quantize")] {
        let error = fixture.compress(&longer, Resume::Last, StopFlag::default());
        assert!(matches!(&error, Err(CompressError::OtherRecipe { path }) if *path == left), "{error:?}");
        if left.is_dir() { fs::remove_dir_all(&left) } else { fs::remove_file(&left) }.expect("moved away");
    }
    let trained =
        || fs::metadata(out.join("stages/1-finetune/last")).and_then(|of| of.modified()).expect("a checkpoint");
    let before = trained();
    let outcome = fixture.compress(&longer, Resume::Last, StopFlag::default()).expect("done");
    let Outcome::Finished(report) = outcome else { panic!("interrupted") };
    assert_eq!(before, trained(), "the first stage is not trained again");
    assert_eq!(report.stages[1].steps, 5);
    let anew = fixture.finish(&fixture.recipe("anew", &text(5)));
    assert_eq!(report.stages[1].variant.bits_per_byte, anew.stages[1].variant.bits_per_byte);

    // all of them may be moved away
    fs::remove_dir_all(out.join("stages")).expect("moved away");
    fs::remove_file(&report.stages[1].variant.path).expect("moved away");
    let outcome = fixture.compress(&fixture.recipe("tail", &text(2)), Resume::Last, StopFlag::default()).expect("done");
    assert!(matches!(outcome, Outcome::Finished(_)));
}

#[test]
fn a_signal_stops_at_the_next_piece_of_work_whatever_that_is() {
    let fixture = Fixture::new();
    let quantize = |settings: &str| format!("about = 'x'\n[[stage]]\ndo = 'quantize'\nkind = 'q4_0'\n{settings}\n");
    let mixed =
        "about = 'x'\n[[stage]]\ndo = 'mixed'\nkinds = ['q4_0', 'q8_0']\nbudget = 'q8_0'\ncalibration_tokens = 512\n";
    let prune = |importance: &str| {
        let stage = format!("do = 'prune'\nexperts = 0.5\nimportance = '{importance}'\ncalibration_tokens = 512");
        format!("about = 'x'\n[[stage]]\n{stage}\n[[stage]]\ndo = 'quantize'\nkind = 'q8_0'\n")
    };
    type At = fn(&Event<'_>) -> bool;
    let scoring: At = |event| matches!(event, Event::Scoring { .. });
    let calibrating: At = |event| matches!(event, Event::Calibrating { tokens: 512 });
    let weighing: At = |event| matches!(event, Event::Weighing { .. });
    let reporting: At = |event| matches!(event, Event::Calibrating { tokens } if *tokens > 512);
    let measured: At = |event| matches!(event, Event::Measured(variant) if variant.name == "baseline");
    for (name, text, at) in [
        ("scores", quantize(""), scoring),
        ("rounds", quantize(""), measured),
        ("fisher", quantize("rounding = 'fisher'\ncalibration_tokens = 512"), calibrating),
        ("gptq", quantize("rounding = 'gptq'\ncalibration_tokens = 512"), calibrating),
        ("kinds", mixed.into(), weighing),
        ("saliency", prune("saliency"), calibrating),
        ("units", prune("loss"), weighing),
        ("reports", quantize(""), reporting),
    ] {
        let recipe = fixture.recipe(name, &text);
        let (stop, mut later) = (StopFlag::default(), 0);
        let cell = stop.cell();
        let outcome = fixture.compress_telling(&recipe, Resume::No, stop, &mut |event| {
            later += usize::from(cell.load(Ordering::Relaxed) != 0 && !matches!(event, Event::Stage { .. }));
            if at(&event) {
                cell.store(15, Ordering::Relaxed);
            }
        });
        assert!(
            matches!(outcome, Ok(Outcome::Interrupted(StopCause::Signal(signal))) if signal.number() == 15),
            "{name}: {outcome:?}"
        );
        // documents that other threads had begun
        assert!(later == 0 || name == "scores", "{name}: {later} more");
        let outcome = fixture.compress(&recipe, Resume::Last, StopFlag::default());
        assert!(matches!(outcome, Ok(Outcome::Finished(_))), "{name}: {outcome:?}");
    }
}

#[test]
fn a_stage_that_costs_more_than_its_limit_stops_the_recipe() {
    let fixture = Fixture::new();
    let text = r#"
        about = "a limit that no rounding keeps"
        [[stage]]
        do = "finetune"
        train = { steps = 2, lr = 1e-4 }
        [[stage]]
        do = "quantize"
        kind = "q4_0"
        max_loss_percent = 1e-9
    "#;
    let recipe = fixture.recipe("strict", text);
    let error = fixture.compress(&recipe, Resume::No, StopFlag::default()).expect_err("too lossy");
    let CompressError::TooLossy { stage: 2, before, .. } = &error else { panic!("{error}") };
    assert!(before.ends_with("stages/1-finetune.gguf") && before.is_file());
    assert!(!fixture.out("out-strict").join("report.json").exists());
    assert!(!fixture.out("out-strict/run-strict.gguf").exists(), "what costs too much is no artifact");
}

#[test]
fn what_cannot_be_compressed_is_refused() {
    let fixture = Fixture::new();
    let checkpoint = itera_checkpoint::find_model(&fixture.out("run")).expect("a checkpoint");
    let copy = fixture.out("copy");
    fs::create_dir(&copy).expect("a directory");
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        fs::copy(checkpoint.join(file), copy.join(file)).expect("copied");
    }
    let error = open(&copy, &[]).expect_err("no run");
    assert!(matches!(error, CompressError::NoRun { .. }), "{error}");

    let other = ["tokenizer.kind=bpe".into(), "model.vocab_size=300".into()];
    let error = open(&fixture.out("run"), &other).expect_err("another tokenizer");
    assert!(matches!(error, CompressError::OtherData { .. }), "{error}");

    let recipe = fixture.recipe("stray", &QAT.replace("train =", "kinds = { mlp = \"f16\" }\ntrain ="));
    let error = fixture.compress(&recipe, Resume::No, StopFlag::default()).expect_err("no such role");
    let CompressError::Misfit { problem: Misfit::NoTensor { key, .. }, .. } = error else { panic!("{error}") };
    assert_eq!(key, "mlp");
    assert!(!fixture.out("out-stray").exists(), "nothing is written");
}
