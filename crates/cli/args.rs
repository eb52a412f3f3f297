//! Options that several commands take.

use std::path::PathBuf;

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
    /// Device, one of those compiled in (see `itera doctor`).
    #[arg(long, value_name = "NAME")]
    pub device: Option<String>,
    /// Worker threads; 0 uses every core. Results do not depend on it.
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
}

/// A count that is not zero.
pub fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| *count > 0).ok_or_else(|| "expected a whole number from 1".into())
}
