//! a file ⇄ JSON

use std::fs;
use std::io::Read;
use std::path::Path;

use itera_files::{failed_to, write_atomic};
use serde_json::Value;

use crate::{
    error::{FormatError, Result},
    lfs::refuse_pointer,
};

/// Adds the file to an error about what it says.
pub(super) fn in_file(path: &Path) -> impl Fn(FormatError) -> FormatError {
    move |source| FormatError::File { path: path.to_owned(), source: source.into() }
}

/// What a file of JSON says that is no longer than files of its sort are.
pub(super) fn read_json(path: &Path, max_bytes: u64) -> Result<Value> {
    let file = fs::File::open(path).map_err(failed_to("read", path))?;
    let mut text = Vec::new();
    file.take(max_bytes + 1).read_to_end(&mut text).map_err(failed_to("read", path))?;
    if text.len() as u64 > max_bytes {
        return Err(FormatError::TooLarge { path: path.to_owned(), max_bytes });
    }
    refuse_pointer(path, &text)?;
    serde_json::from_slice(&text).map_err(|error| in_file(path)(error.into()))
}

pub(super) fn write_json(path: &Path, value: &Value) -> Result<()> {
    Ok(write_atomic(path, &json_text(value))?)
}

pub(super) fn json_text(value: &Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}
