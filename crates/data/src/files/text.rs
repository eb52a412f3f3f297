//! `.txt` → texts

use std::path::Path;

use itera_config::Separator;

use super::{lines::Lines, splitter::Splitter};
use crate::error::DataError;

/// Documents of a text file.
pub(super) fn text(
    path: &Path,
    separator: Separator,
) -> Result<impl Iterator<Item = Result<String, DataError>> + use<>, DataError> {
    let mut lines = Lines::open(path)?;
    let mut splitter = Splitter::new(separator);
    Ok(std::iter::from_fn(move || {
        loop {
            match lines.next_line() {
                Ok(Some(line)) => {
                    if let Some(document) = splitter.push(line) {
                        return Some(Ok(document));
                    }
                }
                Ok(None) => return splitter.finish().map(Ok),
                Err(error) => return Some(Err(error)),
            }
        }
    }))
}
