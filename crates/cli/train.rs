//! `itera train`

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::Result;
use burn::tensor::Device;
use itera_config::{Config, Objective, WeightDecay};
use itera_data::Dataset;
use itera_kernels::gemm::Operands;
use itera_shape::Precision;
use itera_trainer::{Job, Resume, RunEnd, StopFlag, TrainError, TrainingState, train};

use crate::{
    args::{ConfigArgs, DeviceArgs, WatchArgs},
    data, failure, heart,
    progress::Progress,
    ranks::{Team, together},
    report, setup,
    signals::{self, Stopping},
    slurm,
    talk::{self, say},
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  itera train --config configs/quickstart.toml
  itera train --config configs/tinystories.toml --set data.source=stories.txt --set run.dir=runs/mine
  itera train --config configs/tiny.toml --resume       go on where the last checkpoint was saved
  srun -n 8 itera train --config configs/tiny.toml      by 8 processes, or mpiexec -n 8; same bytes

SIGINT (Ctrl-C), SIGTERM, SIGUSR1, SIGUSR2 and SIGHUP finish the step, save, and exit with 130, 143, 138, 140 or 129, in a
job of Slurm with 75, and so does the end of its time; the same command with --resume then continues, by as many processes
as there are then, to the same bytes as an uninterrupted run.")]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    device: DeviceArgs,
    /// Continue from the run's last checkpoint that is whole, or from CHECKPOINT; starts at step 0 if there is none yet.
    #[arg(long, value_name = "CHECKPOINT", num_args = 0..=1, conflicts_with = "overwrite")]
    resume: Option<Option<PathBuf>>,
    /// Remove the checkpoints that a run left in its directory, and no other file, and start anew.
    #[arg(long)]
    overwrite: bool,
    /// In a job of Slurm, save and stop this long before its time is over, such as 5m; without it 90s, or a tenth of the time
    /// left where that is less.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    stop_before: Option<Duration>,
    #[command(flatten)]
    watch: WatchArgs,
    /// As a trial of a sweep, end at once when standard input is closed or silent for so long.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, hide = true)]
    heartbeat: Option<Duration>,
}

pub fn run(args: Args) -> Result<ExitCode> {
    match args.heartbeat {
        Some(silence) => train_for_a_worker(args, silence),
        None => together(args.watch.watchdog, |team| train_in(args, team)),
    }
}

/// Train a trial of a sweep, by this process alone, whatever has started its worker.
fn train_for_a_worker(args: Args, silence: Duration) -> Result<ExitCode> {
    heart::follow(silence);
    train_in(args, None).or_else(|error| match error.downcast_ref() {
        // one that has lost the trial is about to end
        Some(TrainError::RunBusy { .. }) => {
            failure::tell(&error);
            Ok(ExitCode::from(signals::GO_ON_LATER))
        }
        _ => Err(error),
    })
}

/// What a run needs before it begins.
struct Prepared {
    config: Config,
    device: Device,
    data: Dataset,
    resume: Resume,
}

fn prepare(args: Args, team: Option<&Team<'_>>) -> Result<Prepared> {
    let (config, device) = setup::run(&args.config, &args.device, team)?;
    let resume = match args.resume {
        Some(Some(checkpoint)) => Resume::From(checkpoint),
        Some(None) => Resume::Last,
        None if args.overwrite => Resume::Overwrite,
        None => Resume::No,
    };
    if team.is_none_or(Team::is_first) {
        resume.check(Path::new(&config.run.dir))?;
    }
    let data = data::prepare(&config)?;
    Ok(Prepared { config, device, data, resume })
}

fn train_in(args: Args, team: Option<&Team<'_>>) -> Result<ExitCode> {
    let stopping = Stopping::new()?;
    let stop_before = args.stop_before;
    let is_first = team.is_none_or(Team::is_first);
    let Prepared { config, device, data, resume } = Team::in_turns(team, || prepare(args, team))?;
    let dir = Path::new(&config.run.dir);
    talk::record_in(dir);
    if let Some(team) = team {
        say!("ranks: {}", team.describe());
        let (size, micro_batches) = (team.world().size(), config.train.grad_accum_steps);
        if size > micro_batches {
            let idle = size - micro_batches;
            say!(
                "warning: {idle} of them have nothing to add: a step has {micro_batches} micro-batches (train.grad_accum_steps)"
            );
        }
    }
    let (corpus, tokens) = (&data.summary.corpus, &data.summary.train);
    say!(
        "data: {} documents to train on ({} tokens, {:.2} bytes a token), {} held out",
        corpus.train.documents,
        tokens.tokens,
        tokens.bytes_per_token,
        corpus.valid.documents
    );
    say!(
        "model: {} parameters, {} active a token; run: {}",
        config.model.total_params(),
        config.model.active_params(),
        dir.display()
    );
    if config.train.precision == Precision::Bf16 && !Operands::Bf16.are_paired() {
        say!("precision: bf16, multiplied as f32, which is what this processor does faster: the bits are the same");
    }
    if config.train.weight_decay == WeightDecay::Auto {
        let n_params = config.model.total_params() as u64;
        say!(
            "weight decay: {:.2}, for {:.2} tokens of text a parameter",
            config.train.weight_decay.resolved(n_params, tokens.tokens),
            tokens.tokens as f64 / n_params as f64
        );
    }

    let mut stop = stopping.flag();
    // one rank is enough: it tells the others
    if is_first {
        stop = with_end_of_job(stop, stop_before);
    }
    let mut progress = Progress::of(config.train.objective, team.map_or(vec![], Team::hosts));
    let job = Job { resume, stop, world: team.map(Team::world), ..Job::new(&config, &data, &device) };
    let outcome = train(job, &mut |event| progress.show(event));
    progress.finish();
    let outcome = outcome?;
    if is_first {
        report::write(&config, &data, &outcome)?;
    }

    let state = &outcome.state;
    if let RunEnd::Interrupted(cause) = outcome.end {
        say!("stopped by {cause} after step {} and saved; continue with --resume", state.step);
        return Ok(signals::exit_code(cause));
    }
    if outcome.end == RunEnd::EarlyStopped {
        say!("stopped early: no improvement for {} validations", state.validations_without_improvement);
    }
    if is_first {
        tell_results(&mut io::stdout().lock(), &config, &data, state)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A flag that is raised before the time of this job is over, if this is a job and its time is limited.
pub fn with_end_of_job(flag: StopFlag, before: Option<Duration>) -> StopFlag {
    let Some(stop) = slurm::Stop::of_this_job(before) else {
        if before.is_some() {
            say!("--stop-before changes nothing: this process is in no job of Slurm whose time is limited");
        }
        return flag;
    };
    let in_words = |time: Duration| humantime::format_duration(Duration::from_secs(time.as_secs())).to_string();
    say!("time: {} are left to this job; saves and stops {} before", in_words(stop.left), in_words(stop.before));
    flag.with_end(stop.at())
}

fn tell_results(out: &mut impl Write, config: &Config, data: &Dataset, state: &TrainingState) -> io::Result<()> {
    let dir = Path::new(&config.run.dir);
    if let Some(best) = state.best {
        match config.train.objective {
            Objective::NextToken => {
                writeln!(out, "best validation: {:.4} bits/byte at step {}", best.val_bpb, best.step)?;
            }
            Objective::Contrast => writeln!(out, "best validation: that of step {}", best.step)?,
        }
    }
    if let Some(floor) = data.summary.corpus.valid.floor_bpb.filter(|_| config.train.objective == Objective::NextToken)
    {
        writeln!(out, "floor of this corpus: {floor:.4} bits/byte (what its author spent)")?;
    }
    writeln!(out, "trained {} steps, {} tokens in {:.0} s", state.step, state.tokens, state.elapsed_s)?;
    let links = ["best", "last"].map(|link| dir.join(link));
    writeln!(out, "model: {}", links.iter().find(|link| link.is_dir()).map_or(dir, |link| link).display())?;
    match config.train.objective {
        Objective::NextToken => {
            writeln!(out, "next:  itera generate {} --prompt \"Once upon a time\"", dir.display())
        }
        Objective::Contrast => writeln!(out, "next:  itera embed {} texts.txt -o vectors.npy", dir.display()),
    }
}
