//! What went wrong with a data set of the hub.

/// Why a data set of the hub, or one file of it, cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "hub data set `{repo}`{} at revision `{revision}` ({endpoint}): {problem}\nhint: {hint}",
    file.as_ref().map(|file| format!(", file `{file}`")).unwrap_or_default()
)]
pub struct HubError {
    /// `owner/name`.
    pub repo: String,
    /// Branch, tag or commit.
    pub revision: String,
    /// Where the hub was looked for, or the cache it would have been in.
    pub endpoint: String,
    /// The file, if one is concerned.
    pub file: Option<String>,
    /// What happened.
    pub problem: String,
    /// What to do about it.
    pub hint: String,
}
