//! Why a server does not start.

use std::io;

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
    /// Two models have one name, by which requests ask for them.
    #[error("two models are called `{name}`")]
    SameName {
        /// The name.
        name: String,
    },
    /// There is no model.
    #[error("there is no model to serve")]
    NoModel,
    /// Nothing can listen at the address.
    #[error("cannot listen at {address}")]
    Bind {
        /// The address that was asked for.
        address: Address,
        /// Why.
        source: io::Error,
    },
    /// The system gives no thread.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
}

/// What this crate's functions return.
pub type Result<T, E = ServeError> = std::result::Result<T, E>;
