//! A small run to compress, made once for each test.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::Ordering,
};

use burn::tensor::Device;
use itera_compress::{Baseline, CompressError, Event, Job, OnEvent, Outcome, Plan, Recipe, Report, compress};
use itera_fixtures::smoke;
use itera_metrics::Environment;
use itera_trainer::{self as trainer, Resume, StopCause, StopFlag, train};

/// Training through 4-bit codes, kept short.
pub const QAT: &str = r#"
    about = "short"
    [[stage]]
    do = "quantize"
    kind = "q4_0"
    train = { steps = 8, lr = 1e-3 }
"#;

pub fn open(path: &Path, overrides: &[String]) -> Result<Baseline, CompressError> {
    Baseline::open(path, Baseline::config(path, overrides)?)
}

/// A small trained run, and documents to score.
pub struct Fixture {
    dir: tempfile::TempDir,
    pub baseline: Baseline,
    documents: Vec<String>,
}

impl Fixture {
    /// A run of a few steps.
    pub fn new() -> Self {
        Self::with(&[])
    }

    /// One whose configuration has changes.
    pub fn with(changes: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let config = smoke(dir.path(), "run", &[&["train.steps=12", "eval.every_steps=6"][..], changes].concat());
        let data = itera_data::prepare(&config).expect("data");
        train(trainer::Job::new(&config, &data, &Device::flex()), &mut |_| {}).expect("it trains");
        let baseline = open(&dir.path().join("run"), &[]).expect("a run");
        let corpus = itera_data::load_corpus(&config.data).expect("a corpus");
        let documents = corpus.valid.iter().take(8).map(|document| document.text().to_owned()).collect();
        Self { dir, baseline, documents }
    }

    /// Read the run again.
    pub fn reopen(&mut self) {
        self.baseline = open(&self.out("run"), &[]).expect("a run");
    }

    pub fn out(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn recipe(&self, name: &str, text: &str) -> Recipe {
        let path = self.out(name).with_added_extension("toml");
        fs::write(&path, text).expect("written");
        Recipe::find(&path.to_string_lossy()).expect("a recipe")
    }

    pub fn compress(&self, recipe: &Recipe, resume: Resume, stop: StopFlag) -> Result<Outcome, CompressError> {
        self.compress_telling(recipe, resume, stop, &mut |_| {})
    }

    /// Compress until step 3 of a training, at which signal 15 asks to stop.
    pub fn interrupted(&self, recipe: &Recipe, resume: Resume) {
        let stop = StopFlag::default();
        let cell = stop.cell();
        let outcome = self.compress_telling(recipe, resume, stop, &mut |event| {
            if matches!(event, Event::Training(trainer::Event::Step { step: 3, .. })) {
                cell.store(15, Ordering::Relaxed);
            }
        });
        assert!(
            matches!(outcome, Ok(Outcome::Interrupted(StopCause::Signal(signal))) if signal.number() == 15),
            "{outcome:?}"
        );
    }

    pub fn compress_telling(
        &self,
        recipe: &Recipe,
        resume: Resume,
        stop: StopFlag,
        on_event: &mut OnEvent<'_>,
    ) -> Result<Outcome, CompressError> {
        self.carry_out(recipe, &self.out(&format!("out-{}", recipe.name)), resume, stop, on_event)
    }

    /// Compress into another directory than the recipe's own.
    pub fn compress_into(&self, out: &Path, recipe: &Recipe) -> Result<Outcome, CompressError> {
        self.carry_out(recipe, out, Resume::No, StopFlag::default(), &mut |_| {})
    }

    fn carry_out(
        &self,
        recipe: &Recipe,
        out: &Path,
        resume: Resume,
        stop: StopFlag,
        on_event: &mut OnEvent<'_>,
    ) -> Result<Outcome, CompressError> {
        let documents: Vec<&str> = self.documents.iter().map(String::as_str).collect();
        let job = Job {
            plan: &Plan::new(recipe, &self.baseline, true)?,
            documents: &documents,
            out,
            resume,
            device: &Device::flex(),
            environment: Environment::detect("flex", 1, "0"),
            stop,
        };
        compress(&job, on_event)
    }

    pub fn finish(&self, recipe: &Recipe) -> Report {
        match self.compress(recipe, Resume::No, StopFlag::default()).expect("done") {
            Outcome::Finished(report) => *report,
            Outcome::Interrupted(cause) => panic!("interrupted by {cause}"),
        }
    }
}
