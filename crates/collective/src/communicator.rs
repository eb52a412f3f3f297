//! What carries bytes between the processes of a world: an MPI, or channels between threads.

use std::ffi::c_int;

use crate::error::MpiError;

/// All processes of a job, as ranks from 0 that fit `c_int`.
///
/// Calls are made by one thread at a time, which is what `&self` of a type that is not `Sync` says. Lengths fit `c_int`;
/// whoever calls cuts messages that do not.
pub(crate) trait Communicator: Send {
    fn rank(&self) -> usize;
    fn size(&self) -> usize;
    fn host(&self) -> Result<String, MpiError>;
    fn barrier(&self) -> Result<(), MpiError>;
    fn send(&self, bytes: &[u8], to: c_int) -> Result<(), MpiError>;
    /// Exactly as many bytes as there is room for, if the sender sends so many.
    fn recv(&self, bytes: &mut [u8], from: c_int) -> Result<(), MpiError>;
    /// Both at once, in whatever order the others do it.
    fn sendrecv(&self, out: &[u8], to: c_int, into: &mut [u8], from: c_int) -> Result<(), MpiError>;
    fn bcast(&self, bytes: &mut [u8], root: c_int) -> Result<(), MpiError>;
    /// The same number of bytes of each rank, in order of ranks.
    fn allgather(&self, mine: &[u8], all: &mut [u8]) -> Result<(), MpiError>;
    /// Bytes to each rank and from each, in order of ranks.
    fn alltoall(&self, out: Parts<&[u8]>, into: Parts<&mut [u8]>) -> Result<(), MpiError>;
    fn finalize(self: Box<Self>) -> Result<(), MpiError>;
    fn abort(&self, code: c_int);
}

/// A part for each rank, one behind the other.
pub(crate) struct Parts<B> {
    bytes: B,
    lengths: Vec<c_int>,
}

impl<B: AsRef<[u8]>> Parts<B> {
    /// `None` if the lengths do not add up to the bytes, or MPI cannot count as many.
    pub(crate) fn new(bytes: B, lengths: &[usize]) -> Option<Self> {
        let total = lengths.iter().try_fold(0usize, |sum, length| sum.checked_add(*length))?;
        c_int::try_from(total).ok().filter(|_| total == bytes.as_ref().len())?;
        let lengths = lengths.iter().map(|&length| c_int::try_from(length).ok()).collect::<Option<_>>()?;
        Some(Self { bytes, lengths })
    }

    /// The bytes, how many there are in each part, and where each begins: all within the bytes.
    pub(crate) fn into_raw(self) -> (B, Vec<c_int>, Vec<c_int>) {
        let begins = self.lengths.iter().scan(0, |end, length| {
            let begin = *end;
            *end += length;
            Some(begin)
        });
        let begins = begins.collect();
        (self.bytes, self.lengths, begins)
    }
}
