//! `itera bench train`
//!
//! ```text
//! peak → steps of a run in a temporary directory → peak again → medians, spread, share of the peak
//! ```

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Result};
use itera_config::Config;
use itera_kernels::{gemm, probe::measure_peak, simd};
use itera_metrics::peak_resident_bytes;
use itera_ops::device::DeviceError;
use itera_shape::Precision;
use itera_trainer::{Job, StepTimes, time_steps};
use serde::Serialize;

use super::spread::{Spread, ms};
use crate::{
    args::{ConfigArgs, DeviceArgs, WatchArgs, at_least_one, count},
    data, output,
    ranks::{Team, together},
    setup,
    talk::say,
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  itera bench train --config configs/bench-tiny.toml
  itera bench train --config configs/bench-tiny.toml --set train.batch_size=4 --set train.seq_len=1024
  itera bench train --config configs/bench-tiny.toml --threads 1 --json

Steps are those of `itera train`, on the configured data: forward, losses, backward, clipping, AdamW, and a row of
metrics each. Nothing is validated, and nothing is left behind but the cache of tokens. Measure on an idle machine.")]
pub struct BenchTrain {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Steps to measure.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = at_least_one::<u64>)]
    pub steps: u64,
    /// Steps to warm up, before those.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = count::<u64>)]
    pub warmup: u64,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub device: DeviceArgs,
    #[command(flatten)]
    pub watch: WatchArgs,
}

/// What was measured, and on what.
#[derive(Serialize)]
struct Findings {
    itera_version: &'static str,
    config: String,
    device: String,
    /// Processes that share the steps.
    ranks: usize,
    /// Of each of them.
    threads: usize,
    simd: &'static str,
    precision: Precision,
    total_params: usize,
    active_params: usize,
    batch_size: usize,
    seq_len: usize,
    grad_accum_steps: usize,
    tokens_per_step: u64,
    /// Each step before those that count.
    warmup_ms: Vec<f64>,
    /// Steps that count.
    steps: u64,
    tokens_per_s: Spread,
    step_ms: Spread,
    phase_ms: Phases,
    /// What the equations of forward and backward ask for.
    flops_per_token: u64,
    /// At the median speed.
    gflops: f64,
    /// Of this processor with as many threads, in this precision, or of the GPU in f32: the faster of two measurements, one
    /// before the steps and one after. Every rank counts as the first, which measures while the others do.
    peak_gflops: f64,
    share_of_peak: f64,
    /// Of the whole process; absent where the system does not tell.
    peak_resident_bytes: Option<u64>,
}

/// Medians.
#[derive(Serialize)]
struct Phases {
    data: f64,
    forward: f64,
    backward: f64,
    wait: f64,
    reduce: f64,
    optimizer: f64,
    log: f64,
}

/// `itera bench train`
pub fn run(args: BenchTrain) -> Result<ExitCode> {
    together(args.watch.watchdog, |team| run_in(&args, team))
}

fn run_in(args: &BenchTrain, team: Option<&Team<'_>>) -> Result<ExitCode> {
    let (config, device, data) = Team::in_turns(team, || {
        let (config, device) = setup::run(&args.config, &args.device, team)?;
        let data = data::prepare(&config)?;
        Ok((config, device, data))
    })?;
    let dir = tempfile::tempdir().context("cannot create a temporary directory")?;

    say!("{} steps to warm up, {} to measure …", args.warmup, args.steps);
    let threads = rayon::current_num_threads();
    let products = match config.train.precision {
        Precision::Bf16 => gemm::Operands::Bf16,
        // no processor trains in f16, and a GPU's peak is in f32
        Precision::F32 | Precision::F16 => gemm::Operands::F32,
    };
    let peak = || {
        let of_device = itera_ops::measure_peak(&device)?;
        Ok::<_, DeviceError>(of_device.unwrap_or_else(|| measure_peak(products, threads).0))
    };
    let peak_before = peak()?;
    let job = Job { world: team.map(Team::world), ..Job::new(&config, &data, &device) };
    let times = time_steps(job, dir.path(), args.warmup + args.steps)?;
    let ranks = team.map_or(1, |team| team.world().size());
    let peak_gflops = peak_before.max(peak()?) * ranks as f64;

    let (warmup, steps) = times.split_at(args.warmup as usize);
    let name = args.config.config.display().to_string();
    let findings = Findings::of(name, &config, ranks, peak_gflops, warmup, steps);
    output::show_once(team, &findings, args.json, Findings::print)
}

impl Findings {
    fn of(
        name: String,
        config: &Config,
        ranks: usize,
        peak_gflops: f64,
        warmup: &[StepTimes],
        steps: &[StepTimes],
    ) -> Self {
        let (model, train) = (&config.model, &config.train);
        let tokens = train.tokens_per_step();
        let median = |phase: fn(&StepTimes) -> Duration| Spread::of(steps.iter().map(|step| ms(phase(step)))).median;
        let tokens_per_s = Spread::of(steps.iter().map(|step| tokens as f64 / step.total().as_secs_f64()));
        let flops_per_token = model.train_flops_per_token(train.seq_len);
        let gflops = flops_per_token as f64 * tokens_per_s.median / 1e9;
        Self {
            itera_version: env!("CARGO_PKG_VERSION"),
            config: name,
            device: config.run.device.clone(),
            ranks,
            threads: rayon::current_num_threads(),
            simd: simd::level().name(),
            precision: train.precision,
            total_params: model.total_params(),
            active_params: model.active_params(),
            batch_size: train.batch_size,
            seq_len: train.seq_len,
            grad_accum_steps: train.grad_accum_steps,
            tokens_per_step: tokens,
            warmup_ms: warmup.iter().map(|step| ms(step.total())).collect(),
            steps: steps.len() as u64,
            step_ms: Spread::of(steps.iter().map(|step| ms(step.total()))),
            phase_ms: Phases {
                data: median(|step| step.data),
                forward: median(|step| step.forward),
                backward: median(|step| step.backward),
                wait: median(|step| step.wait),
                reduce: median(|step| step.reduce),
                optimizer: median(|step| step.optimizer),
                log: median(|step| step.log),
            },
            tokens_per_s,
            flops_per_token,
            gflops,
            peak_gflops,
            share_of_peak: gflops / peak_gflops,
            peak_resident_bytes: peak_resident_bytes(),
        }
    }

    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { tokens_per_s, step_ms, phase_ms, .. } = self;
        writeln!(out, "config      {}", self.config)?;
        writeln!(out, "model       {} parameters, {} active a token", self.total_params, self.active_params)?;
        let precision = self.precision.name();
        if self.ranks > 1 {
            writeln!(out, "ranks       {}", self.ranks)?;
        }
        writeln!(out, "machine     {}, {} threads, SIMD {}, {precision}", self.device, self.threads, self.simd)?;
        let accumulated =
            if self.grad_accum_steps > 1 { format!(" × {}", self.grad_accum_steps) } else { String::new() };
        let (b, l) = (self.batch_size, self.seq_len);
        writeln!(out, "step        {b} × {l}{accumulated} = {} tokens", self.tokens_per_step)?;
        if !self.warmup_ms.is_empty() {
            let warmup: Vec<String> = self.warmup_ms.iter().map(|ms| format!("{ms:.0}")).collect();
            writeln!(out, "warm-up     {} ms", warmup.join(", "))?;
        }
        writeln!(
            out,
            "speed       {:.0} tokens/s, the median of {} steps; {:.0} to {:.0}",
            tokens_per_s.median, self.steps, tokens_per_s.min, tokens_per_s.max
        )?;
        writeln!(out, "time        {:.1} ms a step; {:.1} to {:.1}", step_ms.median, step_ms.min, step_ms.max)?;
        for (name, ms) in [
            ("data", phase_ms.data),
            ("forward", phase_ms.forward),
            ("backward", phase_ms.backward),
            ("waiting", phase_ms.wait),
            ("sum", phase_ms.reduce),
            ("optimiser", phase_ms.optimizer),
            ("logging", phase_ms.log),
        ] {
            writeln!(out, "  {name:9} {ms:8.2} ms  {:5.1} %", 100.0 * ms / step_ms.median)?;
        }
        writeln!(
            out,
            "arithmetic  {:.1} GFLOP/s ({} FLOPs a token), {:.1} % of the peak of {:.0}",
            self.gflops,
            self.flops_per_token,
            100.0 * self.share_of_peak,
            self.peak_gflops
        )?;
        match self.peak_resident_bytes {
            Some(bytes) => writeln!(out, "memory      {:.0} MB at most", bytes as f64 / 1e6),
            None => writeln!(out, "memory      unknown: the system does not tell"),
        }
    }
}
