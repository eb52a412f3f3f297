//! Where a run took place.

use std::env::consts;

use itera_kernels::probe::Cpu;
use serde::{Deserialize, Serialize};

/// Machine and versions that a run depends on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// Operating system, as Rust names it.
    pub os: String,
    /// Instruction set architecture, as Rust names it.
    pub arch: String,
    /// Name of the processor, where the system tells.
    pub cpu_model: Option<String>,
    /// Cores of the machine.
    pub physical_cores: usize,
    /// Hardware threads that the process may use.
    pub logical_cores: usize,
    /// Vector extensions seen at run time.
    pub simd: Vec<String>,
    /// Worker threads of the run.
    pub threads: usize,
    /// Device that computed: `flex`, `cuda` …
    pub device: String,
    /// Version of Itera.
    pub itera_version: String,
    /// Version of Burn.
    pub burn_version: String,
    /// Compiler that built this program, where the build could ask it.
    pub rustc_version: Option<String>,
}

impl Environment {
    /// Looks at this machine; the arguments are what only the run knows.
    pub fn detect(device: &str, threads: usize, burn_version: &str) -> Self {
        let cpu = Cpu::detect();
        Self {
            os: consts::OS.into(),
            arch: consts::ARCH.into(),
            cpu_model: cpu.model,
            physical_cores: cpu.physical_cores,
            logical_cores: cpu.logical_cores,
            simd: cpu.simd.into_iter().map(Into::into).collect(),
            threads,
            device: device.into(),
            itera_version: env!("CARGO_PKG_VERSION").into(),
            burn_version: burn_version.into(),
            rustc_version: option_env!("ITERA_RUSTC_VERSION").map(Into::into),
        }
    }
}
