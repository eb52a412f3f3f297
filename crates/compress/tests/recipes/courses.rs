//! Stages that train more than one model: members, folds and generations teach those that come after them.

use std::{collections::HashSet, fs, sync::atomic::Ordering};

use burn::tensor::Device;
use itera_compress::{CompressError, Event, Misfit, Outcome, Plan, Recipe, Report};
use itera_config::Config;
use itera_trainer::{self as trainer, Resume, StopFlag};

use crate::support::Fixture;

const ROUND: &str = "[[stage]]\ndo = 'quantize'\nkind = 'q8_0'\n";

/// A stage that trains a model of the shape of the run, but for `model`.
fn distill(model: &str, teacher: &str) -> String {
    format!("[[stage]]\ndo = 'distill'\n{model}\ntrain = {{ steps = 4, lr = 1e-2 {teacher} }}\n")
}

fn taught_by(keys: &str) -> String {
    distill("model = { n_experts = 2 }", &format!(", teacher = {{ weight = 0.5, {keys} }}"))
}

fn recipe(fixture: &Fixture, name: &str, stages: &[&str]) -> Recipe {
    fixture.recipe(name, &format!("about = 'x'\n{}{ROUND}", stages.concat()))
}

fn names(report: &Report, stage: usize) -> Vec<&str> {
    report.stages[stage].others.iter().map(|other| other.name.as_str()).collect()
}

/// The configuration that a directory of `stages/` was trained with.
fn config(fixture: &Fixture, name: &str, dir: &str) -> Config {
    let path = fixture.out(&format!("out-{name}/stages/{dir}/config.toml"));
    Config::load(&path, &[]).expect("a configuration")
}

#[test]
fn members_of_an_earlier_stage_teach_a_later_one_and_resume_to_the_same_bytes() {
    let fixture = Fixture::new();
    let first = distill("model = { n_experts = 0, top_k = 1 }", "");
    let both = recipe(&fixture, "both", &[&first, &taught_by("stage = 1, members = 2")]);
    let plan = Plan::new(&both, &fixture.baseline, true).expect("it fits");
    let planned: Vec<_> = plan.stages.iter().map(|stage| (stage.trainings, stage.steps)).collect();
    assert_eq!((planned.as_slice(), both.steps()), (&[(2, 4), (1, 4), (0, 0)][..], 12));
    let choice = plan.stages[1].teacher.clone().expect("a teacher");
    assert_eq!(choice.teacher.as_deref(), Some("2 members of stage 1"));
    let dir = tempfile::tempdir().expect("a directory");
    assert_eq!(plan.time_steps(1, 0, &Device::flex(), dir.path(), 2).expect("timed").len(), 2);

    let whole = fixture.finish(&both);
    assert_eq!((names(&whole, 0), names(&whole, 1)), (vec!["member-2"], vec![]));
    assert_eq!(whole.stages[0].others[0].curve.len(), 4);
    let seeds = ["1-distill", "1-distill.member-2"].map(|dir| config(&fixture, "both", dir).run.seed);
    assert_eq!(seeds, [fixture.baseline.config.run.seed, fixture.baseline.config.run.seed + 1]);
    let one = fixture.finish(&recipe(&fixture, "one", &[&first, &taught_by("stage = 1")]));
    let by_run = fixture.finish(&recipe(&fixture, "run", &[&first, &taught_by("temperature = 1.0")]));
    let bpb = |report: &Report, stage: usize| report.stages[stage].variant.bits_per_byte;
    assert_eq!(bpb(&one, 0), bpb(&whole, 0), "more members leave the stage's own model alone");
    let found = [bpb(&whole, 1), bpb(&one, 1), bpb(&by_run, 1)];
    assert!(found[0] != found[1] && found[1] != found[2] && found[0] != found[2], "who teaches counts: {found:?}");

    // interrupted in the second of the two
    let before = fs::read(&whole.stages[2].variant.path).expect("a file");
    let (stop, mut third_steps) = (StopFlag::default(), 0);
    let cell = stop.cell();
    let outcome = fixture.compress_telling(&both, Resume::Overwrite, stop, &mut |event| {
        if matches!(event, Event::Training(trainer::Event::Step { step: 3, .. })) {
            third_steps += 1;
            if third_steps == 2 {
                cell.store(15, Ordering::Relaxed);
            }
        }
    });
    assert!(matches!(outcome, Ok(Outcome::Interrupted(_))), "{outcome:?}");
    assert!(fixture.out("out-both/stages/1-distill.member-2").is_dir());
    assert!(!fixture.out("out-both/stages/2-distill").exists(), "nothing is left of what was replaced");
    let outcome = fixture.compress(&both, Resume::Last, StopFlag::default());
    let Ok(Outcome::Finished(again)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(fs::read(&again.stages[2].variant.path).expect("a file"), before);

    // another recipe in its place leaves no member
    let int8 = Recipe { name: "both".into(), ..Recipe::find("int8").expect("builtin") };
    let outcome = fixture.compress(&int8, Resume::Overwrite, StopFlag::default());
    assert!(matches!(outcome, Ok(Outcome::Finished(_))), "{outcome:?}");
    let left = fs::read_dir(fixture.out("out-both/stages")).expect("a directory");
    assert_eq!(left.count(), 0);
}

#[test]
fn each_document_is_taught_by_a_model_that_has_not_read_it() {
    let fixture = Fixture::with(&["tokenizer.kind=bpe", "model.vocab_size=320"]);
    let first = distill("model = { n_experts = 0, top_k = 1 }", "");
    let student = taught_by("stage = 1, folds = 2").replace("n_experts", "vocab_size = 290, n_experts");
    let report = fixture.finish(&recipe(&fixture, "folds", &[&first, &student]));
    assert_eq!(names(&report, 0), ["fold-2-of-2"], "the first is what the stage leaves");
    assert!(!fixture.out("out-folds/stages/1-distill").exists(), "nobody asks for a model that has read everything");
    let texts = |documents: &[itera_data::Document]| -> HashSet<String> {
        documents.iter().map(|document| document.text().to_owned()).collect()
    };
    let whole = itera_data::load_corpus(&fixture.baseline.config.data).expect("a corpus");
    let read = ["1-distill.fold-1-of-2", "1-distill.fold-2-of-2"].map(|dir| {
        let config = config(&fixture, "folds", dir);
        let corpus = itera_data::load_corpus(&config.data).expect("a corpus");
        assert_eq!(
            corpus.valid,
            whole.valid.iter().map(|of| itera_data::Document::new(of.text().into())).collect::<Vec<_>>()
        );
        let data = itera_data::prepare(&config).expect("data");
        assert_eq!(data.tokenizer.fingerprint(), fixture.baseline.data.tokenizer.fingerprint());
        texts(&corpus.train)
    });
    // the first fold is the documents at even places
    let of = |rest: usize| texts(&whole.train.iter().skip(rest).step_by(2).cloned().collect::<Vec<_>>());
    assert_eq!(read, [of(1), of(0)]);
    let other = fixture.finish(&recipe(&fixture, "plain", &[&first, &student.replace("folds = 2", "folds = 1")]));
    assert_ne!(report.stages[1].variant.bits_per_byte, other.stages[1].variant.bits_per_byte);

    let few = recipe(&fixture, "few", &[&first, &taught_by("stage = 1, folds = 64")]);
    let documents = whole.train.len() as u64;
    let error = Plan::new(&few, &fixture.baseline, true);
    assert!(
        matches!(&error, Err(CompressError::Misfit { problem: Misfit::Folds { folds: 64, documents: found }, .. }) if *found == documents && documents < 64),
        "{documents}: {error:?}"
    );
    let longer = taught_by("stage = 1").replace("n_experts", "vocab_size = 320, n_experts");
    let shorter = distill("model = { vocab_size = 290 }", "");
    let error = Plan::new(&recipe(&fixture, "longer", &[&shorter, &longer]), &fixture.baseline, true).map(|_| ());
    assert!(matches!(error, Err(CompressError::Misfit { problem: Misfit::Teacher, .. })), "{error:?}");
}

#[test]
fn each_generation_learns_from_the_one_before() {
    let fixture = Fixture::new();
    let taught = ", teacher = { weight = 1.0 }";
    let generations = |number: usize, teacher: &str| {
        distill(&format!("model = {{ n_experts = 2 }}\ngenerations = {number}"), teacher)
    };
    let three = recipe(&fixture, "three", &[&generations(3, taught)]);
    let report = fixture.finish(&three);
    assert_eq!(names(&report, 0), ["generation-1", "generation-2"]);
    let seeds = ["1-distill.generation-1", "1-distill.generation-2", "1-distill"]
        .map(|dir| config(&fixture, "three", dir).run.seed - fixture.baseline.config.run.seed);
    assert_eq!(seeds, [2, 1, 0]);
    let bpb = |name: &str, stage: &str| {
        let report = fixture.finish(&recipe(&fixture, name, &[stage]));
        report.stages[0].variant.bits_per_byte
    };
    let last = report.stages[0].variant.bits_per_byte;
    let alone = bpb("alone", &generations(1, ""));
    assert!(last != bpb("one", &generations(1, taught)), "the run does not teach the last");
    // without a teacher the first learns from text alone, and the others half from the one before
    assert!(bpb("text", &generations(2, "")) != alone);
}
