//! Bytes between the processes of a job, by the MPI that started it, found when the program runs.
//!
//! ```text
//! environment ─ Launch ─▶ names in order ─ dlopen ─▶ Library ─ MPI_Init_thread ─▶ World ─ send, bcast, allgather … ─▶ bytes
//! ```
//!
//! There is no standard for the binary interface of an MPI before MPI 5, so most programs are built once for every cluster.
//! This one is not: it opens the library of the cluster as it finds it, and speaks the three interfaces that there are
//! ([`Abi`]), as `mpi4py` does. They differ in a few constants and in whether a handle is an integer or a pointer.
//!
//! MPI carries bytes and computes nothing. Its reductions add in an order of their own, which depends on the library and on
//! the number of processes; sums whose bytes must not depend on either are made by who calls this.
//!
//! A call of MPI waits for a rank that does not come for as long as it takes. Ranks that [`Watch`] each other name it, and end.
//!
//! A process that no launcher started opens no library: [`World::join`] answers `None`. Threads of one process can be a world
//! too, without MPI: [`World::of_threads`].

mod abi;
mod agree;
mod beacon;
mod communicator;
mod error;
mod judge;
mod launch;
mod library;
mod lines;
mod rendezvous;
mod threads;
mod watch;
mod world;

pub use abi::Abi;
pub use agree::Difference;
pub use beacon::Beacon;
pub use error::{MpiError, Refusal, Tried};
pub use launch::{Launch, Launcher};
pub use library::Library;
pub use watch::{End, Watch};
pub use world::World;
