//! Runs that learn which parts of documents belong together, and what they begin with.

use std::{fs, sync::atomic::Ordering, thread};

use burn::tensor::Device;
use itera_collective::World;
use itera_config::Config;
use itera_data::TokenBatch;
use itera_runtime::{Model, Pooling};
use itera_tokenizer::TokenId;
use itera_trainer::{Event, Job, Resume, RunEnd, StopFlag, TrainError, train};

use crate::support::Fixture;

/// A run on documents each of which is about a number.
fn config(fixture: &Fixture, name: &str, changes: &[&str]) -> Config {
    let text = fixture.dir.path().join("text.txt");
    let documents: Vec<String> = (0..90)
        .map(|n| format!("{n} dogs of No. {n} ran to {n} cats. Then {n} cats of No. {n} ate {n} rats, and {n} more.\n"))
        .collect();
    fs::write(&text, documents.join("<|endoftext|>\n")).expect("written");
    let source = format!("data.source={}", text.display());
    let always = ["data.valid_fraction=0.3", "train.objective=contrast", "train.seq_len=64", &source];
    let short = ["train.steps=8", "train.warmup_steps=2", "train.batch_size=8", "eval.every_steps=4", "eval.tokens=0"];
    fixture.config(name, &[&always[..], &short, changes].concat())
}

#[test]
fn it_learns_to_find_the_other_part() {
    let fixture = Fixture::new();
    let changes = ["train.steps=60", "eval.every_steps=60", "train.lr=1e-2", "train.batch_size=16"];
    fixture.run(&config(&fixture, "run", &changes), Resume::No).expect("it trains");
    let rows = itera_metrics::read_records(&fixture.dir.path().join("run/metrics.jsonl")).expect("rows");
    let (first, last) = (rows.first().expect("a row"), rows.last().expect("a row"));
    let (first, last, held_out) = (first.loss_nats, last.loss_nats, last.val_loss_nats.expect("validated"));
    assert!(last < first / 4.0 && held_out < first / 2.0, "{first} {last} {held_out}");
}

#[test]
fn a_run_that_stops_and_goes_on_and_ranks_leave_what_one_process_leaves() {
    let fixture = Fixture::new();
    let changes = ["train.grad_accum_steps=3", "model.dropout=0.1"];
    fixture.run(&config(&fixture, "whole", &changes), Resume::No).expect("it trains");
    let cut = config(&fixture, "cut", &changes);
    let data = itera_data::prepare(&cut).expect("data");
    for run in 0.. {
        let (device, stop) = (Device::flex(), StopFlag::default());
        let job = Job { resume: Resume::Last, stop: stop.clone(), ..Job::new(&cut, &data, &device) };
        let outcome = train(job, &mut |event| {
            if let Event::Step { step, .. } = event
                && step.is_multiple_of(3)
            {
                stop.cell().store(15, Ordering::Relaxed);
            }
        });
        if outcome.expect("it trains").end == RunEnd::Finished {
            assert_eq!(run, 2);
            break;
        }
    }
    assert_eq!(fixture.parameters("cut"), fixture.parameters("whole"));

    let shared = config(&fixture, "shared", &changes);
    let scores: Vec<f64> = thread::scope(|scope| {
        let rank = |world: World| {
            let (shared, data) = (&shared, &data);
            scope.spawn(move || {
                let device = Device::flex();
                let job = Job { world: Some(&world), ..Job::new(shared, data, &device) };
                train(job, &mut |_| {}).expect("it trains").state.best.expect("validated").val_bpb
            })
        };
        let ranks: Vec<_> = World::of_threads(2).into_iter().map(rank).collect();
        ranks.into_iter().map(|rank| rank.join().expect("no panic")).collect()
    });
    assert_eq!(scores[0].to_bits(), scores[1].to_bits());
    assert_eq!(fixture.parameters("shared"), fixture.parameters("whole"));
}

/// What is learned is what `itera embed` makes: a validation, from vectors of the runtime.
#[test]
fn validation_looks_at_the_vectors_that_the_runtime_makes() {
    let fixture = Fixture::new();
    let config = config(&fixture, "run", &["train.lr=1e-2"]);
    fixture.run(&config, Resume::No).expect("it trains");
    let rows = itera_metrics::read_records(&fixture.dir.path().join("run/metrics.jsonl")).expect("rows");
    let model = Model::open(fixture.dir.path().join("run/last")).expect("a model");
    let mut work = model.workspace();
    let data = itera_data::prepare(&config).expect("data");
    let (mut nats, mut parts) = (0.0, 0.0);
    for batch in data.validation_pairs(&config).batches(0, 8) {
        let vectors: Vec<Vec<f32>> = batch
            .inputs
            .chunks(64)
            .zip(batch.targets.chunks(64))
            .map(|(inputs, targets)| {
                let len = 1 + targets.iter().filter(|target| **target != TokenBatch::UNSCORED).count();
                let tokens: Vec<TokenId> = inputs[..len].iter().map(|id| TokenId(*id as u32)).collect();
                model.embed(&tokens, Pooling::Mean, &mut work).expect("a vector")
            })
            .collect();
        let d = vectors[0].len();
        for n in [d, d / 2, d / 4] {
            let cosine = |a: usize, b: usize| {
                let dot = |a: usize, b: usize| {
                    vectors[a][..n].iter().zip(&vectors[b]).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>()
                };
                dot(a, b) / (dot(a, a) * dot(b, b)).sqrt() / 0.05
            };
            for part in 0..8 {
                let other = |at: usize| cosine(part, 2 * at + (part + 1) % 2);
                nats += ((0..4).map(|at| other(at).exp()).sum::<f64>().ln() - other(part / 2)) / 3.0;
            }
        }
        parts += 8.0;
    }
    let found = rows.last().and_then(|row| row.val_loss_nats).expect("validated");
    assert!((found - nats / parts).abs() < 1e-4, "{found} {}", nats / parts);
}

#[test]
fn a_run_begins_with_the_model_that_is_named_if_it_is_of_its_shape_and_tokens() {
    let fixture = Fixture::new();
    let first = config(&fixture, "first", &["train.objective=next-token", "train.steps=4", "eval.every_steps=4"]);
    fixture.run(&first, Resume::No).expect("it trains");
    let init = format!("train.init={}", fixture.dir.path().join("first").display());
    // no step changes anything at a rate of almost nothing
    let still =
        ["train.steps=1", "train.warmup_steps=0", "train.lr=1e-30", "train.weight_decay=0", "eval.every_steps=1"];
    let second = config(&fixture, "second", &[&still[..], &[&init]].concat());
    fixture.run(&second, Resume::No).expect("it trains");
    assert_eq!(fixture.parameters("second"), fixture.parameters("first"));

    let misfit = |name: &str, change: &str| {
        let refused = fixture.run(&config(&fixture, name, &[&init, change]), Resume::No).expect_err("another model");
        let TrainError::Misfit { what, .. } = &refused else { panic!("{refused}") };
        (what.clone(), refused.to_string())
    };
    let (what, said) = misfit("wider", "model.d_expert=24");
    assert!(what == "first other tensor" && said.contains("[4, 48, 32]"), "{said}");
    let (what, said) = misfit("other", "tokenizer.kind=bpe");
    assert_eq!(what, "tokenizer", "{said}");
}

#[test]
fn a_text_of_too_few_documents_is_refused() {
    let fixture = Fixture::new();
    let config = config(&fixture, "run", &["train.batch_size=256"]);
    let refused = itera_data::prepare(&config).expect_err("too few documents");
    assert!(refused.to_string().contains("but a batch of pairs needs 128"), "{refused}");
}
