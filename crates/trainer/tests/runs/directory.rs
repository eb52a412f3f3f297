//! What a run finds in its directory, and what it leaves there.

use std::fs;

use burn::tensor::Device;
use itera_checkpoint::find_model;
use itera_tokenizer::Tokenizer;
use itera_trainer::{Event, Job, Resume, RunEnd, TrainError, train};

use crate::support::Fixture;

const SHORT: [&str; 3] = ["train.steps=6", "train.warmup_steps=2", "eval.every_steps=3"];

#[test]
fn a_prompt_longer_than_the_context_is_refused_before_anything_is_written() {
    let fixture = Fixture::new();
    let prompt = "a".repeat(128);
    let prompts = format!("eval.prompts=[\"Once\", \"{prompt}\"]");
    let changes = [&SHORT[..], &["train.seq_len=64", "model.max_seq_len=128", &prompts]].concat();
    let error = fixture.run(&fixture.config("run", &changes), Resume::No).expect_err("129 tokens");
    assert!(matches!(&error, TrainError::LongPrompt { prompt: p, n_tokens: 129, max_seq_len: 128 } if *p == prompt));
    assert!(!fixture.dir.path().join("run").exists());
    // without attention there is no context to fill
    let changes = [&changes[..], &["model.attention_layers=[]"]].concat();
    let outcome = fixture.run(&fixture.config("run", &changes), Resume::No).expect("it trains");
    assert_eq!(outcome.state.samples.len(), 2);
}

#[test]
fn samples_that_fail_are_told_and_end_nothing() {
    let fixture = Fixture::new();
    let config = fixture.config("run", &[&SHORT[..], &["eval.prompts=[\"aaaaaaaa\"]"]].concat());
    let mut data = itera_data::prepare(&config).expect("data");
    // which has the prompt as a token that the model lacks
    data.tokenizer = Tokenizer::train_bpe(["aaaaaaaa aaaaaaaa"].into_iter(), 260).expect("a tokenizer");
    let mut failed = vec![];
    let outcome = train(Job::new(&config, &data, &Device::flex()), &mut |event| {
        if let Event::NoSamples { step, error: TrainError::Sample { prompt, .. } } = event {
            failed.push((step, prompt.clone()));
        }
    });
    let outcome = outcome.expect("it trains");
    assert_eq!(failed, [(3, "aaaaaaaa".into()), (6, "aaaaaaaa".into())]);
    assert_eq!((outcome.end, outcome.state.samples.len()), (RunEnd::Finished, 0));
    find_model(&fixture.dir.path().join("run")).expect("it is saved");
}

#[test]
fn nothing_that_is_not_a_run_is_written_over() {
    let fixture = Fixture::new();
    let config = fixture.config("project", &SHORT);
    let project = fixture.dir.path().join("project");
    fs::create_dir_all(project.join("checkpoints/theirs")).expect("created");
    for file in ["checkpoints/theirs/model.pt", "config.toml", "metrics.csv"] {
        fs::write(project.join(file), "theirs").expect("written");
    }
    let theirs = |file: &str| fs::read(project.join(file)).is_ok_and(|bytes| bytes == b"theirs");
    for (named, next) in [("config.toml", true), ("metrics.csv", false)] {
        for resume in [Resume::No, Resume::Overwrite, Resume::Last] {
            let error = fixture.run(&config, resume).expect_err("refused");
            assert!(matches!(&error, TrainError::NotOfARun { path } if path.ends_with(named)), "{error}");
        }
        assert!(theirs("checkpoints/theirs/model.pt") && theirs("metrics.csv") && (!next || theirs("config.toml")));
        fs::remove_file(project.join(named)).expect("removed");
    }
    fixture.run(&config, Resume::No).expect("nothing is in the way");
    let notes = project.join("checkpoints/step-000006/notes.txt");
    fs::write(&notes, "mine").expect("written");
    fixture.run(&config, Resume::Overwrite).expect("it trains anew");
    assert!(theirs("checkpoints/theirs/model.pt"));
    let kept = project.join("checkpoints/step-000006.kept/notes.txt");
    assert_eq!(fs::read(kept).expect("moved aside"), b"mine");
    assert!(project.join("last/model.safetensors").is_file());
}

#[test]
fn a_finished_run_is_trained_longer_from_before_its_decay() {
    let fixture = Fixture::new();
    let wsd = ["train.schedule=wsd", "train.decay_fraction=0.25", "train.warmup_steps=2", "checkpoint.keep_last=1"];
    let config = |name: &str, steps: &str| fixture.config(name, &[&wsd[..], &[steps]].concat());
    fixture.run(&config("whole", "train.steps=20"), Resume::No).expect("it trains");
    fixture.run(&config("run", "train.steps=12"), Resume::No).expect("it trains");

    let longer = config("run", "train.steps=20");
    let error = fixture.run(&longer, Resume::Last).expect_err("it has decayed");
    let TrainError::PastRates { step: 12, from_step: 9, before: Some(before), changes, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(changes, "[train] steps = 12 → steps = 20");
    let outcome = fixture.run(&longer, Resume::From(before.clone())).expect("it goes on");
    assert_eq!(outcome.state.step, 20);
    assert_eq!(fixture.parameters("run"), fixture.parameters("whole"));
    assert!(!before.exists(), "there is a later one to train longer from");

    let cosine = |steps| {
        fixture.config("cosine", &[steps, "train.warmup_steps=2", "checkpoint.keep_best=0", "checkpoint.keep_last=1"])
    };
    fixture.run(&cosine("train.steps=6"), Resume::No).expect("it trains");
    let error = fixture.run(&cosine("train.steps=9"), Resume::Last).expect_err("it has fallen from its peak");
    assert!(matches!(&error, TrainError::PastRates { from_step: 3, before: None, .. }), "{error:?}");
}

#[test]
fn contents_decide_whose_checkpoint_it_is_and_not_how_they_are_spelled() {
    let fixture = Fixture::new();
    let dir = fixture.dir.path();
    let documents: Vec<String> =
        (0..300).map(|n| format!("The {n} dogs of house {} ran.\n", n % 7).repeat(9)).collect();
    fs::write(dir.join("text.txt"), documents.join("<|endoftext|>\n")).expect("written");
    let source = format!("data.source={}", dir.join("text.txt").display());
    fixture.run(&fixture.config("run", &[&SHORT[..], &[&source]].concat()), Resume::No).expect("it trains");

    fs::create_dir(dir.join("elsewhere")).expect("created");
    fs::rename(dir.join("text.txt"), dir.join("elsewhere/moved.txt")).expect("moved");
    let tokenizer = dir.join("moved.json");
    fs::copy(dir.join("run/last/tokenizer.json"), &tokenizer).expect("copied");
    let moved = [
        &format!("data.source={}", dir.join("elsewhere/../elsewhere/./moved.txt").display()),
        &format!("data.cache_dir={}", dir.join("other cache").display()),
        &format!("tokenizer.path={}", tokenizer.display()),
        "eval.prompts=[\"The dogs\"]",
    ];
    let outcome = fixture.run(&fixture.config("run", &[&SHORT[..], &moved].concat()), Resume::Last);
    assert_eq!(outcome.expect("it goes on").state.resumes, 1);

    fs::write(dir.join("elsewhere/moved.txt"), documents[1..].join("<|endoftext|>\n")).expect("written");
    let error = fixture.run(&fixture.config("run", &[&SHORT[..], &moved].concat()), Resume::Last);
    let error = error.expect_err("another corpus");
    assert!(matches!(&error, TrainError::Foreign { what: "corpus", .. }), "{error}");
}
