//! Many configurations, trained by any number of workers that share nothing but a directory.
//!
//! ```text
//! sweep.toml ─ Plan: cells × seeds ─▶ trials, each named by the hash of its configuration
//!                                       │
//!              lease-0001 … ◀─ work ────┤  any number of processes on any hosts; the next goes on with what one has left
//!              run/ log                 │
//!              record.json ◀────────────┘  once
//!                  │
//!                  └─▶ Summary: mean, standard deviation, 95 % interval, differences over the same seeds ─▶ table, picture
//! ```
//!
//! Trials of equal configurations are one trial, so that nothing runs twice, also when the file of a sweep grows. What
//! trains is a process that the caller names ([`Hands`]); nothing here knows what a model is.

mod attempt;
mod error;
mod file;
mod lease;
mod median;
mod owner;
mod picture;
mod plan;
mod random;
mod record;
mod rungs;
mod statistics;
mod summary;
mod table;
mod worker;

pub use error::{Result, SweepError};
pub use lease::{LeaseEnd, Terms};
pub use owner::{Owner, Process};
pub use plan::{Cell, MAX_TRIALS, Plan, Trial};
pub use record::{DEFAULT_METRIC, End, Record, TrialDir, Work};
pub use statistics::{CONFIDENCE, Sample, Verdict};
pub use summary::{Counts, Row, State, Summary};
pub use worker::{Event, Hands, Options, WorkEnd, work};
