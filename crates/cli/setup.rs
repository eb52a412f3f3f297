//! What commands need before they start: configuration, device, threads, logging.

use anyhow::{Context, Result, anyhow};
use burn::tensor::Device;
use itera_config::Config;
use itera_ops::device::{COMPILED, by_name};

use crate::args::{ConfigArgs, DeviceArgs};

/// Warnings of the libraries go to standard error.
pub fn logging() {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(tracing::Level::WARN)
        .without_time()
        .with_target(false)
        .init();
}

/// The configuration that the command line asks for.
pub fn config(args: &ConfigArgs) -> Result<Config> {
    Ok(Config::load(&args.config, &args.overrides)?)
}

/// Choose the device and start the worker threads; the command line goes before the configuration.
pub fn device(args: &DeviceArgs, config: &itera_config::RunConfig) -> Result<Device> {
    let threads = args.threads.unwrap_or(config.threads);
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().context("cannot start worker threads")?;
    let name = args.device.as_deref().unwrap_or(&config.device);
    by_name(name).ok_or_else(|| {
        anyhow!(
            "device `{name}` is not in this build, which has: {}\nhint: build with --features {name}",
            COMPILED.join(", ")
        )
    })
}
