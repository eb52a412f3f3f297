//! ranks that MPI joins → connections of rank 0 with each other rank, apart from MPI

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, sleep},
    time::Duration,
};

use sysinfo::Networks;

use crate::{error::MpiError, world::World};

/// How long an address, or a rank that has connected, may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
const WELCOME: &[u8; 8] = b"welcome\n";
/// Bytes of what a rank says first: what rank 0 told it by MPI, and its number.
const HELLO: usize = 16;

/// The connections of this rank: of rank 0 with each other that reached it, of another with rank 0 if it did. All ranks call
/// this, with the name of every rank's host.
pub(crate) fn meet(world: &World, hosts: &[String]) -> Result<Vec<(usize, TcpStream)>, MpiError> {
    let mut place = vec![];
    let secret = RandomState::new().build_hasher().finish();
    let listener = (world.rank() == 0).then(listen).and_then(Result::ok);
    if let Some(Ok(address)) = listener.as_ref().map(TcpListener::local_addr) {
        let addresses: Vec<String> = own_addresses().iter().map(ToString::to_string).collect();
        place = format!("{secret} {} {}", address.port(), addresses.join(" ")).into_bytes();
    }
    world.bcast(0, &mut place)?;
    let all_have_tried = Arc::new(AtomicBool::new(false));
    let accepted = listener.map(|listener| {
        let (others, all_have_tried) = (world.size() - 1, all_have_tried.clone());
        thread::spawn(move || accept(&listener, secret, others, &all_have_tried))
    });
    let mut streams = vec![];
    if world.rank() > 0 {
        let is_near = hosts[0] == hosts[world.rank()];
        streams.extend(connect(&String::from_utf8_lossy(&place), world.rank(), is_near).map(|stream| (0, stream)));
    }
    world.barrier()?;
    all_have_tried.store(true, Ordering::SeqCst);
    streams.extend(accepted.and_then(|accepted| accepted.join().ok()).unwrap_or_default());
    for (_, stream) in &streams {
        // only what is told waits; that a rank is not heard is found by others than its reader
        let _ = stream.set_read_timeout(None).and_then(|()| stream.set_nodelay(true));
    }
    Ok(streams)
}

/// At a port of the system's choice, on all addresses.
fn listen() -> io::Result<TcpListener> {
    let listener =
        TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).or_else(|_| TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Addresses that others may reach this host by; those of version 4 first, and that of the host itself last.
fn own_addresses() -> Vec<IpAddr> {
    let networks = Networks::new_with_refreshed_list();
    let all = networks
        .iter()
        .flat_map(|networks| networks.values())
        .flat_map(|network| network.ip_networks())
        .map(|network| network.addr);
    // an address of one link names the interface of its own host
    let mut all: Vec<IpAddr> =
        all.filter(|address| !matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())).collect();
    all.push(Ipv4Addr::LOCALHOST.into());
    all.sort_by_key(|address| (address.is_loopback(), address.is_ipv6(), *address));
    all.dedup();
    all
}

/// Those of `others` ranks that prove to be some, until all have come, or have tried.
fn accept(listener: &TcpListener, secret: u64, others: usize, all_have_tried: &AtomicBool) -> Vec<(usize, TcpStream)> {
    let mut streams = vec![];
    while streams.len() < others {
        match listener.accept() {
            // whoever else finds the port is not heard
            Ok((stream, _)) => streams.extend(welcome(stream, secret).ok()),
            Err(_) if all_have_tried.load(Ordering::SeqCst) => break,
            Err(_) => sleep(Duration::from_millis(2)),
        }
    }
    streams
}

fn welcome(mut stream: TcpStream, secret: u64) -> io::Result<(usize, TcpStream)> {
    stream.set_nonblocking(false)?;
    limit(&stream)?;
    let mut hello = [0; HELLO];
    stream.read_exact(&mut hello)?;
    let [said, rank] = [0, 8].map(|at| u64::from_le_bytes(std::array::from_fn(|byte| hello[at + byte])));
    if said != secret {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    stream.write_all(WELCOME)?;
    Ok((usize::try_from(rank).map_err(|_| io::ErrorKind::InvalidData)?, stream))
}

/// Rank 0, by the first of its addresses at which it answers. A rank of its host tries last what others try first.
fn connect(place: &str, rank: usize, is_near: bool) -> Option<TcpStream> {
    let mut words = place.split(' ');
    let (secret, port): (u64, u16) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let mut addresses: Vec<IpAddr> = words.flat_map(str::parse).collect();
    if is_near {
        addresses.reverse();
    } else {
        addresses.retain(|address| !address.is_loopback());
    }
    let hello = [secret.to_le_bytes(), (rank as u64).to_le_bytes()].concat();
    addresses.into_iter().find_map(|address| {
        let mut stream = TcpStream::connect_timeout(&SocketAddr::new(address, port), PATIENCE).ok()?;
        limit(&stream).ok()?;
        let mut answer = [0; WELCOME.len()];
        stream.write_all(&hello).and_then(|()| stream.read_exact(&mut answer)).ok()?;
        (answer == *WELCOME).then_some(stream)
    })
}

fn limit(stream: &TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_find_rank_0_and_strangers_do_not() {
        let listener = listen().expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let all_have_tried = Arc::new(AtomicBool::new(false));
        let accepted = {
            let all_have_tried = all_have_tried.clone();
            thread::spawn(move || accept(&listener, 7, 3, &all_have_tried))
        };
        let place = |secret: u64| format!("{secret} {port} 127.0.0.1");
        assert!(connect(&place(8), 1, true).is_none(), "another secret");
        assert!(connect(&place(7), 1, false).is_none(), "the address of another host itself");
        assert!(connect("", 1, true).is_none() && connect("7 x", 1, true).is_none());
        let streams = [1, 2].map(|rank| connect(&place(7), rank, true));
        assert!(streams.iter().all(Option::is_some));
        all_have_tried.store(true, Ordering::SeqCst);
        let ranks: Vec<usize> = accepted.join().expect("no panic").iter().map(|(rank, _)| *rank).collect();
        assert_eq!(ranks, [1, 2]);
    }

    #[test]
    fn a_host_tells_the_addresses_that_others_may_use_first() {
        let addresses = own_addresses();
        assert!(addresses.contains(&Ipv4Addr::LOCALHOST.into()), "{addresses:?}");
        let first_loopback = addresses.iter().position(IpAddr::is_loopback).expect("one");
        assert!(addresses[first_loopback..].iter().all(IpAddr::is_loopback), "{addresses:?}");
    }
}
