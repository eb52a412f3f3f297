//! What can be wrong with a configuration, and what to write instead.

use std::{fmt, path::PathBuf};

use itera_files::FileError;
use itera_shape::BrokenRule;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is longer than any configuration.
    #[error("{} is longer than {max_bytes} bytes, so it is no configuration", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Longest that is read.
        max_bytes: u64,
    },
    /// The text is not TOML.
    #[error("{origin} is not TOML")]
    Syntax {
        /// Where the text came from.
        origin: String,
        /// The answer of the parser, with the line.
        source: toml::de::Error,
    },
    /// An override is not of the form `key=value`.
    #[error("the override `{text}` is not of the form table.key=value")]
    Override {
        /// The override.
        text: String,
    },
    /// The text is TOML, but not a valid configuration.
    #[error("{}", list(problems))]
    Invalid {
        /// All that is wrong, never empty.
        problems: Vec<Problem>,
    },
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// `table.key`.
    pub key: String,
    /// `file:line` or the override that set the key; `None` for a default or a value that no text holds.
    pub place: Option<String>,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// There is no such key, or no such table.
    Unknown {
        /// The most similar name that exists.
        nearest: String,
    },
    /// The value is of another type.
    WrongType {
        /// The value, as TOML.
        value: String,
        /// What the key takes.
        expected: String,
    },
    /// The value breaks a rule.
    BrokenRule(BrokenRule),
}

impl From<BrokenRule> for Problem {
    fn from(broken: BrokenRule) -> Self {
        Self { key: broken.key.clone(), place: None, fault: Fault::BrokenRule(broken) }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, place, fault } = self;
        if let Some(place) = place {
            write!(f, "{place}: ")?;
        }
        // a precision cuts strings: values come from files, and a message has to fit a terminal
        match fault {
            Fault::Unknown { nearest } => write!(
                f,
                "unknown {} `{key:.80}`; the nearest is `{nearest}`",
                if nearest.contains('.') { "key" } else { "table" }
            ),
            Fault::WrongType { value, expected } => write!(f, "`{key}` = {value:.80}: expected {expected}"),
            Fault::BrokenRule(broken) => broken.fmt(f),
        }
    }
}

fn list(problems: &[Problem]) -> String {
    match problems {
        [one] => one.to_string(),
        many => many.iter().fold(format!("{} problems in the configuration", many.len()), |text, problem| {
            format!("{text}\n  {problem}")
        }),
    }
}
