//! `itera doctor --cluster`: environment → MPI → ranks on hosts → latency and rate between them

use std::{
    io::{self, Write},
    time::Instant,
};

use anyhow::Result;
use itera_collective::{Launch, Library, MpiError, World};
use serde::Serialize;

/// Messages of which the latency is the mean.
const SHORT_MESSAGES: usize = 200;
/// Messages of which the rate is the mean.
const LONG_MESSAGES: usize = 4;
const LONG_BYTES: usize = 16 << 20;

/// What joins the processes of the job, and how fast. Hosts and links are empty where this process is none of several.
#[derive(Serialize)]
struct Findings {
    itera_version: &'static str,
    /// What started this process as one of several; absent if nothing did.
    launcher: Option<String>,
    mpi: Option<Mpi>,
    /// Why no MPI can be used; absent if one can.
    mpi_problem: Option<String>,
    hosts: Vec<Host>,
    links: Vec<Link>,
}

#[derive(Serialize)]
struct Mpi {
    version: String,
    library: String,
    abi: String,
}

/// A host, and the ranks on it in order.
#[derive(Serialize)]
struct Host {
    name: String,
    ranks: Vec<usize>,
}

/// Two ranks that send to each other at once.
#[derive(Serialize)]
struct Link {
    ranks: [usize; 2],
    hosts: [String; 2],
    /// Until each has a message of 8 bytes of the other.
    latency_us: f64,
    /// In each direction.
    gb_per_s: f64,
}

/// Print what joins the processes of this job; under a launcher its rank 0 does so, for all.
///
/// # Errors
/// If this is a job and has no MPI that joins it.
pub fn run(json: bool) -> Result<()> {
    let findings = match World::join()? {
        Some(world) => {
            let is_first = world.rank() == 0;
            let findings = of_a_job(world)?;
            if !is_first {
                return Ok(());
            }
            findings
        }
        None => alone(),
    };
    let mut out = io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(&findings)?)?;
        return Ok(());
    }
    writeln!(out, "launcher    {}", findings.launcher.as_deref().unwrap_or("none: this process was started alone"))?;
    if let Some(mpi) = &findings.mpi {
        writeln!(out, "MPI         {} ({}, {})", mpi.version, mpi.library, mpi.abi)?;
    }
    if let Some(problem) = &findings.mpi_problem {
        writeln!(out, "MPI         none: {problem}")?;
    }
    for host in &findings.hosts {
        let ranks = host.ranks.iter().map(ToString::to_string).collect::<Vec<_>>();
        writeln!(out, "ranks       {} on {}", ranks.join(" "), host.name)?;
    }
    for Link { ranks: [a, b], hosts, latency_us, gb_per_s } in &findings.links {
        let place = if hosts[0] == hosts[1] { format!("within {}", hosts[0]) } else { hosts.join(" and ") };
        writeln!(out, "link        {a} and {b}, {place}: {latency_us:.1} µs, {gb_per_s:.2} GB/s")?;
    }
    Ok(())
}

/// A process of its own starts no MPI: it says which it would use.
fn alone() -> Findings {
    let (mpi, mpi_problem) = match Library::find(None) {
        Ok(library) => (Some(Mpi::of(&library)), None),
        Err(error) => (None, Some(error.to_string())),
    };
    let itera_version = env!("CARGO_PKG_VERSION");
    Findings { itera_version, launcher: None, mpi, mpi_problem, hosts: Vec::new(), links: Vec::new() }
}

/// The same for all ranks.
fn of_a_job(world: World) -> Result<Findings, MpiError> {
    let mut hosts: Vec<Host> = Vec::new();
    for (rank, name) in world.allgather(world.host()?.as_bytes())?.into_iter().enumerate() {
        let name = String::from_utf8_lossy(&name).into_owned();
        match hosts.iter_mut().find(|host| host.name == name) {
            Some(host) => host.ranks.push(rank),
            None => hosts.push(Host { name, ranks: vec![rank] }),
        }
    }
    let mut links = Vec::new();
    for (at, host) in hosts.iter().enumerate() {
        // the first two of a host stand for all of it, and the first for it among hosts
        if let [a, b, ..] = host.ranks[..] {
            links.push(Link::measure(&world, [a, b], [host, host])?);
        }
        for other in &hosts[at + 1..] {
            links.push(Link::measure(&world, [host.ranks[0], other.ranks[0]], [host, other])?);
        }
    }
    let findings = Findings {
        itera_version: env!("CARGO_PKG_VERSION"),
        launcher: Launch::of_this_process().map(|launch| launch.launcher.to_string()),
        mpi: world.library().map(Mpi::of),
        mpi_problem: None,
        hosts,
        links,
    };
    world.finalize()?;
    Ok(findings)
}

impl Mpi {
    fn of(library: &Library) -> Self {
        let (version, library, abi) = (library.version(), library.name(), library.abi());
        Self { version: version.into(), library: library.into(), abi: abi.to_string() }
    }
}

impl Link {
    /// All ranks call this; the first of the two measures.
    fn measure(world: &World, ranks: [usize; 2], hosts: [&Host; 2]) -> Result<Self, MpiError> {
        world.barrier()?;
        let mut seconds = [0.0; 2];
        if let Some(side) = ranks.iter().position(|rank| *rank == world.rank()) {
            let peer = ranks[1 - side];
            // an empty message is its length of 8 bytes
            seconds[0] = mean_seconds(SHORT_MESSAGES, || world.sendrecv_into(peer, &[], peer, &mut []))?;
            let (out, mut into) = (vec![1; LONG_BYTES], vec![0; LONG_BYTES]);
            seconds[1] = mean_seconds(LONG_MESSAGES, || world.sendrecv_into(peer, &out, peer, &mut into))?;
        }
        let mut bytes = seconds.map(f64::to_le_bytes);
        world.bcast_into(ranks[0], bytes.as_flattened_mut())?;
        let [short, long] = bytes.map(f64::from_le_bytes);
        let hosts = hosts.map(|host| host.name.clone());
        Ok(Self { ranks, hosts, latency_us: short * 1e6, gb_per_s: LONG_BYTES as f64 / long / 1e9 })
    }
}

/// Seconds of one of `times` calls, behind one that is not counted.
fn mean_seconds(times: usize, mut call: impl FnMut() -> Result<(), MpiError>) -> Result<f64, MpiError> {
    call()?;
    let began = Instant::now();
    (0..times).try_for_each(|_| call())?;
    Ok(began.elapsed().as_secs_f64() / times as f64)
}
