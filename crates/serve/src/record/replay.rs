//! The lines of a record, asked again.

use base64::prelude::{BASE64_STANDARD, Engine};

use crate::{
    error::Result,
    in_process::InProcess,
    record::{Line, canonical},
    repository::ModelSource,
    server::ServeOptions,
};

/// What became of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// The answer is the same.
    Same,
    /// The request at `path` has another answer.
    Differs {
        /// What was asked.
        path: String,
        /// The status that it had.
        was: u16,
        /// The status that it has; that of the answer that it had, where only the answer is another.
        is: u16,
    },
    /// The line is not one of a record, as one that a crash has cut.
    Unreadable,
}

/// Ask each of `lines` again, one after the other, of a server of `models` that listens nowhere, and tell the fingerprints of these.
///
/// # Errors
/// As [`Server::start`](crate::Server::start).
pub fn replay(
    models: Vec<ModelSource>,
    options: &ServeOptions,
    lines: impl Iterator<Item = String>,
    mut told: impl FnMut(Replayed),
) -> Result<Vec<(String, String)>> {
    let options = ServeOptions { keys: None, access_log: None, record: None, feedback: None, ..options.clone() };
    let server = InProcess::start(models, &options)?;
    for line in lines {
        told(again(&server, &line).unwrap_or(Replayed::Unreadable));
    }
    Ok(server.fingerprints())
}

fn again(server: &InProcess, line: &str) -> Option<Replayed> {
    let Line { path, headers, body, status: was, answer, .. } = serde_json::from_str(line).ok()?;
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let found = server.post(&path, &headers, &BASE64_STANDARD.decode(body).ok()?)?;
    let is_same = found.status == was && canonical::hash(&found.content_type, &found.body).to_string() == answer;
    Some(if is_same { Replayed::Same } else { Replayed::Differs { path, was, is: found.status } })
}
