//! Runs in a directory of their own.

use std::path::Path;

use burn::tensor::Device;
use itera_config::Config;
use itera_data::Dataset;
use itera_shape::NamedTensor;
use itera_trainer::{Job, Outcome, Resume, TrainError, open_model, train};

pub struct Fixture {
    pub dir: tempfile::TempDir,
}

impl Fixture {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a directory") }
    }

    /// The smoke configuration with changes, its run called `name`.
    pub fn config(&self, name: &str, changes: &[&str]) -> Config {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/smoke.toml");
        let here = |key: &str, name: &str| format!("{key}={}", self.dir.path().join(name).display());
        let mut overrides =
            vec![here("run.dir", name), here("data.cache_dir", "cache"), "data.builtin_bytes=50000".into()];
        overrides.extend(changes.iter().map(|change| change.to_string()));
        Config::load(&path, &overrides).expect("a valid configuration")
    }

    pub fn run(&self, config: &Config, resume: Resume) -> Result<Outcome, TrainError> {
        let data: Dataset = itera_data::prepare(config).expect("data");
        train(Job { resume, ..Job::new(config, &data, &Device::flex()) }, &mut |_| {})
    }

    pub fn parameters(&self, name: &str) -> Vec<NamedTensor> {
        open_model(&self.dir.path().join(name).join("last"), &Device::flex()).expect("a model").parameters()
    }
}
