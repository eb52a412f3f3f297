//! What went wrong with a data set of the hub.

/// A data set of the hub, or one file of it, that cannot be used; its source is why.
#[derive(Debug, thiserror::Error)]
#[error(
    "hub data set `{repo}`{} at revision `{revision}` ({endpoint}) cannot be used",
    file.as_ref().map(|file| format!(", file `{file}`,")).unwrap_or_default()
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
    /// Why it cannot be used.
    #[source]
    pub fault: HubFault,
}

/// Why a data set of the hub cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HubFault {
    /// The hub has no such data set, revision or file.
    #[error("not found (HTTP 404)")]
    NotFound,
    /// The hub lets nobody in, or not with this token.
    #[error("access denied (HTTP {status})")]
    Denied {
        /// 401 or 403.
        status: u16,
    },
    /// The hub gave another answer than the file.
    #[error("the hub answered HTTP {status}")]
    Status {
        /// Of the answer.
        status: u16,
    },
    /// The hub could not be reached, or what it sent could not be stored.
    #[error("{0}")]
    Transfer(String),
    /// Each attempt at a file broke off.
    #[error("{last}, after {attempts} attempts")]
    BrokeOff {
        /// How the last one ended.
        last: String,
        /// How many there were.
        attempts: u32,
    },
    /// Nothing may be downloaded, and the cache does not hold it.
    #[error("offline, and the cache does not hold it")]
    NotCached,
    /// The cache holds some files of a split alone.
    #[error("only {present} of {total} files in a row are there")]
    Gap {
        /// Files from the first on.
        present: usize,
        /// Files that their names announce.
        total: usize,
    },
    /// It has several configurations, and none of the usual names.
    #[error("it has several configurations: {}", configs.join(", "))]
    SeveralConfigs {
        /// Their names.
        configs: Vec<String>,
    },
    /// It lacks the configuration asked for.
    #[error("it has no configuration `{wanted}` with training files, only {}", configs.join(", "))]
    NoConfig {
        /// The configuration asked for.
        wanted: String,
        /// Those it has.
        configs: Vec<String>,
    },
    /// It has no files to train on.
    #[error("none of its {files} files is of a kind that is read and of a training split")]
    NoDataFiles {
        /// Files it has.
        files: usize,
    },
}
