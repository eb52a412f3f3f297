//! Runs whose sequences begin with documents.

use std::fs;

use burn::tensor::Device;
use itera_config::Config;
use itera_data::load_corpus;
use itera_runtime::Model;
use itera_testkit::assert_close;
use itera_trainer::{Event, Job, Resume, RunEnd, StopFlag, train};

use crate::support::Fixture;

/// A run on documents of 24 to 500 bytes.
fn config(fixture: &Fixture, name: &str, changes: &[&str]) -> Config {
    let text = fixture.dir.path().join("text.txt");
    let documents: Vec<String> = (1..40).map(|n| format!("The {n} dogs of No. {n} ran.\n").repeat(n % 18)).collect();
    fs::write(&text, documents.join("<|endoftext|>\n")).expect("written");
    let source = format!("data.source={}", text.display());
    let documents = ["data.windows=documents", "data.valid_fraction=0.3", &source];
    let short = ["train.steps=8", "train.warmup_steps=2", "train.batch_size=3", "eval.every_steps=4"];
    fixture.config(name, &[&documents[..], &short, changes].concat())
}

#[test]
fn a_run_that_stops_after_any_step_reads_on_within_the_epoch_into_the_next_and_replaces_the_same_inputs() {
    let fixture = Fixture::new();
    let changes = ["train.seq_len=512", "train.batch_size=2", "train.grad_accum_steps=2", "train.replace_inputs=0.2"];
    fixture.run(&config(&fixture, "whole", &changes), Resume::No).expect("it trains");
    fixture.run(&config(&fixture, "plain", &changes[..3]), Resume::No).expect("it trains");
    assert_ne!(fixture.parameters("plain"), fixture.parameters("whole"));
    let config = config(&fixture, "cut", &changes);
    let data = itera_data::prepare(&config).expect("data");
    let windows = data.sampler(&config).windows_per_epoch();
    assert!((5..16).contains(&windows) && !windows.is_multiple_of(2), "{windows} of 4 a step and 32 in all");
    for run in 0.. {
        let (device, stop) = (Device::flex(), StopFlag::default());
        let job = Job { resume: Resume::Last, stop: stop.clone(), ..Job::new(&config, &data, &device) };
        let outcome = train(job, &mut |event| {
            if let Event::Step { .. } = event {
                stop.cell().store(15, std::sync::atomic::Ordering::Relaxed);
            }
        });
        if outcome.expect("it trains").end == RunEnd::Finished {
            assert_eq!(run, 7);
            break;
        }
    }
    assert_eq!(fixture.parameters("cut"), fixture.parameters("whole"));
}

#[test]
fn validation_scores_documents_as_the_runtime_does() {
    let fixture = Fixture::new();
    // of documents that are longer than the context both score windows
    for (name, changes) in
        [("whole", ["train.seq_len=512", ""]), ("windows", ["train.seq_len=64", "model.max_seq_len=64"])]
    {
        let changes: Vec<&str> = changes.into_iter().filter(|change| !change.is_empty()).collect();
        let config = config(&fixture, name, &[&changes[..], &["eval.tokens=0", "eval.prompts=[\"On\"]"]].concat());
        let outcome = fixture.run(&config, Resume::No).expect("it trains");
        let corpus = load_corpus(&config.data).expect("documents");
        let documents: Vec<&str> = corpus.valid.iter().map(|document| document.text()).collect();
        let lens: Vec<usize> = documents.iter().map(|text| text.len()).collect();
        assert!(lens.len() > 3 && lens.iter().all(|len| *len < 512) && lens.iter().any(|len| *len > 96), "{lens:?}");
        let data = itera_data::prepare(&config).expect("data");
        let model = Model::open(fixture.dir.path().join(name).join("best")).expect("a model");
        let evaluation = model.score_documents(&data.tokenizer, &documents, &|| {}).expect("a score");
        assert_eq!(evaluation.windows.is_some(), name == "windows");
        let val_bpb = outcome.state.best.expect("a validation").val_bpb;
        assert_close(name, &[val_bpb as f32], &[evaluation.score.bits_per_byte() as f32], 1e-5);
    }
}
