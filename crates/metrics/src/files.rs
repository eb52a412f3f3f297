//! Files that appear whole or not at all.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use crate::{MetricsError, Result};

/// Replaces `path`: temporary sibling → fsync → rename.
pub(crate) fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let sibling = path.with_added_extension("tmp");
    let write = || {
        let mut file = File::create(&sibling)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&sibling, path)
    };
    write().map_err(MetricsError::io("write", path))
}
