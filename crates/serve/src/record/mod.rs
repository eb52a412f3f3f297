//! Requests and what was answered, so that the same can be asked again.
//!
//! ```text
//! request ─▶ answer ─ what of it depends on the request alone ─▶ a line: path, headers, body, status, SHA-256 of the answer
//! line ─▶ request ─▶ answer ─ the same SHA-256, or not
//! ```
//!
//! A record is a file of lines, each an object of JSON. It has the texts of clients in it.

mod canonical;
mod keep;
mod replay;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub(crate) use keep::{keep, open};
pub use replay::{Replayed, replay};

/// A request that was answered.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    /// When its answer ended, UTC.
    time: String,
    path: String,
    /// Those that say what the body is.
    headers: BTreeMap<String, String>,
    /// In base64.
    body: String,
    status: u16,
    /// SHA-256 of what `canonical` makes of the answer.
    answer: String,
}
