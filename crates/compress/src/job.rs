//! baseline → stage by stage → artifact, each scored as it lies on disk
//!
//! ```text
//! out/
//!   recipe.toml                      what is done
//!   stages/1-finetune/               a run directory, for stages that train
//!   stages/1-finetune.gguf           what the stage left
//!   stages/1-distill.sampled.jsonl   text that it learnt from beside the run's, and its tokenizer
//!   tiny-int4.gguf, or tiny-fp8/     the artifact: what the last stage left, once it is within its limit
//!   compression_metadata.json  report.json  report.csv  report.html
//! ```

use std::{
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::{Instant, SystemTime},
};

use burn::tensor::Device;
use itera_checkpoint::read_model;
use itera_files::{failed_to, publish, remove, write_atomic};
use itera_formats::PackedTensor;
use itera_metrics::{Environment, read_records};
use itera_shape::NamedTensor;
use itera_trainer::{self as trainer, Resume, RunEnd, StopFlag, TrainingState};

use crate::{
    Baseline, CompressError, ExpertUse, Format, Measure, Metadata, Recipe, Report, Result, Rounder, StageReport,
    Teacher, TensorReport, Variant, Weighed,
    artifact::Artifact,
    fisher,
    inspect::{Calibration, histograms},
    method::StageMethod,
    mixed,
    plan::artifact_name,
    prune::{Halt, Ranking},
    sampled,
    stage::{Importance, Rounding, Stage, Training},
    subject::Subject,
};

/// Tokens of training text that a report compares models on.
const REPORT_TOKENS: usize = 32_768;

/// A recipe to carry out.
pub struct Job<'a> {
    /// The recipe.
    pub recipe: &'a Recipe,
    /// What it is done to.
    pub baseline: &'a Baseline,
    /// Held-out documents that every variant is scored on.
    pub documents: &'a [&'a str],
    /// The directory to write.
    pub out: &'a Path,
    /// What to do with what is there.
    pub resume: Resume,
    /// Write also what llama.cpp cannot run.
    pub allow_unsupported: bool,
    /// Device without autodiff.
    pub device: &'a Device,
    /// Machine and versions, for the report.
    pub environment: Environment,
    /// Raised from outside to save and stop after the training step under way.
    pub stop: StopFlag,
}

/// Is told what happens, from one thread at a time.
pub type OnEvent<'a> = dyn FnMut(Event<'_>) + Send + 'a;

/// What happens, for whoever prints it.
pub enum Event<'a> {
    /// A stage begins.
    Stage {
        /// Its number, from 1.
        number: usize,
        /// Stages in all.
        of: usize,
        /// What it does, in a word.
        name: &'static str,
    },
    /// It trains.
    Training(trainer::Event<'a>),
    /// Training is over.
    Trained,
    /// Calibration text is being read.
    Calibrating {
        /// Tokens of it.
        tokens: usize,
    },
    /// What it costs to change one thing alone was measured.
    Weighing {
        /// What is changed: the `kinds` of matrices, or the `units` that are there.
        what: &'static str,
        /// Such losses measured.
        done: usize,
        /// Losses in all.
        of: usize,
    },
    /// The baseline writes text for a student.
    Sampling {
        /// Bytes written.
        bytes: u64,
        /// Bytes in all.
        of: u64,
    },
    /// A document was scored.
    Scoring {
        /// Documents in all.
        documents: usize,
    },
    /// A model was measured.
    Measured(&'a Variant),
}

/// How it ended.
#[derive(Debug)]
pub enum Outcome {
    /// All is done.
    Finished(Box<Report>),
    /// A signal of this number asked to stop; it can be resumed.
    Interrupted(usize),
}

/// Carry out a recipe.
///
/// # Errors
/// If the recipe does not fit the model, a stage fails or costs more than its limit, or a file cannot be written.
pub fn compress(job: &Job<'_>, on_event: &mut OnEvent<'_>) -> Result<Outcome> {
    if job.documents.is_empty() {
        return Err(CompressError::NoDocuments);
    }
    // what does not fit is found before anything is written
    crate::Plan::new(job.recipe, job.baseline, job.allow_unsupported)?;
    job.prepare_out()?;
    let baseline = Variant {
        size_bytes: job.baseline.weights_bytes,
        ..job.measure("baseline", &job.baseline.dir, None, on_event)?
    };
    on_event(Event::Measured(&baseline));

    let mut subject = Subject::new(job.baseline);
    let mut kept = job.baseline.dir.clone();
    let (mut stages, mut rounded, mut weighed) = (vec![], None, vec![]);
    for (index, stage) in job.recipe.stages.iter().enumerate() {
        let (number, of, name) = (index + 1, job.recipe.stages.len(), stage.name());
        on_event(Event::Stage { number, of, name });
        let started = Instant::now();
        let dir = job.stage_dir(number);
        let rounder;
        (subject, rounder, weighed) = match job.begin(stage, subject, on_event)? {
            Begun::Interrupted(signal) => return Ok(Outcome::Interrupted(signal)),
            Begun::Ready(subject, rounder, weighed) => (*subject, rounder, weighed),
        };
        let (mut steps, mut elapsed_s, mut curve) = (0, started.elapsed().as_secs_f64(), vec![]);
        if let Some(training) = stage.training() {
            match job.train(number, training, rounder.as_ref(), &subject, on_event)? {
                Trained::Interrupted(signal) => return Ok(Outcome::Interrupted(signal)),
                Trained::Finished(parameters, state) => {
                    subject.parameters = parameters;
                    (steps, elapsed_s) = (state.step, state.elapsed_s);
                    let rows = read_records(&dir.join("metrics.jsonl"))?;
                    curve = rows.iter().filter_map(|row| Some((row.step, row.val_bpb?))).collect();
                }
            }
        }
        let packed = match &rounder {
            Some(rounder) => rounder.pack(&subject.parameters),
            None => subject.unpacked()?,
        };
        let format = stage.format();
        let mut path = format.staging(&dir);
        job.write(&path, format, &subject, &packed)?;
        let reference = Some((baseline.size_bytes, baseline.bits_per_byte));
        let mut variant = job.measure(name, &path, reference, on_event)?;
        on_event(Event::Measured(&variant));
        let loss_percent = variant.loss_percent;
        let too_lossy = |limit: &f64| loss_percent > *limit || loss_percent.is_nan();
        if let Some(limit_percent) = stage.max_loss_percent().filter(too_lossy) {
            return Err(CompressError::TooLossy { stage: number, name, loss_percent, limit_percent, kept });
        }
        if let Some(rounder) = rounder {
            let artifact = job.artifact();
            publish(&path, &artifact)?;
            (path, variant.path) = (artifact.clone(), artifact);
            rounded = Some((rounder, packed));
        }
        kept = path;
        stages.push(StageReport { variant, steps, elapsed_s, curve });
    }
    let (rounder, packed) = rounded.expect("the last stage of a valid recipe rounds");
    let report = job.report(baseline, stages, &subject, &rounder, &packed, on_event)?;
    let report = Report { weighed, ..report };
    report.write(job.out)?;
    job.metadata(&report).write(job.out)?;
    Ok(Outcome::Finished(Box::new(report)))
}

/// What a stage works on, how it rounds, if it does, and what was weighed for that.
enum Begun {
    Ready(Box<Subject>, Option<Rounder>, Vec<Weighed>),
    Interrupted(usize),
}

enum Trained {
    Finished(Vec<NamedTensor>, Box<TrainingState>),
    Interrupted(usize),
}

impl Job<'_> {
    /// Where the artifact goes.
    fn artifact(&self) -> PathBuf {
        let format = self.recipe.stages.last().map_or(Format::Gguf, Stage::format);
        format.finished(&self.out.join(artifact_name(self.baseline, self.recipe)))
    }

    /// Where the stage with this number trains; what it leaves besides lies next to it.
    fn stage_dir(&self, number: usize) -> PathBuf {
        self.out.join("stages").join(format!("{number}-{}", self.recipe.stages[number - 1].name()))
    }

    /// Make room in the output directory, or see that what is there was begun by the same recipe.
    fn prepare_out(&self) -> Result<()> {
        let recipe = self.out.join("recipe.toml");
        let text = toml::to_string(self.recipe).map_err(|error| CompressError::Report(error.to_string()))?;
        match self.resume {
            Resume::No => {
                if let Some(path) = [self.artifact(), recipe.clone()].into_iter().find(|path| path.exists()) {
                    return Err(CompressError::Exists { path });
                }
            }
            Resume::Overwrite if recipe.exists() => {
                let written = ["stages", "compression_metadata.json", "report.json", "report.csv", "report.html"];
                for path in written.map(|name| self.out.join(name)).into_iter().chain([self.artifact()]) {
                    remove(&path)?;
                }
            }
            Resume::Overwrite => {}
            Resume::Last | Resume::From(_) => {
                if recipe.exists()
                    && let Some(path) =
                        self.other_stage(&fs::read_to_string(&recipe).map_err(failed_to("read", &recipe))?)?
                {
                    return Err(CompressError::OtherRecipe { path });
                }
            }
        }
        fs::create_dir_all(self.out.join("stages")).map_err(failed_to("create", self.out))?;
        Ok(write_atomic(&recipe, text.as_bytes())?)
    }

    /// What is left by a stage that this recipe does not have: one after the first where `begun`, the recipe of before,
    /// is another.
    fn other_stage(&self, begun: &str) -> Result<Option<PathBuf>> {
        let begun = toml::from_str::<Recipe>(begun).map_or(vec![], |recipe| recipe.stages);
        let same = begun.iter().zip(&self.recipe.stages).take_while(|(begun, stage)| begun == stage).count();
        let changed = same < begun.len().max(self.recipe.stages.len());
        let artifact = self.artifact();
        let stages = self.out.join("stages");
        if !changed {
            return Ok(None);
        }
        if artifact.exists() {
            return Ok(Some(artifact));
        }
        if !stages.exists() {
            return Ok(None);
        }
        let entries = fs::read_dir(&stages).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
        let entries = entries.map_err(failed_to("read", &stages))?;
        let number_of = |name: &str| name.split('-').next().and_then(|number| number.parse::<usize>().ok());
        let of_others = entries
            .iter()
            .filter(|entry| entry.file_name().to_str().and_then(number_of).is_some_and(|number| number > same));
        Ok(of_others.map(fs::DirEntry::path).min())
    }

    /// What training of the stage with this number depends on beyond its configuration and data.
    fn identity(&self, number: usize) -> String {
        let stages = serde_json::to_string(&self.recipe.stages[..number]).unwrap_or_default();
        format!("{stages} on weights {}", self.baseline.weights_sha256)
    }

    /// Do what a stage does before it trains.
    fn begin(&self, stage: &Stage, subject: Subject, on_event: &mut OnEvent<'_>) -> Result<Begun> {
        let recipe = &self.recipe.name;
        let mut weighed = vec![];
        let (subject, rounder) = match stage {
            Stage::Finetune(_) => (subject, None),
            Stage::Distill(distill) => (subject.student(recipe, distill)?, None),
            Stage::Prune(prune) => {
                let tokens = prune.calibration_tokens;
                on_event(Event::Calibrating { tokens });
                let mut on_done = |done, of| on_event(Event::Weighing { what: "units", done, of });
                let ranking = match prune.importance {
                    Importance::Saliency => Ranking::Saliency(fisher::importance(&subject, tokens, self.device)?),
                    Importance::Loss => Ranking::Loss {
                        calibration: Calibration::new(&subject, tokens, self.device),
                        stop: &self.stop,
                        on_done: &mut on_done,
                    },
                };
                match subject.pruned(recipe, prune, ranking) {
                    Ok(left) => (left, None),
                    Err(Halt::Signal(signal)) => return Ok(Begun::Interrupted(signal)),
                    Err(Halt::Failed(error)) => return Err(error),
                }
            }
            Stage::Quantize(quantize) => {
                let measure = self.measure_for(quantize.rounding, quantize.calibration_tokens, &subject, on_event)?;
                let rounder = Rounder::new(recipe, quantize, subject.model(), measure)?;
                (subject, Some(rounder))
            }
            Stage::Mixed(mixed) => {
                let measure = self.measure_for(mixed.rounding, mixed.calibration_tokens, &subject, on_event)?;
                on_event(Event::Calibrating { tokens: mixed.calibration_tokens });
                let calibration = Calibration::new(&subject, mixed.calibration_tokens, self.device);
                let mut on_done = |done, of| on_event(Event::Weighing { what: "kinds", done, of });
                let quantize = match mixed::choose(recipe, mixed, &calibration, &measure, &self.stop, &mut on_done)? {
                    ControlFlow::Break(signal) => return Ok(Begun::Interrupted(signal)),
                    ControlFlow::Continue((quantize, found)) => {
                        weighed = found;
                        quantize
                    }
                };
                let rounder = Rounder::new(recipe, &quantize, subject.model(), measure)?;
                (subject, Some(rounder))
            }
        };
        Ok(Begun::Ready(Box::new(subject), rounder, weighed))
    }

    /// What a rounding keeps small, measured where it asks for that.
    fn measure_for(
        &self,
        rounding: Rounding,
        tokens: usize,
        subject: &Subject,
        on_event: &mut OnEvent<'_>,
    ) -> Result<Measure> {
        let mut calibrating = || on_event(Event::Calibrating { tokens });
        Ok(match rounding {
            Rounding::MinMax => Measure::MinMax,
            Rounding::Mse => Measure::Mse,
            Rounding::Fisher => {
                calibrating();
                Measure::Fisher(fisher::importance(subject, tokens, self.device)?)
            }
            Rounding::Gptq => {
                calibrating();
                Measure::Gptq(fisher::feedback(subject, tokens, self.device)?)
            }
        })
    }

    /// Train `subject` for the stage with this number, or go on with what was begun there.
    fn train(
        &self,
        number: usize,
        training: &Training,
        rounder: Option<&Rounder>,
        subject: &Subject,
        on_event: &mut OnEvent<'_>,
    ) -> Result<Trained> {
        let dir = self.stage_dir(number);
        let run = Subject::new(self.baseline);
        let teacher = training.teacher.map(|weight| Teacher::new(&run, subject, weight, self.device));
        let method = StageMethod { identity: self.identity(number), rounder, teacher: teacher.transpose()? };
        let mut with_text = None;
        if let Some(sampled) = &training.sampled {
            let documents = dir.with_added_extension("sampled.jsonl");
            let mut on_bytes = |bytes| on_event(Event::Sampling { bytes, of: sampled.bytes });
            // it was written whole, or is not there
            if !documents.exists()
                && let Some(signal) =
                    sampled::write_documents(&documents, self.baseline, sampled, &self.stop, &mut on_bytes)?
            {
                return Ok(Trained::Interrupted(signal));
            }
            with_text = Some(subject.with_text(&documents, &dir.with_added_extension("tokenizer.json"))?);
        }
        let subject = with_text.as_ref().unwrap_or(subject);
        let config = subject.training_config(training, &dir)?;
        let job = trainer::Job {
            resume: Resume::Last,
            stop: self.stop.clone(),
            method: &method,
            initial: (!subject.parameters.is_empty()).then_some(&subject.parameters),
            ..trainer::Job::new(&config, &subject.data, self.device)
        };
        let outcome = trainer::train(job, &mut |event| on_event(Event::Training(event)))?;
        on_event(Event::Trained);
        if let RunEnd::Interrupted(signal) = outcome.end {
            return Ok(Trained::Interrupted(signal));
        }
        // the best by validation, or the last
        let parameters = read_model(&dir)?.tensors;
        Ok(Trained::Finished(parameters, Box::new(outcome.state)))
    }

    fn report(
        &self,
        baseline: Variant,
        stages: Vec<StageReport>,
        subject: &Subject,
        rounder: &Rounder,
        packed: &[PackedTensor],
        on_event: &mut OnEvent<'_>,
    ) -> Result<Report> {
        on_event(Event::Calibrating { tokens: REPORT_TOKENS });
        let after: Vec<Vec<f32>> = packed.iter().map(PackedTensor::numbers).collect();
        let first = Subject::new(self.baseline);
        let calibration = Calibration::new(subject, REPORT_TOKENS, self.device);
        Ok(Report {
            run: self.baseline.name.clone(),
            tensors: TensorReport::measured(subject.model(), packed, &subject.parameters),
            sensitivities: calibration.sensitivities(rounder)?,
            weighed: vec![],
            histograms: histograms(&first, subject, &after),
            expert_use: ExpertUse {
                before: Calibration::new(&first, REPORT_TOKENS, self.device).expert_shares(first.values())?,
                after: calibration.expert_shares(after)?,
            },
            recipe: self.recipe.clone(),
            baseline,
            stages,
            documents: self.documents.len(),
            document_bytes: self.documents.iter().map(|text| text.len() as u64).sum(),
            environment: self.environment.clone(),
        })
    }

    fn write(&self, path: &Path, format: Format, subject: &Subject, packed: &[PackedTensor]) -> Result<()> {
        let (name, allow_unsupported) = (&artifact_name(self.baseline, self.recipe), self.allow_unsupported);
        Artifact { name, subject, packed, allow_unsupported }.write(path, format)
    }

    fn measure(
        &self,
        name: &str,
        path: &Path,
        baseline: Option<(u64, f64)>,
        on_event: &mut OnEvent<'_>,
    ) -> Result<Variant> {
        let documents = self.documents.len();
        let on_event = std::sync::Mutex::new(on_event);
        let on_done = || {
            if let Ok(mut on_event) = on_event.lock() {
                on_event(Event::Scoring { documents });
            }
        };
        Variant::measure(name, path, baseline, self.documents, &on_done)
    }

    fn metadata(&self, report: &Report) -> Metadata {
        let artifact = report.stages.last().map_or(&report.baseline, |stage| &stage.variant);
        Metadata {
            recipe: self.recipe.clone(),
            baseline_sha256: self.baseline.weights_sha256.clone(),
            bytes_before: report.baseline.size_bytes,
            bytes_after: artifact.size_bytes,
            bits_per_byte_before: report.baseline.bits_per_byte,
            bits_per_byte_after: artifact.bits_per_byte,
            date: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            itera_version: env!("CARGO_PKG_VERSION").into(),
        }
    }
}
