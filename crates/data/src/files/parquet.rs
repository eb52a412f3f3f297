//! `.parquet` → texts, one column streamed a batch of rows at a time

use std::{
    fs::File,
    io::{Read, Seek},
    path::{Path, PathBuf},
    vec,
};

use parquet::{
    basic::{Compression, Type as PhysicalType},
    column::reader::{ColumnReader, ColumnReaderImpl},
    data_type::{ByteArray, ByteArrayType},
    errors::ParquetError,
    file::reader::{FileReader, SerializedFileReader},
};

use itera_config::Separator;
use itera_files::{failed_to, is_lfs_pointer};

use super::{
    input,
    splitter::{Splitter, is_article_heading},
};
use crate::error::{DataError, Place, RecordFault};

/// Rows decoded at a time.
const BATCH_ROWS: usize = 1024;

/// Texts of column `column`, a null as an empty one.
///
/// A row is a document, unless the first row with text is a top-level heading of WikiText: that collection has a row
/// a line, and its rows are joined into articles.
pub(super) fn parquet<'a>(
    path: &Path,
    column: &str,
    separator: Separator,
) -> Result<Box<dyn Iterator<Item = Result<String, DataError>> + 'a>, DataError> {
    let mut rows = Rows::open(path, column)?;
    let mut head = Vec::new();
    for row in rows.by_ref() {
        let is_blank = row.as_ref().is_ok_and(|text| text.trim().is_empty());
        head.push(row);
        if !is_blank {
            break;
        }
    }
    let is_wikitext = matches!(head.last(), Some(Ok(text)) if is_article_heading(text));
    let mut rows = head.into_iter().chain(rows);
    if !is_wikitext {
        return Ok(Box::new(rows));
    }
    let mut splitter = Splitter::new(separator);
    Ok(Box::new(std::iter::from_fn(move || {
        loop {
            match rows.next() {
                Some(Ok(line)) => {
                    if let Some(document) = splitter.push(&line) {
                        return Some(Ok(document));
                    }
                }
                Some(Err(error)) => return Some(Err(error)),
                None => return splitter.finish().map(Ok),
            }
        }
    })))
}

/// Values of one top-level string column, in the order of the file.
struct Rows {
    path: PathBuf,
    file: SerializedFileReader<File>,
    column: usize,
    /// Definition level of a value that is present: 0 where the column cannot be null.
    present: i16,
    next_group: usize,
    group: Option<ColumnReaderImpl<ByteArrayType>>,
    batch: vec::IntoIter<Option<ByteArray>>,
    row: u64,
}

impl Rows {
    fn open(path: &Path, column: &str) -> Result<Self, DataError> {
        let mut file = File::open(path).map_err(failed_to("read", path))?;
        let mut head = Vec::new();
        let looked = file.by_ref().take(input::HEAD_BYTES).read_to_end(&mut head).and_then(|_| file.rewind());
        looked.map_err(failed_to("read", path))?;
        if is_lfs_pointer(&head) {
            return Err(DataError::LfsPointer { path: path.into() });
        }
        let file = SerializedFileReader::new(file).map_err(|error| damaged(path, error))?;
        let schema = file.metadata().file_metadata().schema_descr_ptr();
        let is_text = |i: &usize| {
            let column = schema.column(*i);
            column.physical_type() == PhysicalType::BYTE_ARRAY && column.max_rep_level() == 0
        };
        let names: Vec<_> =
            (0..schema.num_columns()).filter(is_text).map(|i| schema.column(i).path().string()).collect();
        let index = (0..schema.num_columns()).filter(is_text).find(|&i| schema.column(i).path().string() == column);
        let index =
            index.ok_or_else(|| DataError::NoColumn { path: path.into(), column: column.into(), present: names })?;
        if let Some(group) = file.metadata().row_groups().first() {
            readable_codec(path, group.column(index).compression())?;
        }
        let present = schema.column(index).max_def_level();
        let batch = Vec::new().into_iter();
        Ok(Self { path: path.into(), file, column: index, present, next_group: 0, group: None, batch, row: 0 })
    }

    /// Decode the next rows; `false` at the end of the file.
    fn fill_batch(&mut self) -> Result<bool, ParquetError> {
        loop {
            if self.group.is_none() {
                if self.next_group == self.file.num_row_groups() {
                    return Ok(false);
                }
                let group = self.file.get_row_group(self.next_group)?;
                self.next_group += 1;
                self.group = match group.get_column_reader(self.column)? {
                    ColumnReader::ByteArrayColumnReader(reader) => Some(reader),
                    _ => return Err(ParquetError::General("a row group disagrees with the schema".into())),
                };
            }
            let Some(reader) = &mut self.group else { continue };
            let (mut values, mut levels) = (Vec::new(), Vec::new());
            let (rows, _, _) = reader.read_records(BATCH_ROWS, Some(&mut levels), None, &mut values)?;
            if rows == 0 {
                self.group = None;
                continue;
            }
            let mut values = values.into_iter();
            let batch: Vec<_> = if self.present == 0 {
                values.map(Some).collect()
            } else {
                levels.iter().map(|&level| if level == self.present { values.next() } else { None }).collect()
            };
            self.batch = batch.into_iter();
            return Ok(true);
        }
    }
}

impl Iterator for Rows {
    type Item = Result<String, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.batch.len() == 0 {
            match self.fill_batch() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(Err(damaged(&self.path, error))),
            }
        }
        let value = self.batch.next()?;
        self.row += 1;
        let bytes = value.as_ref().map_or(&[][..], ByteArray::data);
        Some(String::from_utf8(bytes.to_vec()).map_err(|_| DataError::Record {
            path: self.path.clone(),
            place: Place::Row(self.row),
            fault: RecordFault::NotUtf8,
        }))
    }
}

fn damaged(path: &Path, error: ParquetError) -> DataError {
    DataError::Parquet { path: path.into(), source: error.into() }
}

/// Refuse a codec that is not compiled in, by name, before the first page fails on it.
fn readable_codec(path: &Path, codec: Compression) -> Result<(), DataError> {
    let is_missing = match codec {
        Compression::ZSTD(_) => !cfg!(feature = "hub"),
        Compression::BROTLI(_) | Compression::LZO => true,
        _ => false,
    };
    let name = format!("{codec:?}");
    let codec = name.split('(').next().unwrap_or_default().into();
    if is_missing { Err(DataError::Codec { path: path.into(), codec }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_codec_is_named() {
        let error =
            readable_codec(Path::new("a.parquet"), Compression::BROTLI(Default::default())).expect_err("no brotli");
        assert!(matches!(&error, DataError::Codec { codec, .. } if codec == "BROTLI"), "{error}");
        let is_readable = |codec| readable_codec(Path::new("a.parquet"), codec).is_ok();
        assert!(is_readable(Compression::SNAPPY) && is_readable(Compression::UNCOMPRESSED));
        assert_eq!(is_readable(Compression::ZSTD(Default::default())), cfg!(feature = "hub"));
    }
}
