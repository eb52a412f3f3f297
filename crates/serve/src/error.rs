//! Why a server does not start.

use std::{io, path::PathBuf};

use itera_files::FileError;
use itera_runtime::RuntimeError;

use crate::address::Address;

/// An error of this crate. What is wrong with a request is no error of the server, but an answer to the request.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The model cannot be opened.
    #[error(transparent)]
    Model(#[from] RuntimeError),
    /// A file of the model cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// Files of the model were written while they were read.
    #[error("{} changed while it was read", path.display())]
    Changing {
        /// The file or directory.
        path: PathBuf,
    },
    /// Two models have one name, by which requests ask for them.
    #[error("two models are called `{name}`")]
    SameName {
        /// The name.
        name: String,
    },
    /// The models together are to take more than they may.
    #[error("the model `{name}` takes {bytes} bytes, others hold {held}, and {most} there are")]
    NoRoom {
        /// The first that has no room.
        name: String,
        /// Bytes that it takes at most.
        bytes: usize,
        /// Bytes that others hold.
        held: usize,
        /// Bytes that all may take.
        most: usize,
    },
    /// The engine of a model does not start.
    #[error("the engine of `{name}` does not start: {problem}")]
    Engine {
        /// The model.
        name: String,
        /// Why.
        problem: String,
    },
    /// A model of the repository that is to be loaded at the start cannot be.
    #[error("cannot load at the start: {problem}")]
    Load {
        /// Which model, and why.
        problem: String,
    },
    /// There is no model.
    #[error("there is no model to serve")]
    NoModel,
    /// A line of a file of keys is not one of a key.
    #[error("{}, line {line}: {problem}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong. The text of the line is not told: it may be a key.
        problem: KeyProblem,
    },
    /// A file of keys has none, with which nobody could ask.
    #[error("there is no key in {}", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// A new key cannot be called so.
    #[error(transparent)]
    KeyName(KeyProblem),
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Random(#[source] io::Error),
    /// Nothing can be told to a collector of traces at this URL.
    #[error("no traces can be sent to `{url}`: {problem}")]
    Traces {
        /// Where it was to be.
        url: String,
        /// Why.
        problem: String,
    },
    /// Nothing can listen at the address.
    #[error("cannot listen at {address}")]
    Bind {
        /// The address that was asked for.
        address: Address,
        /// Why.
        source: io::Error,
    },
    /// A socket that was handed over cannot be used.
    #[error("cannot use a socket that was handed over")]
    Inherit(#[source] io::Error),
    /// The system gives no thread.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
}

/// What is wrong with a line of a file of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyProblem {
    /// It has more parts than three, or fewer.
    #[error("expected a name, a role and a hash")]
    Parts,
    /// The name is empty, long, or has characters that a log should not have.
    #[error("a name is 1 to 64 ASCII letters, digits and any of . _ @ -")]
    Name,
    /// There is no such role.
    #[error("a role is inference or admin")]
    Role,
    /// The hash is none.
    #[error("a hash is the SHA-256 of a key, 64 hexadecimal digits")]
    Hash,
    /// A line before it has the same hash.
    #[error("the same key was there before")]
    Twice,
}

/// What this crate's functions return.
pub type Result<T, E = ServeError> = std::result::Result<T, E>;

/// An error and its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
