//! Paths that texts can name.

use std::path::Path;

use crate::error::{CompressError, Result};

/// Configurations and reports, which are text, can name the path.
///
/// # Errors
/// [`CompressError::NotUnicode`].
pub fn require_unicode(path: &Path) -> Result<()> {
    if path.to_str().is_some() { Ok(()) } else { Err(CompressError::NotUnicode { path: path.into() }) }
}
