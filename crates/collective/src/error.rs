//! What can go wrong between the processes of a job.

use std::fmt;

use crate::launch::Launcher;

/// A failure of MPI, or of finding it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MpiError {
    /// The program is linked statically: it has no loader of libraries.
    #[error("this program is linked statically, so it cannot load the MPI of this machine")]
    Static,
    /// No library was found that this program can use.
    #[error("no MPI library can be used: {}", list(tried))]
    NoLibrary {
        /// What was looked at, in order.
        tried: Vec<Tried>,
    },
    /// MPI was started in this process before; it can be once.
    #[error("MPI was started in this process before")]
    Started,
    /// The library allows calls from one thread alone.
    #[error("{version} was built without support of threads (level {provided})")]
    Threads {
        /// The library's own name and version.
        version: String,
        /// The level that it grants, in its own numbers.
        provided: i32,
    },
    /// The library does not know of the processes that were started together, as another MPI's would not.
    #[error("{launcher} started {launched} processes, of which {version} sees {seen}")]
    Strangers {
        /// What started the processes.
        launcher: Launcher,
        /// How many it started.
        launched: usize,
        /// How many the library has joined.
        seen: usize,
        /// The library's own name and version.
        version: String,
    },
    /// MPI refused a call. The job can only end: what the other processes do is not known.
    #[error("{call} failed: {text} (code {code})")]
    Call {
        /// The function of MPI.
        call: &'static str,
        /// Its code, in the library's own numbers.
        code: i32,
        /// The library's text of the code.
        text: String,
    },
    /// A rank that the world does not have.
    #[error("there is no rank {rank} among {size}")]
    Rank {
        /// What was asked for.
        rank: usize,
        /// The number of processes; ranks are below it.
        size: usize,
    },
    /// Parts that do not add up to their bytes, or are more than MPI can count.
    #[error("MPI cannot count {bytes} bytes in {parts} parts")]
    Parts {
        /// Bytes of all parts.
        bytes: usize,
        /// Parts that were meant, one for each rank.
        parts: usize,
    },
    /// A rank that is a thread of this process has ended.
    #[error("rank {rank} is gone")]
    Gone {
        /// Which one.
        rank: usize,
    },
    /// A message of another length than its receiver expects.
    #[error("rank {from} sent {found} bytes where {expected} were expected")]
    Length {
        /// Who sent it.
        from: usize,
        /// Bytes that the receiver has room for.
        expected: usize,
        /// Bytes of the message.
        found: usize,
    },
}

/// A library that was looked at and cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// Its path or name; `this process` for what the program has loaded already.
    pub name: String,
    /// Why not.
    pub refusal: Refusal,
}

/// Why a library cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The system did not load it.
    #[error("{0}")]
    NotLoaded(String),
    /// It is no MPI.
    #[error("no MPI in it")]
    NotMpi,
    /// An MPI whose handles are not known here.
    #[error("its binary interface is unknown: {version}")]
    UnknownAbi {
        /// Its own name and version.
        version: String,
    },
    /// It lacks a function that is needed.
    #[error("it has no {0}")]
    Lacks(&'static str),
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.refusal)
    }
}

fn list(tried: &[Tried]) -> String {
    tried.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
