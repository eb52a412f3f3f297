//! Runs in a directory of their own.

use burn::tensor::Device;
use itera_config::Config;
use itera_data::Dataset;
use itera_fixtures::smoke;
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
        smoke(self.dir.path(), name, changes)
    }

    pub fn run(&self, config: &Config, resume: Resume) -> Result<Outcome, TrainError> {
        let data: Dataset = itera_data::prepare(config).expect("data");
        train(Job { resume, ..Job::new(config, &data, &Device::flex()) }, &mut |_| {})
    }

    pub fn parameters(&self, name: &str) -> Vec<NamedTensor> {
        open_model(&self.dir.path().join(name).join("last"), &Device::flex()).expect("a model").parameters()
    }
}
