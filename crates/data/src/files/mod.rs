//! paths, globs and directories → files → texts
//!
//! | ending     | a document is                                                                            |
//! |------------|------------------------------------------------------------------------------------------|
//! | `.txt`     | what stands between separators, which `data.separator` says, or an article of WikiText   |
//! | `.jsonl`   | the string in field `data.text_field` of the record of a line (`.ndjson` too)            |
//! | `.json`    | that of each record of an array, or of records one after the other                       |
//! | `.csv`     | the value in column `data.text_field` of a row; the first row names the columns          |
//! | `.parquet` | the value in column `data.text_field` of a row, or an article of WikiText                |
//!
//! All but parquet may be compressed by gzip or zstd, with or without `.gz` or `.zst` behind the ending. `-` is standard
//! input, read as `.txt`. Files are read in the order of their names; text, lines and rows as a stream.

mod find;
mod input;
mod lines;
#[cfg(feature = "parquet")]
mod parquet;
mod records;
mod splitter;
mod text;
mod zstd;

use std::path::Path;

pub(crate) use find::find;
use itera_config::{DataConfig, Separator};

use crate::error::DataError;

/// The source that is standard input.
const STDIN: &str = "-";

/// A stream of texts that may break off with an error.
pub(crate) type Texts<'a> = Box<dyn Iterator<Item = Result<String, DataError>> + 'a>;

/// How a file holds its documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    JsonLines,
    Json,
    Csv,
    Parquet,
}

/// What the ending of a name says.
pub(crate) fn kind_of(path: &Path) -> Option<Kind> {
    if path == Path::new(STDIN) {
        return Some(Kind::Text);
    }
    let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
    let inner = [".gz", ".zst"].iter().find_map(|ending| name.strip_suffix(ending));
    match (inner.unwrap_or(&name).rsplit_once('.')?.1, inner.is_some()) {
        ("txt", _) => Some(Kind::Text),
        ("jsonl" | "ndjson", _) => Some(Kind::JsonLines),
        ("json", _) => Some(Kind::Json),
        ("csv", _) => Some(Kind::Csv),
        ("parquet", false) => Some(Kind::Parquet),
        _ => None,
    }
}

/// The texts of one file.
///
/// # Errors
///
/// If the file cannot be read, is of an unknown kind, or holds no text at all; later items report what only shows
/// in the middle of the file. After [`DataError::Record`] the texts go on.
pub(crate) fn read<'a>(path: &Path, config: &'a DataConfig) -> Result<Texts<'a>, DataError> {
    let separator =
        || Separator::of(&config.separator).ok_or_else(|| DataError::Separator { separator: config.separator.clone() });
    let field = &config.text_field;
    let texts: Texts<'a> = match kind_of(path) {
        Some(Kind::Text) => Box::new(text::text(path, separator()?)?),
        Some(Kind::JsonLines) => Box::new(records::json_lines(path, field)?),
        Some(Kind::Json) => Box::new(records::json(path, field)?),
        Some(Kind::Csv) => Box::new(records::csv(path, field)?),
        #[cfg(feature = "parquet")]
        Some(Kind::Parquet) => parquet::parquet(path, field, separator()?)?,
        #[cfg(not(feature = "parquet"))]
        Some(Kind::Parquet) => return Err(DataError::NoParquet { path: path.into() }),
        None => return Err(DataError::FileKind { path: path.into() }),
    };
    let mut texts = texts.peekable();
    match texts.peek() {
        Some(_) => Ok(Box::new(texts)),
        None => Err(DataError::Empty { path: path.into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_tell_kinds() {
        for (name, kind) in [
            ("a.txt", Some(Kind::Text)),
            ("A.TXT.GZ", Some(Kind::Text)),
            ("-", Some(Kind::Text)),
            ("x/a.jsonl.zst", Some(Kind::JsonLines)),
            ("a.ndjson", Some(Kind::JsonLines)),
            ("a.json.gz", Some(Kind::Json)),
            ("a.csv", Some(Kind::Csv)),
            ("a.parquet", Some(Kind::Parquet)),
            ("a.parquet.zst", None),
            ("a.gz", None),
            ("txt", None),
        ] {
            assert_eq!(kind_of(Path::new(name)), kind, "{name}");
        }
    }

    #[cfg(not(feature = "parquet"))]
    #[test]
    fn a_build_without_parquet_names_the_feature() {
        let error = read(Path::new("a.parquet"), &DataConfig::default()).err().expect("it cannot be read");
        assert!(matches!(error, DataError::NoParquet { .. }) && error.to_string().contains("`parquet`"), "{error}");
    }
}
