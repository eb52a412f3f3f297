//! Runs that several ranks share, which are threads here.

use std::{fs, sync::atomic::Ordering, thread};

use burn::tensor::Device;
use itera_collective::World;
use itera_config::Config;
use itera_trainer::{Event, Job, Outcome, Resume, RunEnd, Signal, StopCause, StopFlag, TrainError, train};

use crate::support::Fixture;

/// Everything that has state, in fewer micro-batches than the largest number of ranks has ranks.
const CHANGES: [&str; 10] = [
    "train.steps=6",
    "train.warmup_steps=2",
    "train.grad_accum_steps=5",
    "train.batch_size=2",
    "train.ema=0.9",
    "model.dropout=0.1",
    "eval.every_steps=3",
    "eval.tokens=900",
    "checkpoint.every_steps=2",
    "log.every_steps=2",
];

/// What a rank is started with.
#[derive(Clone)]
struct Rank {
    config: Config,
    /// What its data is prepared by.
    data: Config,
    resume: Resume,
}

/// `size` ranks that are started alike.
fn alike(size: usize, config: Config, resume: Resume) -> Vec<Rank> {
    vec![Rank { data: config.clone(), config, resume }; size]
}

/// What each rank finds; rank `interrupted.0` gets a signal after step `interrupted.1`.
fn train_together(ranks: Vec<Rank>, interrupted: Option<(usize, u64)>) -> Vec<Result<Outcome, TrainError>> {
    thread::scope(|scope| {
        let begin = |(world, rank): (World, Rank)| {
            scope.spawn(move || {
                let Rank { config, data, resume } = rank;
                let data = itera_data::prepare(&data).expect("data");
                let (device, stop) = (Device::flex(), StopFlag::default());
                let job = Job { resume, stop: stop.clone(), world: Some(&world), ..Job::new(&config, &data, &device) };
                train(job, &mut |event| {
                    if let Event::Step { step, .. } = event
                        && interrupted == Some((world.rank(), step))
                    {
                        stop.cell().store(15, Ordering::Relaxed);
                    }
                })
            })
        };
        let ranks: Vec<_> = World::of_threads(ranks.len()).into_iter().zip(ranks).map(begin).collect();
        ranks.into_iter().map(|rank| rank.join().expect("no panic")).collect()
    })
}

/// Model, moments, averages, and rows without times.
fn left(fixture: &Fixture, name: &str) -> (Vec<Vec<u8>>, Vec<String>) {
    let dir = fixture.dir.path().join(name);
    let files = ["last/model.safetensors", "last/trainer/optimizer.safetensors", "best/model.safetensors"];
    let bytes = files.map(|file| fs::read(dir.join(file)).expect("a checkpoint"));
    let rows = itera_metrics::read_records(&dir.join("metrics.jsonl")).expect("rows");
    let about = |row: &itera_metrics::StepRecord| {
        format!("{} {} {:?} {} {:?}", row.step, row.loss_nats, row.val_bpb, row.grad_norm, row.tokens_per_expert)
    };
    (bytes.into(), rows.iter().map(about).collect())
}

#[test]
fn ranks_leave_what_one_process_leaves() {
    let fixture = Fixture::new();
    let alone = fixture.run(&fixture.config("alone", &CHANGES), Resume::No).expect("it trains");
    let expected = left(&fixture, "alone");
    for size in [2, 3, 7] {
        let name = format!("of {size}");
        let found = train_together(alike(size, fixture.config(&name, &CHANGES), Resume::No), None);
        for (rank, found) in found.into_iter().enumerate() {
            let Outcome { end, mut state } = found.expect("it trains");
            assert_eq!(end, RunEnd::Finished);
            assert_eq!(state.samples.len(), if rank == 0 { alone.state.samples.len() } else { 0 });
            (state.elapsed_s, state.samples) = (alone.state.elapsed_s, alone.state.samples.clone());
            assert_eq!(state, alone.state, "rank {rank} of {size}");
        }
        assert_eq!(left(&fixture, &name), expected, "{size} ranks");
    }
}

#[test]
fn a_signal_to_one_rank_stops_all_and_the_run_goes_on_by_another_number() {
    let fixture = Fixture::new();
    fixture.run(&fixture.config("whole", &CHANGES), Resume::No).expect("it trains");
    let ends = |size, resume, interrupted| -> Vec<(RunEnd, u64)> {
        let found = train_together(alike(size, fixture.config("cut", &CHANGES), resume), interrupted);
        found.into_iter().map(|found| found.expect("it trains")).map(|found| (found.end, found.state.step)).collect()
    };
    let interrupted = RunEnd::Interrupted(StopCause::Signal(Signal::new(15).expect("SIGTERM")));
    // told with the sums of the next step
    assert_eq!(ends(3, Resume::No, Some((2, 1))), [(interrupted, 2); 3]);
    assert_eq!(ends(2, Resume::Last, Some((0, 3))), [(interrupted, 4); 2]);
    assert_eq!(ends(1, Resume::Last, Some((0, 5))), [(interrupted, 5)], "alone it is known at once");
    assert_eq!(ends(4, Resume::Last, None), [(RunEnd::Finished, 6); 4]);
    assert_eq!(left(&fixture, "cut"), left(&fixture, "whole"));
}

#[test]
fn ranks_that_would_train_something_else_are_refused_by_name() {
    let fixture = Fixture::new();
    let config = |changes: &[&str]| fixture.config("run", &[&CHANGES[..], changes].concat());
    let refused = |mut ranks: Vec<Rank>, rank: usize, other: Rank| -> String {
        ranks[rank] = other;
        let found: Vec<String> = train_together(ranks, None)
            .into_iter()
            .map(|found| match found.expect_err("they differ") {
                TrainError::RankDiffers { rank: found, what, difference } if found == rank => {
                    format!("{what}: {difference}")
                }
                error => panic!("{error}"),
            })
            .collect();
        assert!(found.iter().all(|text| *text == found[0]), "all ranks say the same: {found:?}");
        found[0].clone()
    };
    let ranks = alike(3, config(&[]), Resume::Last);
    let with = |change: &str| Rank { config: config(&[change]), ..ranks[0].clone() };
    let found = refused(ranks.clone(), 2, with("eval.every_steps=2"));
    assert_eq!(found, "configuration: [eval] every_steps = 3 → every_steps = 2");
    let found = refused(ranks.clone(), 1, Rank { data: config(&["data.builtin_bytes=150000"]), ..ranks[0].clone() });
    assert!(found.starts_with("corpus: "), "{found}");
    assert!(!fixture.dir.path().join("run/config.toml").exists(), "nothing is written");

    let threads = train_together(vec![with("run.threads=1"), with("run.threads=3")], None);
    assert!(threads.iter().all(Result::is_ok), "how many threads a rank has is its own affair");
    // as where a rank does not see the checkpoint
    let found = refused(ranks.clone(), 1, Rank { resume: Resume::No, ..ranks[0].clone() });
    assert_eq!(found, "first step: 6 → 0");
}
