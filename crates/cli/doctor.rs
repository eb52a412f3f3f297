//! `itera doctor`

use std::{
    fmt,
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Result;
use itera_kernels::{
    gemm::Operands,
    probe::{Cpu, measure_bandwidth, measure_peak},
};
use itera_metrics::{cpu_limit, memory_limit};
use itera_ops::device::{Found, found};
use serde::Serialize;
use sysinfo::System;

use crate::{args::WatchArgs, cluster};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  itera doctor
  itera doctor --json
  mpirun -n 4 itera doctor --cluster

Cores, memory and disk are what this process may use, with the limit that holds. Speeds are measured: run it on an idle
machine. --cluster starts no MPI but under the launcher of one, such as mpirun or srun; it uses the library that
ITERA_MPI_LIB names, or else looks for one.")]
pub struct Args {
    /// Show the MPI of this machine instead and, in a job of several processes, hosts, latency and rate between them,
    /// and how far their clocks are apart.
    #[arg(long)]
    cluster: bool,
    #[command(flatten)]
    watch: WatchArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// What the machine has and measured just now.
#[derive(Serialize)]
struct Findings {
    itera_version: &'static str,
    cpu_model: Option<String>,
    physical_cores: usize,
    /// Threads that can run at once, affinity and quotas counted.
    logical_cores: usize,
    /// What keeps this process from more processors; absent where the system does not say.
    cores_limit: Option<String>,
    simd: Vec<&'static str>,
    /// Memory that this process may have, and what is left of it.
    memory_bytes: u64,
    memory_available_bytes: u64,
    /// What keeps this process from more memory; absent where the system does not say.
    memory_limit: Option<String>,
    /// Free space where the working directory lies; absent where the system does not say.
    disk_free_bytes: Option<u64>,
    devices: Vec<DeviceFinding>,
    peak_f32_gflops_1_thread: f64,
    peak_f32_gflops_all_threads: f64,
    /// Whether bfloat16 is multiplied by dot products, which are faster than those of f32.
    bf16_dot_products: bool,
    peak_bf16_gflops_1_thread: f64,
    peak_bf16_gflops_all_threads: f64,
    bandwidth_gb_per_s_1_thread: f64,
    bandwidth_gb_per_s_all_threads: f64,
}

#[derive(Serialize)]
struct DeviceFinding {
    name: &'static str,
    compiled_in: bool,
    /// How many the machine has; absent if not compiled in.
    found: Option<usize>,
    /// Those that have a name of their own.
    adapters: Vec<Adapter>,
}

#[derive(Serialize)]
struct Adapter {
    name: String,
    /// Precisions that it trains in.
    types: Vec<&'static str>,
    most_tensor_bytes: Option<u64>,
    shared_bytes: Option<u64>,
}

impl DeviceFinding {
    fn new(name: &'static str) -> Self {
        let found = found(name);
        let adapter = |Found { name, types, most_tensor_bytes, shared_bytes }: &Found| {
            let name = name.clone()?;
            Some(Adapter {
                name,
                types: types.clone(),
                most_tensor_bytes: *most_tensor_bytes,
                shared_bytes: *shared_bytes,
            })
        };
        let adapters = found.iter().flatten().filter_map(adapter).collect();
        Self { name, compiled_in: found.is_some(), found: found.as_ref().map(Vec::len), adapters }
    }
}

impl fmt::Display for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.types.join(" "))?;
        if let Some(bytes) = self.most_tensor_bytes {
            write!(f, ", a tensor has up to {} MiB", bytes >> 20)?;
        }
        if let Some(bytes) = self.shared_bytes {
            write!(f, ", {} KiB shared", bytes >> 10)?;
        }
        Ok(())
    }
}

const DEVICES: [&str; 4] = ["flex", "ndarray", "wgpu", "cuda"];

pub fn run(args: Args) -> Result<ExitCode> {
    if args.cluster {
        return cluster::run(args.watch.watchdog, args.json);
    }
    let findings = examine()?;
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&findings)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    writeln!(out, "itera       {}", findings.itera_version)?;
    writeln!(out, "processor   {}", findings.cpu_model.as_deref().unwrap_or("unknown model"))?;
    let limit = |set_by: &Option<String>| set_by.as_ref().map_or(String::new(), |set_by| format!(" (limit: {set_by})"));
    writeln!(
        out,
        "cores       {} physical, {} usable threads{}",
        findings.physical_cores,
        findings.logical_cores,
        limit(&findings.cores_limit)
    )?;
    writeln!(out, "SIMD        {}", findings.simd.join(" "))?;
    writeln!(
        out,
        "memory      {:.1} GiB, {:.1} free{}",
        gib(findings.memory_bytes),
        gib(findings.memory_available_bytes),
        limit(&findings.memory_limit)
    )?;
    match findings.disk_free_bytes {
        Some(free) => writeln!(out, "disk        {:.1} GiB free here", gib(free))?,
        None => writeln!(out, "disk        unknown")?,
    }
    for device in &findings.devices {
        match device.found {
            Some(found) => writeln!(out, "device      {:8} compiled in, {found} found", device.name)?,
            None => writeln!(out, "device      {0:8} not in this build (cargo build --features {0})", device.name)?,
        }
        for adapter in &device.adapters {
            writeln!(out, "            {adapter}")?;
        }
    }
    writeln!(
        out,
        "arithmetic  {:.0} GFLOP/s on one thread, {:.0} on all (f32 multiply-add)",
        findings.peak_f32_gflops_1_thread, findings.peak_f32_gflops_all_threads
    )?;
    writeln!(
        out,
        "            {:.0} GFLOP/s on one thread, {:.0} on all ({})",
        findings.peak_bf16_gflops_1_thread,
        findings.peak_bf16_gflops_all_threads,
        if findings.bf16_dot_products { "bf16 products, f32 sums" } else { "bf16 operands, multiplied as f32" }
    )?;
    writeln!(
        out,
        "bandwidth   {:.1} GB/s on one thread, {:.1} on all (memory)",
        findings.bandwidth_gb_per_s_1_thread, findings.bandwidth_gb_per_s_all_threads
    )?;
    Ok(ExitCode::SUCCESS)
}

fn examine() -> Result<Findings> {
    let cpu = Cpu::detect();
    let (memory_bytes, memory_available_bytes, memory_limit) = match memory_limit() {
        Some(limit) => (limit.bytes, limit.available_bytes, Some(limit.set_by)),
        None => {
            let mut system = System::new()?;
            system.refresh_memory();
            (system.total_memory(), system.available_memory(), None)
        }
    };
    let threads = cpu.logical_cores;
    Ok(Findings {
        itera_version: env!("CARGO_PKG_VERSION"),
        cpu_model: cpu.model,
        physical_cores: cpu.physical_cores,
        logical_cores: cpu.logical_cores,
        cores_limit: cpu_limit().map(|limit| limit.set_by),
        simd: cpu.simd,
        memory_bytes,
        memory_available_bytes,
        memory_limit,
        disk_free_bytes: free_bytes_here(),
        devices: DEVICES.map(DeviceFinding::new).into(),
        peak_f32_gflops_1_thread: measure_peak(Operands::F32, 1).0,
        peak_f32_gflops_all_threads: measure_peak(Operands::F32, threads).0,
        bf16_dot_products: Operands::Bf16.are_paired(),
        peak_bf16_gflops_1_thread: measure_peak(Operands::Bf16, 1).0,
        peak_bf16_gflops_all_threads: measure_peak(Operands::Bf16, threads).0,
        bandwidth_gb_per_s_1_thread: measure_bandwidth(1).0,
        bandwidth_gb_per_s_all_threads: measure_bandwidth(threads).0,
    })
}

/// Bytes that this user may still write in the working directory.
#[cfg(unix)]
fn free_bytes_here() -> Option<u64> {
    rustix::fs::statvfs(".").ok().map(|disk| disk.f_bavail * disk.f_frsize)
}

#[cfg(not(unix))]
fn free_bytes_here() -> Option<u64> {
    None
}
