//! bytes of any length → parts that MPI can count → bytes
//!
//! Every message goes behind its length, so that its receiver makes room for it, or refuses it where room is given.

use std::{
    cell::Cell,
    ffi::c_int,
    process,
    time::{Duration, Instant},
};

use crate::{
    beacon::Beacon,
    communicator::{Communicator, Parts},
    error::MpiError,
    launch::Launch,
    library::Library,
    threads::threads,
};

/// Bytes of the largest part that goes to MPI at once: far below 2³¹, where counts end and some libraries err before.
const PART_BYTES: usize = 64 << 20;
/// Bytes of a length.
const LENGTH_BYTES: usize = size_of::<u64>();

/// All processes of a job, each with a rank.
///
/// Methods that speak of all ranks must be called by all, in the same order. Each may be called from any thread, and by one
/// at a time, so the type is `Send` and not `Sync`. After an error the others may wait for a message that does not come: the
/// process can only end, by [`World::abort`] or with a failure, at which launchers end the others.
///
/// A world that is dropped without [`World::finalize`] tells MPI nothing, as the drop may be part of a panic, and the end of
/// MPI waits for all ranks.
pub struct World {
    communicator: Box<dyn Communicator>,
    /// `None` among threads.
    library: Option<Library>,
    part_bytes: usize,
    /// Tells of each call that all ranks make.
    beacon: Beacon,
    waited: Cell<Duration>,
}

impl World {
    /// Join the other processes of the job by the MPI that started them; `None` if nobody started this process as one of
    /// several, in which case no library is looked for.
    ///
    /// # Errors
    /// [`MpiError`] if no library is found, it does not start, or it does not know of the others.
    pub fn join() -> Result<Option<Self>, MpiError> {
        let Some(launch) = Launch::of_this_process() else { return Ok(None) };
        let library = Library::find(Some(&launch))?;
        let communicator = library.functions.start(library.version())?;
        let seen = communicator.size();
        if let Some(launched) = launch.size.filter(|launched| *launched != seen) {
            let (launcher, version) = (launch.launcher, library.version().to_owned());
            return Err(MpiError::Strangers { launcher, launched, seen, version });
        }
        Ok(Some(Self { library: Some(library), ..Self::of(communicator) }))
    }

    /// A world of `size` ranks, in their order, each for a thread of this process: what processes do together can be seen
    /// without MPI. A rank that waits for one that is dropped gets [`MpiError::Gone`].
    pub fn of_threads(size: usize) -> Vec<Self> {
        threads(size).into_iter().map(Self::of).collect()
    }

    fn of(communicator: Box<dyn Communicator>) -> Self {
        let waited = Cell::default();
        Self { communicator, library: None, part_bytes: PART_BYTES, beacon: Beacon::default(), waited }
    }

    /// Cut messages into parts of at most `part_bytes`, at least 1; the same for all ranks.
    #[must_use]
    pub fn with_part_bytes(self, part_bytes: usize) -> Self {
        Self { part_bytes: part_bytes.clamp(1, PART_BYTES), ..self }
    }

    /// The number of this process, from 0.
    pub fn rank(&self) -> usize {
        self.communicator.rank()
    }

    /// How many processes there are, at least 1.
    pub fn size(&self) -> usize {
        self.communicator.size()
    }

    /// The MPI that joins them; `None` of threads.
    pub fn library(&self) -> Option<&Library> {
        self.library.as_ref()
    }

    /// The name of the host that this process runs on, as MPI knows it.
    ///
    /// # Errors
    /// [`MpiError::Call`].
    pub fn host(&self) -> Result<String, MpiError> {
        self.communicator.host()
    }

    /// Where this rank says what it does, for those that watch it.
    pub fn beacon(&self) -> &Beacon {
        &self.beacon
    }

    /// How long this rank has waited since the last call for the others to come to what all do together: in barriers, and
    /// for the lengths of all, which go before everything else of [`World::allgather`] and [`World::alltoall_into`].
    pub fn take_waited(&self) -> Duration {
        self.waited.take()
    }

    /// Do what ends no sooner than all ranks have come to it.
    fn wait<T>(&self, until: impl FnOnce() -> T) -> T {
        let since = Instant::now();
        let done = until();
        self.waited.update(|waited| waited + since.elapsed());
        done
    }

    /// Wait until all ranks are here.
    ///
    /// # Errors
    /// [`MpiError::Call`].
    pub fn barrier(&self) -> Result<(), MpiError> {
        let _here = self.beacon.collective();
        self.wait(|| self.communicator.barrier())
    }

    /// Send to one rank, which receives. May wait until it does.
    ///
    /// # Errors
    /// [`MpiError`] if there is no such rank, or MPI fails.
    pub fn send(&self, to: usize, bytes: &[u8]) -> Result<(), MpiError> {
        let to = self.peer(to)?;
        self.communicator.send(&length_of(bytes), to)?;
        bytes.chunks(self.part_bytes).try_for_each(|part| self.communicator.send(part, to))
    }

    /// What one rank sends, of any length.
    ///
    /// # Errors
    /// [`MpiError`] if there is no such rank, or MPI fails.
    pub fn recv(&self, from: usize) -> Result<Vec<u8>, MpiError> {
        let (peer, mut length) = (self.peer(from)?, [0; LENGTH_BYTES]);
        self.communicator.recv(&mut length, peer)?;
        let mut bytes = room(length);
        bytes.chunks_mut(self.part_bytes).try_for_each(|part| self.communicator.recv(part, peer))?;
        Ok(bytes)
    }

    /// What one rank sends, of the length of `bytes`.
    ///
    /// # Errors
    /// [`MpiError`] if the message has another length, there is no such rank, or MPI fails.
    pub fn recv_into(&self, from: usize, bytes: &mut [u8]) -> Result<(), MpiError> {
        let (peer, mut length) = (self.peer(from)?, [0; LENGTH_BYTES]);
        self.communicator.recv(&mut length, peer)?;
        expect_length(from, length, bytes)?;
        bytes.chunks_mut(self.part_bytes).try_for_each(|part| self.communicator.recv(part, peer))
    }

    /// Send to one rank and receive from one, the same or another, without waiting for either to go first.
    ///
    /// # Errors
    /// [`MpiError`] if there is no such rank, or MPI fails.
    pub fn sendrecv(&self, to: usize, bytes: &[u8], from: usize) -> Result<Vec<u8>, MpiError> {
        let mut into = room(self.exchange_lengths(to, bytes, from)?);
        self.exchange_parts(to, bytes, from, &mut into)?;
        Ok(into)
    }

    /// [`World::sendrecv`] of a message that has the length of `into`.
    ///
    /// # Errors
    /// [`MpiError`] if it has another, there is no such rank, or MPI fails.
    pub fn sendrecv_into(&self, to: usize, bytes: &[u8], from: usize, into: &mut [u8]) -> Result<(), MpiError> {
        expect_length(from, self.exchange_lengths(to, bytes, from)?, into)?;
        self.exchange_parts(to, bytes, from, into)
    }

    fn exchange_lengths(&self, to: usize, bytes: &[u8], from: usize) -> Result<[u8; LENGTH_BYTES], MpiError> {
        let mut length = [0; LENGTH_BYTES];
        self.communicator.sendrecv(&length_of(bytes), self.peer(to)?, &mut length, self.peer(from)?)?;
        Ok(length)
    }

    /// Part k goes and comes in the same round at both ends, so that nobody waits in a circle, whatever the lengths.
    fn exchange_parts(&self, to: usize, bytes: &[u8], from: usize, into: &mut [u8]) -> Result<(), MpiError> {
        let (to, from) = (self.peer(to)?, self.peer(from)?);
        let (mut out, mut into) = (bytes.chunks(self.part_bytes), into.chunks_mut(self.part_bytes));
        loop {
            match (out.next(), into.next()) {
                (Some(out), Some(into)) => self.communicator.sendrecv(out, to, into, from)?,
                (Some(out), None) => self.communicator.send(out, to)?,
                (None, Some(into)) => self.communicator.recv(into, from)?,
                (None, None) => return Ok(()),
            }
        }
    }

    /// The bytes of rank `root`, for all ranks: those of the others are replaced, whatever their length.
    ///
    /// # Errors
    /// [`MpiError`] if there is no such rank, or MPI fails.
    pub fn bcast(&self, root: usize, bytes: &mut Vec<u8>) -> Result<(), MpiError> {
        let _here = self.beacon.collective();
        let (peer, mut length) = (self.peer(root)?, length_of(bytes));
        self.communicator.bcast(&mut length, peer)?;
        if self.rank() != root {
            *bytes = room(length);
        }
        bytes.chunks_mut(self.part_bytes).try_for_each(|part| self.communicator.bcast(part, peer))
    }

    /// [`World::bcast`] where all ranks have room of the same length.
    ///
    /// # Errors
    /// [`MpiError`] if the message of `root` has another length, there is no such rank, or MPI fails.
    pub fn bcast_into(&self, root: usize, bytes: &mut [u8]) -> Result<(), MpiError> {
        let _here = self.beacon.collective();
        let (peer, mut length) = (self.peer(root)?, length_of(bytes));
        self.communicator.bcast(&mut length, peer)?;
        expect_length(root, length, bytes)?;
        bytes.chunks_mut(self.part_bytes).try_for_each(|part| self.communicator.bcast(part, peer))
    }

    /// The bytes of all ranks, in order of ranks, for all; each may have a length of its own.
    ///
    /// Every rank sends as many as the longest, so lengths should not differ by much.
    ///
    /// # Errors
    /// [`MpiError::Call`].
    pub fn allgather(&self, mine: &[u8]) -> Result<Vec<Vec<u8>>, MpiError> {
        let _here = self.beacon.collective();
        let size = self.size();
        let mut lengths = vec![0; LENGTH_BYTES * size];
        self.wait(|| self.communicator.allgather(&length_of(mine), &mut lengths))?;
        let lengths: Vec<usize> = lengths.as_chunks().0.iter().map(|&length| length_in(length)).collect();
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let mut all: Vec<Vec<u8>> = lengths.iter().map(|_| Vec::new()).collect();
        // the parts of all ranks together are what MPI has to count
        let part_bytes = (self.part_bytes / size).max(1);
        for begin in (0..longest).step_by(part_bytes) {
            let end = longest.min(begin + part_bytes);
            let mut part = vec![0; end - begin];
            let own = &mine[begin.min(mine.len())..end.min(mine.len())];
            part[..own.len()].copy_from_slice(own);
            let mut parts = vec![0; part.len() * size];
            self.communicator.allgather(&part, &mut parts)?;
            for ((all, &length), part) in all.iter_mut().zip(&lengths).zip(parts.chunks(part.len())) {
                all.extend_from_slice(&part[..length.saturating_sub(begin).min(part.len())]);
            }
        }
        Ok(all)
    }

    /// Bytes to each rank, and from each, in order of ranks: `out` holds a part of each of `out_lengths` behind the other, and
    /// `into` has room for those of `into_lengths`. All parts of a rank together have less than 2³¹ bytes.
    ///
    /// # Errors
    /// [`MpiError`] if a part has another length than its receiver has room for, the parts do not fill their slices, or MPI
    /// fails.
    pub fn alltoall_into(
        &self,
        out: &[u8],
        out_lengths: &[usize],
        into: &mut [u8],
        into_lengths: &[usize],
    ) -> Result<(), MpiError> {
        let _here = self.beacon.collective();
        let size = self.size();
        let uncountable = |bytes| MpiError::Parts { bytes, parts: size };
        let (out_bytes, into_bytes) = (out.len(), into.len());
        let out = Parts::new(out, out_lengths).filter(|_| out_lengths.len() == size);
        let into = Parts::new(into, into_lengths).filter(|_| into_lengths.len() == size);
        let (out, into) = (out.ok_or_else(|| uncountable(out_bytes))?, into.ok_or_else(|| uncountable(into_bytes))?);
        let told: Vec<u8> = out_lengths.iter().flat_map(|&length| (length as u64).to_le_bytes()).collect();
        let mut lengths = vec![0; told.len()];
        let each = vec![LENGTH_BYTES; size];
        let parts = "8 bytes for each rank";
        let told = Parts::new(&told[..], &each).expect(parts);
        let heard = Parts::new(&mut lengths[..], &each).expect(parts);
        self.wait(|| self.communicator.alltoall(told, heard))?;
        for (from, (&found, &expected)) in lengths.as_chunks().0.iter().zip(into_lengths).enumerate() {
            let found = length_in(found);
            if found != expected {
                return Err(MpiError::Length { from, expected, found });
            }
        }
        self.communicator.alltoall(out, into)
    }

    /// End MPI. Waits for all ranks.
    ///
    /// # Errors
    /// [`MpiError::Call`].
    pub fn finalize(self) -> Result<(), MpiError> {
        let beacon = self.beacon;
        let _here = beacon.collective();
        self.communicator.finalize()
    }

    /// End all processes of the job, this one with `code` and the others as soon as the launcher can.
    pub fn abort(&self, code: i32) -> ! {
        self.communicator.abort(code);
        process::exit(code)
    }

    /// A rank as MPI counts it.
    fn peer(&self, rank: usize) -> Result<c_int, MpiError> {
        let size = self.size();
        let peer = c_int::try_from(rank).ok().filter(|_| rank < size);
        peer.ok_or(MpiError::Rank { rank, size })
    }
}

fn length_of(bytes: &[u8]) -> [u8; LENGTH_BYTES] {
    (bytes.len() as u64).to_le_bytes()
}

/// The length that a message goes behind. A message that no memory can hold has one that none can hold either.
fn length_in(length: [u8; LENGTH_BYTES]) -> usize {
    usize::try_from(u64::from_le_bytes(length)).unwrap_or(usize::MAX)
}

fn room(length: [u8; LENGTH_BYTES]) -> Vec<u8> {
    vec![0; length_in(length)]
}

fn expect_length(from: usize, length: [u8; LENGTH_BYTES], bytes: &[u8]) -> Result<(), MpiError> {
    let (expected, found) = (bytes.len(), length_in(length));
    if found == expected { Ok(()) } else { Err(MpiError::Length { from, expected, found }) }
}
