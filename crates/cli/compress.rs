//! `itera compress`

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Result};
use burn::tensor::Device;
use indicatif::ProgressBar;
use itera_compress::{
    Baseline, Event, Job, Outcome, Plan, Recipe, Report, TeacherChoice, Variant, compress, require_unicode,
};
use itera_trainer::Resume;

use crate::{
    args::DeviceArgs,
    documents::{DataArgs, Documents, Split},
    eval,
    progress::Progress,
    quantize, report, setup,
    signals::{self, Stopping},
    talk::say,
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  itera compress --list                                     the recipes, a line each
  itera compress --recipe int4 runs/quickstart --dry-run    what it would do, and the size to the byte
  itera compress --recipe int4 runs/quickstart              writes runs/quickstart-int4
  itera compress --recipe x50 runs/tiny --effort 4          four times the steps
  itera compress --recipe mine.toml runs/tiny -o out --data valid.txt
  itera compress --recipe nvfp4 some/model -o out           any model's directory of safetensors, a tensor at a time
  itera compress --recipe fp8 some/model --dry-run          what stays and why, and every size

A recipe is a TOML file of stages; docs/compression.md describes them. Of a directory that is no run, nvfp4 and fp8 round the
weights as they are; docs/quantization.md says how. SIGINT, SIGTERM, SIGUSR1, SIGUSR2 and SIGHUP stop at
the next piece of work, save a stage that trains, and exit with 130, 143, 138, 140 or 129, in a job of Slurm with 75; the
same command with --resume goes on.")]
pub struct Args {
    /// A run, a checkpoint of one, or a directory of any model with config.json and safetensors.
    #[arg(required_unless_present = "list")]
    path: Option<PathBuf>,
    /// A builtin recipe, or the path of a TOML file.
    #[arg(long, value_name = "NAME|FILE", required_unless_present = "list")]
    recipe: Option<String>,
    /// Directory to write; if not given, RUN-RECIPE or DIR-RECIPE beside it.
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    #[command(flatten)]
    data: DataArgs,
    /// Change a key of the run's configuration: --set data.source=stories.txt (may be given again).
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Train so many times the steps of the recipe; 0.25 is a quarter.
    #[arg(long, value_name = "TIMES", default_value = "1", value_parser = above_0)]
    effort: f64,
    /// Show the builtin recipes.
    #[arg(long)]
    list: bool,
    /// Show what would be done, and the size of the result, to the byte.
    #[arg(long)]
    dry_run: bool,
    /// Go on where an earlier call was stopped.
    #[arg(long, conflicts_with = "overwrite")]
    resume: bool,
    /// Replace what an earlier call wrote.
    #[arg(long)]
    overwrite: bool,
    /// Write the file even if llama.cpp cannot run it.
    #[arg(long)]
    allow_unsupported: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    foreign: quantize::Options,
}

/// Steps that an estimate of time is made from, after one that does not count.
const TIMED_STEPS: u64 = 3;

pub fn run(args: Args) -> Result<ExitCode> {
    let (Some(recipe), Some(path), false) = (&args.recipe, &args.path, args.list) else {
        return list(args.effort, args.json);
    };
    if quantize::is_foreign(path) {
        let output = args.output.clone();
        return args.foreign.run(path, recipe, output, args.dry_run, args.json);
    }
    args.foreign.require_none()?;
    let recipe = Recipe::find(recipe)?.with_effort(args.effort);
    args.output.as_deref().map_or(Ok(()), require_unicode)?;
    say!("opening {} …", path.display());
    let mut config = Baseline::config(path, &args.overrides)?;
    // how many the run was trained with says nothing of this machine
    config.run.threads = 0;
    setup::apply(&args.device, &mut config.run);
    let device = setup::device(&config)?;
    let baseline = Baseline::open(path, config)?;
    let out = args.output.clone().unwrap_or_else(|| beside(&baseline, &recipe));
    let plan = Plan::new(&recipe, &baseline, args.allow_unsupported)?;
    if args.dry_run {
        return dry_run(&plan, &device, &out, args.json);
    }
    let documents = Documents::of_run(&args.data, Split::Valid, baseline.config.data.clone())?;
    let texts = documents.texts();
    if let Some(found) = &documents.found {
        say!("scoring {} documents: {found}", texts.len());
    }
    let job = Job {
        plan: &plan,
        documents: &texts,
        out: &out,
        resume: match (args.resume, args.overwrite) {
            (true, _) => Resume::Last,
            (_, true) => Resume::Overwrite,
            _ => Resume::No,
        },
        device: &device,
        environment: report::environment(&baseline.config.run.device),
        stop: Stopping::new()?.flag(),
    };
    let mut shown = Shown { training: Progress::new(), bar: None };
    match compress(&job, &mut |event| shown.show(event))? {
        Outcome::Finished(report) => {
            print(&report, &out, args.json)?;
            Ok(ExitCode::SUCCESS)
        }
        Outcome::Interrupted(cause) => {
            shown.end_bar();
            say!("stopped by {cause}; what is done is kept in {}: continue with --resume", out.display());
            Ok(signals::exit_code(cause))
        }
    }
}

/// `runs/tiny` and `int4` → `runs/tiny-int4`.
fn beside(baseline: &Baseline, recipe: &Recipe) -> PathBuf {
    baseline.run.with_file_name(format!("{}-{}", baseline.name, recipe.name))
}

fn above_0(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| "expected a number above 0".into())
}

fn list(effort: f64, json: bool) -> Result<ExitCode> {
    let recipes: Vec<Recipe> = Recipe::builtin().into_iter().map(|recipe| recipe.with_effort(effort)).collect();
    let mut out = io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string(&recipes)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let line = |out: &mut dyn Write, [name, size, loss, steps, time, about]: [&str; 6]| {
        writeln!(out, "{name:9} {size:>8} {loss:>10} {steps:>8} {time:>8}  {about}")
    };
    line(&mut out, ["recipe", "smaller", "bits/byte", "steps", "time", "what it does"])?;
    for recipe in recipes {
        let size = recipe.expect.map(|expect| format!("{}×", expect.times_smaller)).unwrap_or_default();
        let loss = recipe.expect.and_then(|expect| expect.loss_percent);
        let loss = loss.map_or("?".into(), |percent| format!("+{percent} %"));
        let steps = if recipe.trains() { recipe.steps().to_string() } else { "-".into() };
        let minutes = recipe.expect.and_then(|expect| expect.minutes);
        let time = minutes.map_or("-".into(), |minutes| in_words(Duration::from_secs_f64(60.0 * minutes)));
        line(&mut out, [&recipe.name, &size, &loss, &steps, &time, &recipe.about])?;
    }
    writeln!(out, "\naims on configs/tiny.toml, time on two cores; what was measured is in docs/compression.md")?;
    Ok(ExitCode::SUCCESS)
}

fn dry_run(plan: &Plan<'_>, device: &Device, to: &Path, json: bool) -> Result<ExitCode> {
    let times = (0..plan.stages.len()).map(|index| stage_time(plan, index, device)).collect::<Result<Vec<_>>>()?;
    let mut out = io::stdout().lock();
    if json {
        let object = serde_json::json!({ "output": to, "plan": plan, "stage_s": times.iter().map(Duration::as_secs_f64).collect::<Vec<_>>() });
        writeln!(out, "{object}")?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(out, "{:28} {:10} {:7} {:>10} {:>10}", "tensor", "role", "kind", "parameters", "bytes")?;
    for tensor in &plan.tensors {
        let (params, bytes) = (tensor.params, tensor.size_bytes);
        writeln!(out, "{:28} {:10} {:7} {params:>10} {bytes:>10}", tensor.name, tensor.role, tensor.kind)?;
    }
    writeln!(out)?;
    for (index, (stage, time)) in plan.stages.iter().zip(&times).enumerate() {
        write!(out, "stage {}  {}", index + 1, stage.name)?;
        if let Some(model) = &stage.model {
            let (d_model, n_layers, d_shared, entries) =
                (model.d_model, model.n_layers, model.d_shared, model.vocab_size);
            write!(out, ", d_model {d_model}, {n_layers} layers, d_shared {d_shared}, {entries} tokens")?;
        }
        if stage.steps > 0 {
            let (steps, tokens, time) = (stage.steps, stage.tokens, in_words(*time));
            let trainings = if stage.trainings > 1 { format!("{} times ", stage.trainings) } else { String::new() };
            write!(out, ", {trainings}{steps} steps of training ({tokens} tokens), about {time} here")?;
        }
        if let Some(teacher) = &stage.teacher {
            write!(out, ", {}", teaching(teacher))?;
        }
        writeln!(out)?;
    }
    if plan.stages.iter().filter(|stage| stage.steps > 0).count() > 1 {
        writeln!(out, "training about {} here in all", in_words(times.iter().sum()))?;
    }
    let most = plan.matrix_budget_bytes.map_or("", |_| "at most ");
    if let Some(bytes) = plan.matrix_budget_bytes {
        writeln!(out, "matrices {bytes} bytes at most, in kinds that measured losses will choose")?;
    }
    let (bytes, times) = (plan.size_bytes, plan.times_smaller);
    writeln!(out, "artifact {most}{bytes} bytes, {times:.2} times smaller than the weights in f32")?;
    writeln!(out, "output   {}", to.display())?;
    Ok(ExitCode::SUCCESS)
}

/// Minutes, or hours where there are many.
fn in_words(time: Duration) -> String {
    let minutes = time.as_secs_f64() / 60.0;
    if minutes < 99.5 { format!("{minutes:.0} min") } else { format!("{:.1} h", minutes / 60.0) }
}

/// Whom a stage learns from, and why.
fn teaching(choice: &TeacherChoice) -> String {
    format!("learns from {}: {}", choice.teacher.as_deref().unwrap_or("text alone"), choice.reason)
}

/// What the trainings of a stage would take here, by a few steps of it.
fn stage_time(plan: &Plan<'_>, index: usize, device: &Device) -> Result<Duration> {
    let steps = plan.stages[index].steps;
    let time_of = |training| {
        let dir = tempfile::tempdir().context("cannot create a temporary directory")?;
        let times = plan.time_steps(index, training, device, dir.path(), 1 + TIMED_STEPS)?;
        let mean_s = times[1..].iter().map(|step| step.total().as_secs_f64()).sum::<f64>() / TIMED_STEPS as f64;
        Ok(Duration::from_secs_f64(mean_s * steps as f64))
    };
    (0..plan.stages[index].trainings).map(time_of).sum()
}

fn print(report: &Report, to: &Path, json: bool) -> Result<()> {
    let mut out = io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string(report)?)?;
        return Ok(());
    }
    writeln!(
        out,
        "{:10} {:>10} {:>8} {:>10} {:>9} {:>10}",
        "stage", "bytes", "smaller", "bits/byte", "change", "tokens/s"
    )?;
    for variant in [&report.baseline].into_iter().chain(report.stages.iter().map(|stage| &stage.variant)) {
        let Variant { name, size_bytes, times_smaller, bits_per_byte, loss_percent, tokens_per_s, .. } = variant;
        writeln!(
            out,
            "{name:10} {size_bytes:>10} {times_smaller:>7.2}× {bits_per_byte:>10.4} {loss_percent:>+7.2} % {tokens_per_s:>10.0}"
        )?;
    }
    if let Some(last) = report.stages.last() {
        writeln!(out, "artifact  {}", last.variant.path.display())?;
    }
    writeln!(out, "report    {}", to.join("report.html").display())?;
    Ok(())
}

/// What is shown while it goes on.
struct Shown {
    training: Progress,
    /// Hidden unless standard error is a terminal.
    bar: Option<ProgressBar>,
}

impl Shown {
    fn end_bar(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn show(&mut self, event: Event<'_>) {
        match event {
            Event::Stage { number, total, name, teacher } => {
                let learns = teacher.map_or(String::new(), |teacher| format!(", {}", teaching(teacher)));
                say!("stage {number}/{total}: {name}{learns}");
            }
            Event::Part { number, total, name } => {
                say!("training {number}/{total}: {}", if name.is_empty() { "its own model" } else { name });
            }
            Event::Training(event) => self.training.show(event),
            Event::Trained => {
                self.training.finish();
                self.training = Progress::new();
            }
            Event::Calibrating { tokens } => say!("calibrating on {tokens} tokens of training text …"),
            Event::Tempered { documents, temperature } => {
                say!("temperature {temperature:.4}, by {documents} held-out documents, which are not scored");
            }
            Event::Sampling { bytes, total } => {
                let new = || {
                    say!("the baseline writes {total} bytes of text …");
                    ProgressBar::new(total).with_prefix("sampling")
                };
                self.bar.get_or_insert_with(new).set_position(bytes);
                if bytes >= total {
                    self.end_bar();
                }
            }
            Event::Weighing { what, done, total } => {
                let new = || ProgressBar::new(total as u64).with_prefix(format!("weighing {what}"));
                self.bar.get_or_insert_with(new).set_position(done as u64);
                if done == total {
                    self.end_bar();
                }
            }
            Event::Scoring { documents } => {
                let new = || ProgressBar::new(documents as u64).with_prefix("scoring");
                self.bar.get_or_insert_with(new).inc(1);
            }
            Event::Measured(variant) => {
                self.end_bar();
                let Variant { name, size_bytes, times_smaller, bits_per_byte, loss_percent, .. } = variant;
                say!(
                    "{name}: {size_bytes} bytes ({times_smaller:.2}× smaller), {bits_per_byte:.4} bits/byte ({loss_percent:+.2} %)"
                );
                if let Some(windows) = variant.windows {
                    say!("{name}: {}", eval::told(&windows));
                }
            }
        }
    }
}
