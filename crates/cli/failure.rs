//! an error → what a person reads of it

use anyhow::Error;

use crate::{hints::hint, talk};

/// Say what went wrong, and what to do about it. Of several ranks every one is heard.
pub fn tell(error: &Error) {
    talk::insist(format_args!("error: {error:#}"));
    if let Some(hint) = hint(error) {
        talk::insist(format_args!("hint: {hint}"));
    }
}

/// Whether whoever reads the output has seen enough, as `| head` has.
pub fn is_broken_pipe(error: &Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
