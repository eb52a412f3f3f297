//! threads of this process → the ranks of a world, joined by channels

use std::{
    ffi::c_int,
    sync::mpsc::{Receiver, Sender, channel},
};

use crate::{
    communicator::{Communicator, Parts},
    error::MpiError,
};

/// One thread of several. A channel holds any number of messages, so nobody waits to send.
struct Thread {
    rank: usize,
    to: Vec<Sender<Vec<u8>>>,
    from: Vec<Receiver<Vec<u8>>>,
}

/// `size` ranks, each for a thread of its own.
pub(crate) fn threads(size: usize) -> Vec<Box<dyn Communicator>> {
    let mut from: Vec<Vec<Receiver<Vec<u8>>>> = (0..size).map(|_| vec![]).collect();
    let to: Vec<Vec<Sender<Vec<u8>>>> = (0..size)
        .map(|_| {
            let (to, at): (Vec<_>, Vec<_>) = (0..size).map(|_| channel()).unzip();
            from.iter_mut().zip(at).for_each(|(from, at)| from.push(at));
            to
        })
        .collect();
    let threads = to.into_iter().zip(from).enumerate();
    threads.map(|(rank, (to, from))| Box::new(Thread { rank, to, from }) as Box<dyn Communicator>).collect()
}

impl Thread {
    fn put(&self, bytes: &[u8], to: usize) -> Result<(), MpiError> {
        self.to[to].send(bytes.to_vec()).map_err(|_| MpiError::Gone { rank: to })
    }

    fn take(&self, into: &mut [u8], from: usize) -> Result<(), MpiError> {
        let bytes = self.from[from].recv().map_err(|_| MpiError::Gone { rank: from })?;
        let (expected, found) = (into.len(), bytes.len());
        if found != expected {
            return Err(MpiError::Length { from, expected, found });
        }
        into.copy_from_slice(&bytes);
        Ok(())
    }
}

impl Communicator for Thread {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.to.len()
    }

    fn host(&self) -> Result<String, MpiError> {
        Ok("this process".into())
    }

    fn barrier(&self) -> Result<(), MpiError> {
        self.allgather(&[], &mut [])
    }

    fn send(&self, bytes: &[u8], to: c_int) -> Result<(), MpiError> {
        self.put(bytes, to as usize)
    }

    fn recv(&self, bytes: &mut [u8], from: c_int) -> Result<(), MpiError> {
        self.take(bytes, from as usize)
    }

    fn sendrecv(&self, out: &[u8], to: c_int, into: &mut [u8], from: c_int) -> Result<(), MpiError> {
        self.put(out, to as usize)?;
        self.take(into, from as usize)
    }

    fn bcast(&self, bytes: &mut [u8], root: c_int) -> Result<(), MpiError> {
        if self.rank != root as usize {
            return self.take(bytes, root as usize);
        }
        (0..self.size()).filter(|rank| *rank != self.rank).try_for_each(|rank| self.put(bytes, rank))
    }

    fn allgather(&self, mine: &[u8], all: &mut [u8]) -> Result<(), MpiError> {
        (0..self.size()).try_for_each(|rank| self.put(mine, rank))?;
        (0..self.size()).try_for_each(|rank| self.take(&mut all[rank * mine.len()..][..mine.len()], rank))
    }

    fn alltoall(&self, out: Parts<&[u8]>, into: Parts<&mut [u8]>) -> Result<(), MpiError> {
        let ((out, out_lengths, out_at), (into, into_lengths, into_at)) = (out.into_raw(), into.into_raw());
        for (rank, (at, length)) in out_at.into_iter().zip(out_lengths).enumerate() {
            self.put(&out[at as usize..][..length as usize], rank)?;
        }
        for (rank, (at, length)) in into_at.into_iter().zip(into_lengths).enumerate() {
            self.take(&mut into[at as usize..][..length as usize], rank)?;
        }
        Ok(())
    }

    fn finalize(self: Box<Self>) -> Result<(), MpiError> {
        self.barrier()
    }

    /// The process that all of them are ends right after.
    fn abort(&self, _: c_int) {}
}
