//! What commands need before they start: configuration, device, threads, logging.

use anyhow::{Context, Result};
use burn::tensor::Device;
use itera_config::{Config, RunConfig};
use itera_kernels::simd::asked_level;
use itera_ops::device::{COMPILED, by_name, expect_precision};

use crate::{
    args::{ConfigArgs, DeviceArgs},
    hints::with_hint,
    ranks::Team,
    talk::Stderr,
};

/// Warnings of the libraries go to standard error.
pub fn logging() {
    tracing_subscriber::fmt()
        .with_writer(|| Stderr)
        .with_max_level(tracing::Level::WARN)
        .without_time()
        .with_target(false)
        .init();
}

/// The configuration that the command line asks for.
pub fn config(args: &ConfigArgs) -> Result<Config> {
    Ok(Config::load(&args.config, &args.overrides)?)
}

/// The configuration of a run and its device, for which worker threads are started. Where nobody says how many, ranks of a
/// host share its cores.
pub fn run(args: &ConfigArgs, device_args: &DeviceArgs, team: Option<&Team<'_>>) -> Result<(Config, Device)> {
    asked_level()?;
    let mut config = config(args)?;
    apply(device_args, &mut config.run);
    if let (0, Some(team)) = (config.run.threads, team) {
        config.run.threads = team.threads();
    }
    let device = device(&config)?;
    Ok((config, device))
}

/// What the command line says of the device and threads goes before the configuration.
pub fn apply(args: &DeviceArgs, run: &mut RunConfig) {
    run.device = args.device.clone().unwrap_or_else(|| run.device.clone());
    run.threads = args.threads.unwrap_or(run.threads);
}

/// Start worker threads; 0 is one a core.
pub fn threads(count: usize) -> Result<()> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(count).use_current_thread();
    pool.build_global().context("cannot start worker threads")
}

/// Start worker threads, apart from the one that calls; 0 is one a core.
#[cfg(feature = "serve")]
pub fn threads_apart(count: usize) -> Result<()> {
    rayon::ThreadPoolBuilder::new().num_threads(count).build_global().context("cannot start worker threads")
}

/// The device of a run, which has its precision, and its worker threads started.
pub fn device(Config { run, train, .. }: &Config) -> Result<Device> {
    threads(run.threads)?;
    let name = &run.device;
    let device = by_name(name)?.ok_or_else(|| {
        let problem = format!("device `{name}` is not in this build, which has: {}", COMPILED.join(", "));
        with_hint(problem, format!("build with --features {name}"))
    })?;
    expect_precision(&device, train.precision)?;
    Ok(device)
}
