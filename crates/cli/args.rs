//! Options that several commands take.

use std::{path::PathBuf, str::FromStr, time::Duration};

/// A configuration file and changes to it.
#[derive(Debug, clap::Args)]
pub struct ConfigArgs {
    /// Configuration file (TOML); every key is described in configs/reference.toml.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Change a key: --set train.lr=3e-4 (may be given again).
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
}

/// Where a command computes.
#[derive(Debug, clap::Args)]
pub struct DeviceArgs {
    /// Device to compute on; `itera doctor` lists those of this build.
    #[arg(long, value_name = "NAME")]
    pub device: Option<String>,
    /// Worker threads; 0 uses every core. Results do not depend on it.
    #[arg(long, value_name = "N", value_parser = count::<usize>)]
    pub threads: Option<usize>,
}

/// What processes that do one thing together do about one that is lost.
#[derive(Debug, clap::Args)]
pub struct WatchArgs {
    /// Of several processes, end all when one is silent, or lets the others wait, for so long; 0s waits for ever.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "5m")]
    pub watchdog: Duration,
}

/// Parses a whole number.
pub fn count<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| "expected a whole number from 0".into())
}

/// Parses a whole number that is not 0.
pub fn at_least_one<T: FromStr + PartialOrd + From<u8>>(text: &str) -> Result<T, String> {
    text.parse().ok().filter(|count| *count >= T::from(1)).ok_or_else(|| "expected a whole number from 1".into())
}
