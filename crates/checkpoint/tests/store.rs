//! A store after every way in which a save can end.

use std::{fs, path::Path};

use burn::tensor::Device;
use itera_checkpoint::{CheckpointError, CheckpointStore, Identity, Snapshot, open_model};
use itera_config::{Config, Precision};
use itera_model::LanguageModel;
use itera_tokenizer::Tokenizer;

const TINY: &str = "
[tokenizer]
kind = 'byte'
[model]
vocab_size = 258
d_model = 32
n_layers = 1
attention_layers = []
d_head = 16
d_state = 4
n_experts = 0
d_shared = 8
";

struct Run {
    dir: tempfile::TempDir,
    config: Config,
    tokenizer: Tokenizer,
    model: LanguageModel,
}

impl Run {
    fn new() -> Self {
        let config = Config::from_toml(TINY, "test", &[]).expect("valid");
        let model = LanguageModel::init(&config.model, 1, &Device::flex());
        Self { dir: tempfile::tempdir().expect("a directory"), config, tokenizer: Tokenizer::byte(), model }
    }

    fn store(&self) -> CheckpointStore {
        CheckpointStore::new(self.dir.path())
    }

    fn identity(&self) -> Identity {
        Identity::new(&self.config, &self.tokenizer, "corpus", String::new())
    }

    /// Save `state` as the checkpoint of `step`.
    fn save(&self, step: u64, state: &str) {
        let moments: Vec<Vec<f32>> = self.model.parameters().iter().map(|p| vec![0.5; p.values.len()]).collect();
        let snapshot = Snapshot {
            step,
            model: &self.model,
            precision: self.config.train.precision,
            tokenizer: &self.tokenizer,
            first_moments: &moments,
            second_moments: &moments,
            state: &state,
            identity: &self.identity(),
        };
        self.store().save(snapshot).expect("saved");
    }

    fn load(&self, path: &Path) -> Result<String, CheckpointError> {
        let loaded = self.store().load::<String>(path, &self.identity(), &Device::flex())?;
        assert_eq!(loaded.model.parameters(), self.model.parameters());
        assert!(loaded.first_moments.iter().chain(&loaded.second_moments).flatten().all(|m| *m == 0.5));
        Ok(loaded.state)
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
    run.config.train.precision = Precision::Bf16;
    run.save(1, "state");
    let dir = run.checkpoints().join("step-000001");
    assert_eq!(run.load(&dir).expect("whole"), "state");

    let opened = open_model(&dir, &Device::flex()).expect("a model").parameters();
    for (rounded, exact) in opened.iter().zip(run.model.parameters()) {
        // bfloat16 has the upper half of the bits, the last of them rounded
        assert!(rounded.values.iter().all(|value| value.to_bits() << 16 == 0), "{}", exact.name);
        let off = |(rounded, exact): (&f32, &f32)| (rounded - exact).abs() > exact.abs() / 256.0;
        assert!(!rounded.values.iter().zip(&exact.values).any(off), "{}", exact.name);
    }
    assert_ne!(opened, run.model.parameters(), "weights that nothing is lost of test nothing");
    let config = fs::read_to_string(dir.join("config.json")).expect("config.json");
    assert!(config.contains("\"dtype\": \"bfloat16\""), "{config}");

    let masters = dir.join("trainer/weights.safetensors");
    fs::remove_file(&masters).expect("master weights");
    let error = run.load(&dir).expect_err("a file is missing").to_string();
    assert!(error.contains("weights.safetensors"), "{error}");
    run.config.train.precision = Precision::F32;
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
        run.store().settle(6, &[2, 9, 4], 2).expect("settled");
        assert_eq!(run.steps(), [2, 4, 5, 6]);
        assert!(run.dir.path().join("best").canonicalize().expect("best").ends_with("step-000002"));
        assert!(run.dir.path().join("last").canonicalize().expect("last").ends_with("step-000006"));
    }
    run.store().settle(6, &[], 1).expect("settled");
    assert_eq!(run.steps(), [6]);
    assert!(!run.dir.path().join("best").is_symlink(), "no best, no link");
    run.store().clear().expect("cleared");
    assert_eq!(run.store().last().expect("a list"), None);
}

#[test]
fn an_interrupted_save_is_never_taken_for_a_checkpoint() {
    let run = Run::new();
    run.save(1, "whole");
    run.store().settle(1, &[1], 1).expect("settled");
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
    run.store().settle(2, &[], 1).expect("settled");
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
    let error = run.load(&dir).expect_err("a file is missing").to_string();
    assert!(error.contains("tokenizer.json") && error.contains("no other checkpoint"), "{error}");
}

#[test]
fn another_configuration_is_named_key_by_key_and_another_place_is_refused() {
    let mut run = Run::new();
    run.save(1, "");
    let path = run.checkpoints().join("step-000001");
    run.config.train.lr = 0.125;
    let error = run.load(&path).expect_err("another configuration").to_string();
    assert!(error.contains("[train] lr = 0.002 → lr = 0.125"), "{error}");
    run.config.train.lr = 0.002;
    run.config.run.threads = 7;
    run.load(&path).expect("threads decide no byte");
    run.config.train.gradient_checkpointing = true;
    run.load(&path).expect("neither does what backward computes again");
    run.config.train.precision = Precision::Bf16;
    run.save(2, "");
    run.config.train.gradient_checkpointing = false;
    let error = run.load(&run.checkpoints().join("step-000002")).expect_err("other gradients").to_string();
    assert!(error.contains("gradient_checkpointing = true → gradient_checkpointing = false"), "{error}");
    run.config.train.precision = Precision::F32;

    let other = Run::new();
    fs::create_dir_all(other.checkpoints()).expect("a directory");
    assert!(matches!(other.load(&path), Err(CheckpointError::Elsewhere { .. })));
    assert!(matches!(run.load(Path::new("nowhere")), Err(CheckpointError::NotFound { .. })));
}
