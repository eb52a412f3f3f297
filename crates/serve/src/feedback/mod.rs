//! What people say of answers, in a journal.
//!
//! ```text
//! {"time":1795875459,"id":"cmpl-…","choice":0,"model":"tiny","system_fingerprint":"itera-…","rating":1.0}
//! ```
//!
//! A journal is a file of lines, each an object of JSON as above, with `rating`, `correction` or both. A line is on disk before
//! its sender hears of it. Lines are added and never changed; one that a crash has cut is no JSON, and the next begins after it.
//! At its most bytes the journal is full, and takes nothing more.

mod answers;
mod journal;
mod kept;
mod request;

pub(crate) use kept::Feedback;
pub(crate) use request::{feedback, operation};
