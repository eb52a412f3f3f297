//! `itera doctor --cluster`: environment → MPI → ranks on hosts → latency and rate between them, and how their clocks differ

use std::{
    io::{self, Write},
    process::ExitCode,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::Result;
use itera_collective::{Launch, Library, MpiError, World};
use serde::Serialize;

use crate::ranks::{Team, together};

/// Messages of which the latency is the mean.
const SHORT_MESSAGES: usize = 200;
/// Messages of which the rate is the mean.
const LONG_MESSAGES: usize = 4;
const LONG_BYTES: usize = 16 << 20;
/// Exchanges of the time of day, of which the fastest tells how clocks differ.
const CLOCK_READINGS: usize = 64;

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
    /// Of each host but that of rank 0, in their order.
    clocks: Vec<Clock>,
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

/// The time of day on a host, against that on the host of rank 0.
#[derive(Serialize)]
struct Clock {
    host: String,
    /// More than 0 where it is later there.
    ahead_us: f64,
    /// The truth is no further from that than this, whatever the way a message takes.
    within_us: f64,
}

/// Print what joins the processes of this job; under a launcher its rank 0 does so, for all.
///
/// # Errors
/// If this is a job and has no MPI that joins it.
pub fn run(watchdog: Duration, json: bool) -> Result<ExitCode> {
    together(watchdog, |team| {
        let findings = match team {
            Some(team) => of_a_job(team.world())?,
            None => alone(),
        };
        if team.is_none_or(Team::is_first) {
            print(&findings, json)?;
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn print(findings: &Findings, json: bool) -> Result<()> {
    let mut out = io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(findings)?)?;
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
    for Clock { host, ahead_us, within_us } in &findings.clocks {
        let (way, first) = (if *ahead_us < 0.0 { "behind" } else { "ahead of" }, &findings.hosts[0].name);
        writeln!(
            out,
            "clock       {host} is {} {way} {first}, give or take {}",
            told(ahead_us.abs()),
            told(*within_us)
        )?;
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
    Findings { itera_version, launcher: None, mpi, mpi_problem, hosts: vec![], links: vec![], clocks: vec![] }
}

/// The same for all ranks.
fn of_a_job(world: &World) -> Result<Findings, MpiError> {
    world.beacon().begin_long("the measurement");
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
            links.push(Link::measure(world, [a, b], [host, host])?);
        }
        for other in &hosts[at + 1..] {
            links.push(Link::measure(world, [host.ranks[0], other.ranks[0]], [host, other])?);
        }
    }
    let clocks = hosts[1..].iter().map(|host| Clock::compare(world, host, now_us)).collect::<Result<_, _>>()?;
    Ok(Findings {
        itera_version: env!("CARGO_PKG_VERSION"),
        launcher: Launch::of_this_process().map(|launch| launch.launcher.to_string()),
        mpi: world.library().map(Mpi::of),
        mpi_problem: None,
        hosts,
        links,
        clocks,
    })
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

impl Clock {
    /// All ranks call this; the first of the host and rank 0 compare.
    ///
    /// Of two messages at once, each with the time at which it was sent, one arrives too late by its way and the difference of
    /// clocks, the other by its way less that difference: half of what they differ by is the difference of clocks, and is wrong
    /// by no more than half of what both ways take together (RFC 5905, section 8).
    fn compare(world: &World, host: &Host, now_us: impl Fn() -> f64) -> Result<Self, MpiError> {
        world.barrier()?;
        let ends = [0, host.ranks[0]];
        let (mut ahead_us, mut within_us) = (0.0, f64::INFINITY);
        if let Some(side) = ends.iter().position(|rank| *rank == world.rank()) {
            let peer = ends[1 - side];
            let exchange = |mine: f64| {
                let mut of_peer = [0; size_of::<f64>()];
                world.sendrecv_into(peer, &mine.to_le_bytes(), peer, &mut of_peer)?;
                Ok::<_, MpiError>(f64::from_le_bytes(of_peer))
            };
            for _ in 0..CLOCK_READINGS {
                let late_here = -exchange(now_us())? + now_us();
                let late_there = exchange(late_here)?;
                if late_here + late_there < 2.0 * within_us {
                    (ahead_us, within_us) = ((late_there - late_here) / 2.0, (late_here + late_there) / 2.0);
                }
            }
        }
        let mut bytes = [ahead_us, within_us].map(f64::to_le_bytes);
        world.bcast_into(0, bytes.as_flattened_mut())?;
        let [ahead_us, within_us] = bytes.map(f64::from_le_bytes);
        Ok(Self { host: host.name.clone(), ahead_us, within_us })
    }
}

/// The time of day, from 1970.
fn now_us() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_nanos() as f64 / 1e3)
}

/// `12.3 µs`, `4.1 ms`, `2.0 s`
fn told(us: f64) -> String {
    match us {
        ..1e3 => format!("{us:.1} µs"),
        ..1e6 => format!("{:.1} ms", us / 1e3),
        _ => format!("{:.1} s", us / 1e6),
    }
}

/// Seconds of one of `times` calls, behind one that is not counted.
fn mean_seconds(times: usize, mut call: impl FnMut() -> Result<(), MpiError>) -> Result<f64, MpiError> {
    call()?;
    let began = Instant::now();
    (0..times).try_for_each(|_| call())?;
    Ok(began.elapsed().as_secs_f64() / times as f64)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_clock_that_is_ahead_is_seen_from_all_ranks() {
        for ahead in [0.0, 5e6, -3e3] {
            let ranks = World::of_threads(3).into_iter().map(|world| {
                thread::spawn(move || {
                    let host = Host { name: "other".into(), ranks: vec![1, 2] };
                    let now = || now_us() + if world.rank() == 1 { ahead } else { 0.0 };
                    Clock::compare(&world, &host, now).expect("a world")
                })
            });
            for rank in ranks.collect::<Vec<_>>() {
                let Clock { ahead_us, within_us, .. } = rank.join().expect("no panic");
                assert!(
                    within_us.is_finite() && (ahead_us - ahead).abs() <= within_us + 1.0,
                    "{ahead_us} ± {within_us}"
                );
            }
        }
    }

    #[test]
    fn times_have_a_unit_that_fits() {
        assert_eq!([0.4, 999.0, 4100.0, 2e6].map(told), ["0.4 µs", "999.0 µs", "4.1 ms", "2.0 s"]);
    }
}
