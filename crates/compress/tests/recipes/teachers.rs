//! Models that learn from others: from their predictions, or from text that they write.

use std::{fs, sync::atomic::Ordering};

use itera_compress::{CompressError, Misfit, Outcome, Plan};
use itera_config::Config;
use itera_formats::ModelFile;
use itera_trainer::{Resume, StopCause, StopFlag};

use crate::support::Fixture;

#[test]
fn a_student_has_its_own_shape_and_its_own_tokenizer_if_it_asks_for_one() {
    let fixture = Fixture::with(&["tokenizer.kind=bpe", "model.vocab_size=320"]);
    let recipe = |name: &str, model: &str, teacher: &str| {
        let text = format!(
            r#"
            about = "a smaller model"
            [[stage]]
            do = "distill"
            model = {{ {model} }}
            train = {{ steps = 6, lr = 1e-3 {teacher} }}
            [[stage]]
            do = "quantize"
            kind = "q8_0"
            "#
        );
        fixture.recipe(name, &text)
    };
    let taught = ", teacher = { weight = 0.5, temperature = 2.0 }";
    let shorter = "vocab_size = 290, n_experts = 2";
    let mut found = vec![];
    for (name, model, teacher, vocab_size, n_experts) in [
        ("taught", "n_experts = 2", taught, 320, 2),
        ("alone", shorter, "", 290, 2),
        ("by-longer-tokens", shorter, taught, 290, 2),
    ] {
        let recipe = recipe(name, model, teacher);
        let plan = Plan::new(&recipe, &fixture.baseline, true).expect("it fits");
        let report = fixture.finish(&recipe);
        let variants: Vec<_> = report.stages.iter().map(|stage| (stage.variant.name.as_str(), stage.steps)).collect();
        assert_eq!(variants, [("distill", 6), ("quantize", 0)]);
        assert_eq!(report.stages[0].curve.len(), 6);
        let artifact = &report.stages[1].variant;
        assert_eq!(artifact.size_bytes, plan.size_bytes);
        let model = ModelFile::open(&artifact.path).expect("a model");
        assert_eq!((model.config().vocab_size, model.config().n_experts), (vocab_size, n_experts));
        assert!(report.stages[0].variant.bits_per_byte.is_finite());
        found.push(report.stages[0].variant.bits_per_byte);
    }
    assert!(found[1] != found[2], "what the teacher says counts");

    let longer = recipe("longer", "vocab_size = 340", taught);
    let error = Plan::new(&longer, &fixture.baseline, true);
    assert!(matches!(error, Err(CompressError::Misfit { problem: Misfit::Teacher, .. })), "{error:?}");
    let error = fixture.compress(&recipe("typo", "d_modell = 16", ""), Resume::No, StopFlag::default());
    let Err(CompressError::Misfit { problem: Misfit::Config(error), .. }) = error else { panic!("{error:?}") };
    assert!(error.to_string().contains("d_model"), "{error}");
}

#[test]
fn a_student_learns_from_what_its_teacher_writes() {
    let fixture = Fixture::with(&["tokenizer.kind=bpe", "model.vocab_size=320"]);
    let text = r#"
        about = "text by the teacher, under another tokenizer"
        [[stage]]
        do = "distill"
        model = { vocab_size = 290 }
        train = { steps = 6, lr = 1e-3, sampled = { bytes = 20000 } }
        [[stage]]
        do = "quantize"
        kind = "q8_0"
        train = { steps = 2, lr = 1e-4, teacher = { weight = 1.0 } }
    "#;
    let recipe = fixture.recipe("told", text);
    let plan = Plan::new(&recipe, &fixture.baseline, true).expect("it fits");

    let stop = StopFlag::default();
    stop.cell().store(2, Ordering::Relaxed);
    let outcome = fixture.compress(&recipe, Resume::No, stop);
    assert!(
        matches!(outcome, Ok(Outcome::Interrupted(StopCause::Signal(signal))) if signal.number() == 2),
        "{outcome:?}"
    );
    let path = fixture.out("out-told/stages/1-distill.sampled.jsonl");
    assert!(!path.exists(), "half a text is none");

    let outcome = fixture.compress(&recipe, Resume::Last, StopFlag::default());
    let Ok(Outcome::Finished(report)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(report.stages[1].variant.size_bytes, plan.size_bytes, "the tokenizer is that of the run's text alone");
    let lines = fs::read_to_string(&path).expect("text");
    let texts: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let lengths: Vec<usize> = texts.iter().map(|text| text["text"].as_str().expect("a text").len()).collect();
    let bytes = lengths.iter().sum::<usize>();
    assert!(bytes >= 20_000 && bytes - lengths[lengths.len() - 1] < 20_000, "{bytes}");

    let config = Config::load(&fixture.out("out-told/stages/1-distill/config.toml"), &[]).expect("a configuration");
    let (with, without) = (itera_data::prepare(&config).expect("data"), &fixture.baseline.data);
    let read: usize = texts.iter().filter(|text| !text["text"].as_str().expect("a text").trim().is_empty()).count();
    let train = |data: &itera_data::Dataset| data.summary.corpus.train.documents as usize;
    assert!(train(&with) > train(without) && train(&with) <= train(without) + read);
    assert_eq!(with.summary.corpus.valid, without.summary.corpus.valid);

    // whatever the number of threads
    let again = fixture.recipe("again", text);
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a pool");
    one.install(|| fixture.finish(&again));
    assert_eq!(fs::read_to_string(fixture.out("out-again/stages/1-distill.sampled.jsonl")).expect("text"), lines);
}

#[test]
fn what_a_teacher_says_counts() {
    let fixture = Fixture::new();
    let text = |teacher: &str| {
        format!(
            "about = \"x\"\n[[stage]]\ndo = \"finetune\"\ntrain = {{ steps = 4, lr = 1e-2 {teacher} }}\n\
             [[stage]]\ndo = \"quantize\"\nkind = \"f16\"\n"
        )
    };
    let bpb = |name: &str, teacher: &str| {
        let report = fixture.finish(&fixture.recipe(name, &text(teacher)));
        report.stages[0].variant.loss_percent.abs()
    };
    // a model that learns from itself alone has nothing to learn
    let alone = bpb("self", ", weight_decay = 0.0, teacher = { weight = 1.0 }");
    let text = bpb("text", ", weight_decay = 0.0");
    assert!(alone < text / 4.0, "{alone} % and {text} %");
}

#[test]
fn a_run_that_still_learns_is_no_teacher_unless_the_recipe_insists() {
    let mut fixture = Fixture::new();
    let text = |teacher: &str| {
        format!(
            "about = \"x\"\n[[stage]]\ndo = \"quantize\"\nkind = \"q4_0\"\ntrain = {{ steps = 4, lr = 1e-2 {teacher} }}\n"
        )
    };
    let auto = fixture.recipe("auto", &text(", teacher = { weight = 1.0, auto = true }"));
    let [by_run, by_text] = [("run", ", teacher = { weight = 1.0 }"), ("text", "")]
        .map(|(name, teacher)| fixture.finish(&fixture.recipe(name, &text(teacher))).stages[0].variant.bits_per_byte);
    assert_ne!(by_run, by_text);

    let metrics = fixture.out("run/metrics.jsonl");
    let rows = itera_metrics::read_records(&metrics).expect("rows");
    for (curve, run_teaches, reason) in [
        (Some([2.0, 1.99]), true, "at most 10 %"),
        (Some([4.0, 2.0]), false, "more than 10 %"),
        (None, true, "no record"),
    ] {
        let mut rows = rows.clone();
        let mut values = curve.into_iter().flatten();
        for row in rows.iter_mut().filter(|row| row.val_bpb.is_some()) {
            row.val_bpb = values.next();
        }
        let lines: Vec<String> = rows.iter().map(|row| serde_json::to_string(row).expect("JSON") + "\n").collect();
        fs::write(&metrics, lines.concat()).expect("written");
        fixture.reopen();
        let plan = Plan::new(&auto, &fixture.baseline, true).expect("it fits");
        let choice = plan.stages[0].teacher.clone().expect("the recipe names one");
        assert!(choice.teacher.is_some() == run_teaches && choice.reason.contains(reason), "{choice:?}");
        let outcome = fixture.compress(&auto, Resume::Overwrite, StopFlag::default()).expect("done");
        let Outcome::Finished(report) = outcome else { panic!("interrupted") };
        assert_eq!(report.stages[0].teacher, Some(choice));
        assert_eq!(report.stages[0].variant.bits_per_byte, if run_teaches { by_run } else { by_text });
    }
}
