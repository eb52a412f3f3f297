//! A store after every way in which a save can end.

use std::{
    fs,
    path::{Path, PathBuf},
};

use itera_checkpoint::{CheckpointError, CheckpointStore, Snapshot, find_model, run_of};
use itera_fixtures::{borrowed, noise, smallest};
use itera_formats::hf::read_model_dir;
use itera_shape::{ModelConfig, NamedTensor, Precision, TensorRef};
use itera_tokenizer::Tokenizer;

struct Run {
    dir: tempfile::TempDir,
    config: ModelConfig,
    weights: Vec<NamedTensor>,
    published_as: Precision,
}

impl Run {
    fn new() -> Self {
        let config = smallest();
        // uniform numbers, which no narrower kind holds
        let weights = noise(&config);
        Self { dir: tempfile::tempdir().expect("a directory"), config, weights, published_as: Precision::F32 }
    }

    fn store(&self) -> CheckpointStore {
        CheckpointStore::new(self.dir.path())
    }

    /// Save `state` as the checkpoint of `step`.
    fn save(&self, step: u64, state: &str) {
        self.save_with(step, &state);
    }

    fn save_with(&self, step: u64, state: &impl serde::Serialize) {
        self.save_in(&self.store(), step, state).expect("saved");
    }

    fn save_in(
        &self,
        store: &CheckpointStore,
        step: u64,
        state: &impl serde::Serialize,
    ) -> Result<PathBuf, CheckpointError> {
        let weights = borrowed(&self.weights);
        let snapshot = Snapshot {
            step,
            config: &self.config,
            weights: &weights,
            published: None,
            published_as: self.published_as,
            tokenizer: &Tokenizer::byte(),
            optimizer: &[TensorRef { name: "m.embed", shape: &[3], data: &[0.5; 3] }],
            identity: &"this run",
            state,
        };
        store.save(&snapshot)
    }

    fn load(&self, path: &Path) -> Result<String, CheckpointError> {
        let checkpoint = self.store().open::<String, String>(path)?;
        let mut tensors = checkpoint.tensors()?;
        assert_eq!(checkpoint.identity, "this run");
        assert_eq!((&tensors.config, &tensors.weights), (&self.config, &self.weights));
        assert_eq!(tensors.optimizer.take("m.embed", 3)?, [0.5; 3]);
        assert!(matches!(tensors.optimizer.take("m.embed", 3), Err(CheckpointError::Damaged { .. })), "taken");
        Ok(checkpoint.state)
    }

    fn steps(&self) -> Vec<u64> {
        self.store().list().expect("a list").into_iter().map(|found| found.step).collect()
    }

    fn checkpoints(&self) -> std::path::PathBuf {
        self.dir.path().join("checkpoints")
    }
}

#[test]
fn what_was_saved_is_loaded_and_saving_a_step_again_replaces_it() {
    let run = Run::new();
    run.save(3, "one");
    run.save(3, "two");
    let last = run.store().last().expect("a list").expect("a checkpoint");
    assert_eq!(run.load(&last.path).expect("whole"), "two");
    assert_eq!(fs::read_dir(run.checkpoints()).expect("a list").count(), 1, "nothing is left of the first");
}

#[test]
fn bf16_is_what_others_read_and_not_what_the_run_goes_on_from() {
    let mut run = Run::new();
    run.published_as = Precision::Bf16;
    run.save(1, "state");
    let dir = run.checkpoints().join("step-000001");
    assert_eq!(run.load(&dir).expect("whole"), "state");

    let published = read_model_dir(&dir).expect("a model").tensors;
    for (rounded, exact) in published.iter().zip(&run.weights) {
        // bfloat16 has the upper half of the bits, the last of them rounded
        assert!(rounded.data.iter().all(|value| value.to_bits() << 16 == 0), "{}", exact.name);
        let off = |(rounded, exact): (&f32, &f32)| (rounded - exact).abs() > exact.abs() / 256.0;
        assert!(!rounded.data.iter().zip(&exact.data).any(off), "{}", exact.name);
    }
    assert_ne!(published, run.weights, "weights that nothing is lost of test nothing");
    let config = fs::read_to_string(dir.join("config.json")).expect("config.json");
    assert!(config.contains("\"dtype\": \"bfloat16\""), "{config}");

    let masters = dir.join("trainer/weights.safetensors");
    fs::remove_file(&masters).expect("master weights");
    let error = run.load(&dir).expect_err("a file is missing").to_string();
    assert!(error.contains("weights.safetensors"), "{error}");
    run.published_as = Precision::F32;
    run.save(2, "state");
    assert!(!run.checkpoints().join("step-000002/trainer/weights.safetensors").exists(), "the same weights twice");
}

#[test]
fn settling_keeps_the_newest_and_the_best_and_can_be_repeated() {
    let run = Run::new();
    for step in 1..=6 {
        run.save(step, "");
    }
    for _ in 0..2 {
        run.store().settle(6, &[2, 9, 4], &[1], 2).expect("settled");
        assert_eq!(run.steps(), [1, 2, 4, 5, 6]);
        assert!(run.dir.path().join("best").canonicalize().expect("best").ends_with("step-000002"));
        assert!(run.dir.path().join("last").canonicalize().expect("last").ends_with("step-000006"));
    }
    run.store().settle(6, &[], &[], 1).expect("settled");
    assert_eq!(run.steps(), [6]);
    assert!(!run.dir.path().join("best").is_symlink(), "no best, no link");
    run.store().clear().expect("cleared");
    assert_eq!(run.store().last().expect("a list"), None);
}

#[test]
fn an_interrupted_save_is_never_taken_for_a_checkpoint() {
    let run = Run::new();
    run.save(1, "whole");
    run.store().settle(1, &[1], &[], 1).expect("settled");
    // killed while writing
    fs::create_dir(run.checkpoints().join(".step-000002.tmp")).expect("a directory");
    fs::write(run.checkpoints().join(".step-000002.tmp/config.json"), "{").expect("a file");
    assert_eq!(run.steps(), [1]);
    // killed between publishing and pointing `last`: the link says where the run stands
    run.save(2, "published");
    let last = run.store().last().expect("a list").expect("a checkpoint");
    assert_eq!(run.load(&last.path).expect("whole"), "whole");
    // killed before the first link
    fs::remove_file(run.dir.path().join("last")).expect("a link");
    let last = run.store().last().expect("a list").expect("a checkpoint");
    assert_eq!(run.load(&last.path).expect("whole"), "published");
    fs::create_dir(run.checkpoints().join(".step-000003.tmp")).expect("a directory");
    run.store().settle(2, &[], &[], 1).expect("settled");
    assert_eq!(fs::read_dir(run.checkpoints()).expect("a list").count(), 1, "leftovers are swept");
}

#[test]
fn every_flipped_byte_of_the_seal_is_noticed() {
    let run = Run::new();
    run.save(1, "state");
    let dir = run.checkpoints().join("step-000001");
    let path = dir.join("trainer/state.json");
    let bytes = fs::read(&path).expect("the seal");
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        fs::write(&path, &flipped).expect("write");
        assert!(matches!(run.load(&dir), Err(CheckpointError::Damaged { .. })), "byte {at}");
    }
    fs::write(&path, &bytes).expect("write");
    fs::remove_file(dir.join("tokenizer.json")).expect("a file");
    let damaged = |run: &Run| match run.load(&dir).expect_err("a file is missing") {
        CheckpointError::Damaged { path, whole, .. } => (path, whole),
        other => panic!("{other}"),
    };
    assert_eq!(damaged(&run), (dir.join("tokenizer.json"), None));
    run.save(2, "whole");
    assert_eq!(damaged(&run), (dir.join("tokenizer.json"), Some(run.checkpoints().join("step-000002"))));
}

#[test]
fn a_checkpoint_of_another_place_is_refused() {
    let (run, other) = (Run::new(), Run::new());
    run.save(1, "");
    let path = run.checkpoints().join("step-000001");
    fs::create_dir_all(other.checkpoints()).expect("a directory");
    assert!(matches!(other.load(&path), Err(CheckpointError::Elsewhere { .. })));
    assert!(matches!(run.load(Path::new("nowhere")), Err(CheckpointError::NotFound { .. })));
}

/// Make directories of the links, as a copy that follows links does, or drop them.
fn copy_links(run: &Run, follow: bool) {
    for link in ["best", "last"] {
        let link = run.dir.path().join(link);
        let target = link.canonicalize().expect("a link");
        fs::remove_file(&link).expect("removed");
        if follow {
            fs::create_dir_all(link.join("trainer")).expect("created");
            for sub in [".", "trainer"] {
                for entry in fs::read_dir(target.join(sub)).expect("a list").map(|entry| entry.expect("an entry")) {
                    if entry.path().is_file() {
                        fs::copy(entry.path(), link.join(sub).join(entry.file_name())).expect("copied");
                    }
                }
            }
        }
    }
}

#[test]
fn a_run_copied_without_its_links_is_the_same_run() {
    for follow in [true, false] {
        let run = Run::new();
        for step in [10, 20, 30] {
            run.save_with(step, &serde_json::json!({ "step": step, "best": { "step": 20, "val_bpb": 1.5 } }));
        }
        run.store().settle(30, &[20], &[], 3).expect("settled");
        let dir = run.dir.path();
        assert_eq!(find_model(dir).expect("a model"), dir.join("best"));
        copy_links(&run, follow);

        let (best, last) = (run.checkpoints().join("step-000020"), run.checkpoints().join("step-000030"));
        assert_eq!(find_model(dir).expect("a model"), best, "follow: {follow}");
        assert_eq!(run.store().last().expect("a list").map(|found| found.path), Some(last.clone()));
        run.store().settle(30, &[20], &[], 3).expect("settled");
        for (link, target) in [("best", &best), ("last", &last)] {
            let link = dir.join(link);
            assert!(link.is_symlink());
            assert_eq!(link.canonicalize().expect("a link"), target.canonicalize().expect("a checkpoint"));
        }
    }
    // the copy of a link, and nothing else
    let run = Run::new();
    run.save(1, "");
    run.store().settle(1, &[1], &[], 1).expect("settled");
    copy_links(&run, true);
    fs::remove_dir_all(run.checkpoints()).expect("removed");
    let best = find_model(run.dir.path()).expect("a model");
    assert_eq!(best, run.dir.path().join("best"));
    assert_eq!(run_of(&best), run.dir.path().canonicalize().ok());
}

#[test]
fn where_a_run_stands_is_known_without_links_too() {
    let run = Run::new();
    run.save(10, "ten");
    run.save(20, "twenty");
    // resumed from the older one
    run.store().settle(10, &[10], &[], 2).expect("settled");
    copy_links(&run, true);
    assert_eq!(run.store().last().expect("a list").map(|found| found.step), Some(10));
    for link in ["best", "last"] {
        fs::remove_dir_all(run.dir.path().join(link)).expect("removed");
        fs::write(run.dir.path().join(link), "checkpoints/step-000010\n").expect("a text file");
    }
    assert_eq!(run.store().last().expect("a list").map(|found| found.step), Some(10));
    assert!(find_model(run.dir.path()).expect("a model").ends_with("step-000010"));
}

/// A directory that holds everything that a careless program would delete.
#[test]
fn what_others_wrote_is_neither_listed_nor_removed_nor_replaced() {
    let run = Run::new();
    (1..=3).for_each(|step| run.save(step, "state"));
    let dir = run.checkpoints();
    let foreign = [
        "README.md",
        "checkpoint-500/model.safetensors",
        "step-000004/config.json",
        "step-000004/model.safetensors",
        "step-5/weights.pt",
        ".step-notes/mine.txt",
        "step-000001/notes.txt",
        "step-000002/trainer/plot.png",
    ];
    for file in foreign {
        let path = dir.join(file);
        fs::create_dir_all(path.parent().expect("a parent")).expect("created");
        fs::write(path, "mine").expect("written");
    }
    let there = |file: &str| fs::read(dir.join(file)).is_ok_and(|bytes| bytes == b"mine");
    assert_eq!(run.steps(), [1, 2, 3]);

    run.store().settle(3, &[], &[], 1).expect("settled");
    assert_eq!(run.steps(), [3]);
    assert!(foreign.iter().all(|file| there(file)));
    assert!(!dir.join("step-000001/model.safetensors").exists(), "what is ours goes");

    for step in [1, 4] {
        run.save(step, "state");
        assert_eq!(run.load(&dir.join(format!("step-00000{step}"))).expect("whole"), "state");
    }
    for moved in ["step-000001.kept/notes.txt", "step-000004.kept/config.json", "step-000004.kept/model.safetensors"] {
        assert!(there(moved), "{moved}");
    }
    run.store().clear().expect("cleared");
    assert!(run.steps().is_empty());
    let stay = foreign.iter().filter(|file| !file.starts_with("step-000001") && !file.starts_with("step-000004"));
    assert!(stay.into_iter().all(|file| there(file)));
    assert!(there("step-000001.kept/notes.txt"));
}

#[test]
fn a_checkpoint_comes_by_way_of_another_disk_as_it_was_written_there() {
    let (run, direct) = (Run::new(), Run::new());
    direct.save(1, "one");
    let near = tempfile::tempdir().expect("a directory");
    let local = near.path().join("not/made/yet");
    let store = run.store().by_way_of(&local);
    // what a process of this number left when it was killed
    let left = local.join(format!(".itera-{}-step-000001/trainer", std::process::id()));
    fs::create_dir_all(&left).expect("a directory");
    fs::write(left.join("weights.safetensors"), "of another run").expect("written");
    let path = run.save_in(&store, 1, &"one").expect("saved");
    assert!(!path.join("trainer/weights.safetensors").exists(), "what was left there before is no part of it");
    let files =
        ["model.safetensors", "config.json", "tokenizer.json", "trainer/optimizer.safetensors", "trainer/state.json"];
    for file in files {
        let bytes = |run: &Run| fs::read(run.dir.path().join("checkpoints/step-000001").join(file)).expect(file);
        assert_eq!(bytes(&run), bytes(&direct), "{file}");
    }
    assert_eq!(run.load(&path).expect("whole"), "one");
    assert_eq!(fs::read_dir(&local).expect("made").count(), 0, "nothing stays there");

    let file = near.path().join("file");
    fs::write(&file, "no directory").expect("written");
    run.save_in(&run.store().by_way_of(&file), 1, &"another").expect_err("nowhere to write");
    assert_eq!(run.load(&path).expect("what was there"), "one");
}
