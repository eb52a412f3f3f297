//! paths and globs → files → texts
//!
//! | ending     | a document is                                                                          |
//! |------------|----------------------------------------------------------------------------------------|
//! | `.txt`     | what stands between lines equal to `data.separator`, or an article of WikiText         |
//! | `.jsonl`   | the string in field `data.text_field` of a line                                        |
//! | `.parquet` | the value in column `data.text_field` of a row, or an article of WikiText              |
//!
//! Files are read as a stream, in the order of their names within a glob.

mod lines;
mod parquet;
mod splitter;
mod text;

use std::path::{Path, PathBuf};

use itera_config::DataConfig;
use itera_files::failed_to;

use crate::DataError;

/// A stream of texts that may break off with an error.
pub(crate) type Texts<'a> = Box<dyn Iterator<Item = Result<String, DataError>> + 'a>;

/// The files that a path or glob names, sorted by name.
///
/// A path that exists is taken literally, whatever characters it contains.
pub(crate) fn find(pattern: &str) -> Result<Vec<PathBuf>, DataError> {
    let literal = Path::new(pattern);
    if literal.exists() {
        return Ok(vec![literal.into()]);
    }
    let matches = glob::glob(pattern).map_err(|error| DataError::Source {
        item: pattern.into(),
        problem: format!("a glob with an error: {error}"),
    })?;
    let mut paths =
        matches // in alphabetical order
            .map(|entry| entry.map_err(|error| failed_to("read", error.path().to_owned())(error.into())))
            .collect::<Result<Vec<_>, _>>()?;
    paths.retain(|path| path.is_file());
    if paths.is_empty() {
        let cwd = std::env::current_dir().unwrap_or_default();
        return Err(DataError::NoMatch { pattern: pattern.into(), cwd });
    }
    Ok(paths)
}

/// The texts of one file.
///
/// # Errors
///
/// If the file cannot be read, is of an unknown kind, or holds no text at all; later items report what only shows
/// in the middle of the file.
pub(crate) fn read<'a>(path: &Path, config: &'a DataConfig) -> Result<Texts<'a>, DataError> {
    let kind = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let texts: Texts<'a> = match kind.to_ascii_lowercase().as_str() {
        "txt" => Box::new(text::text(path, &config.separator)?),
        "jsonl" => Box::new(text::jsonl(path, &config.text_field)?),
        "parquet" => parquet::parquet(path, &config.text_field, &config.separator)?,
        _ => return Err(DataError::FileKind { path: path.into() }),
    };
    let mut texts = texts.peekable();
    match texts.peek() {
        Some(_) => Ok(Box::new(texts)),
        None => Err(DataError::Empty { path: path.into() }),
    }
}
