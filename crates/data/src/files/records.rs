//! `.jsonl`, `.json` and `.csv` → texts

use std::{io, path::Path};

use csv::ByteRecord;
use itera_files::failed_to;
use serde_json::{Map, Value};

use super::{input::Input, lines::Lines};
use crate::error::{DataError, Place, RecordFault};

/// The text of each line's JSON object; blank lines are skipped.
pub(super) fn json_lines<'a>(
    path: &Path,
    field: &'a str,
) -> Result<impl Iterator<Item = Result<String, DataError>> + use<'a>, DataError> {
    let mut lines = Lines::open(path)?;
    Ok(std::iter::from_fn(move || {
        let found = loop {
            break match lines.next_line() {
                Ok(Some(line)) if line.trim().is_empty() => continue,
                Ok(Some(line)) => serde_json::from_str(line).map_err(RecordFault::Json),
                Ok(None) => return None,
                Err(DataError::NotUtf8 { .. }) => Err(RecordFault::NotUtf8),
                Err(error) => return Some(Err(error)),
            };
        };
        let bad = |fault| DataError::Record { path: lines.path(), place: Place::Line(lines.number()), fault };
        Some(found.and_then(|record| text_of(record, field)).map_err(bad))
    }))
}

/// The text of each record of an array, or of records that follow one another.
///
/// The file is held in memory while its records are read.
pub(super) fn json<'a>(
    path: &Path,
    field: &'a str,
) -> Result<impl Iterator<Item = Result<String, DataError>> + use<'a>, DataError> {
    let mut input = Input::open(path)?;
    let bytes = input.read_to_end()?;
    let text = String::from_utf8(bytes).map_err(|error| DataError::NotUtf8 {
        path: input.path.clone(),
        offset: input.mark_bytes + error.utf8_error().valid_up_to() as u64,
        is_utf16: false,
    })?;
    let path = input.path;
    let is_array = text.trim_start().starts_with('[');
    let mut at = text.find('[').filter(|_| is_array).map_or(0, |at| at + 1);
    let (mut record, mut is_closed) = (0, !is_array);
    Ok(std::iter::from_fn(move || {
        let mut rest = text[at..].trim_start();
        if !is_closed && record > 0 {
            rest = rest.strip_prefix(',').unwrap_or(rest);
        }
        if let Some(after) = rest.strip_prefix(']').filter(|_| !is_closed) {
            (rest, is_closed) = (after.trim_start(), true);
        }
        if rest.is_empty() && is_closed {
            return None;
        }
        record += 1;
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
        let value = values.next().unwrap_or_else(|| Err(serde::de::Error::custom("the array is not closed")));
        match value {
            Ok(value) => {
                at = text.len() - rest.len() + values.byte_offset();
                let bad = |fault| DataError::Record { path: path.clone(), place: Place::Record(record), fault };
                Some(text_of(value, field).map_err(bad))
            }
            Err(source) => {
                (at, is_closed) = (text.len(), true); // nothing tells where the next record begins
                Some(Err(DataError::Json { path: path.clone(), record, source }))
            }
        }
    }))
}

/// The values of a column; the first row names the columns.
pub(super) fn csv(
    path: &Path,
    column: &str,
) -> Result<impl Iterator<Item = Result<String, DataError>> + use<>, DataError> {
    let Input { path, reader, action, .. } = Input::open(path)?;
    let mut rows = csv::Reader::from_reader(reader);
    let at = path.clone();
    let unreadable = move |error: csv::Error| match error.into_kind() {
        csv::ErrorKind::UnequalLengths { pos, expected_len: expected, len: found } => DataError::Record {
            path: at.clone(),
            place: Place::Line(pos.map_or(0, |pos| pos.line())),
            fault: RecordFault::Fields { found, expected },
        },
        csv::ErrorKind::Io(source) => failed_to(action, &at)(source).into(),
        other => failed_to(action, &at)(io::Error::other(format!("{other:?}"))).into(),
    };
    let names: Vec<_> = rows
        .byte_headers()
        .map_err(&unreadable)?
        .iter()
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect();
    let index = names.iter().position(|name| name == column);
    if index.is_none() && !names.is_empty() {
        return Err(DataError::NoColumn { path, column: column.into(), present: names });
    }
    let mut row = ByteRecord::new();
    Ok(std::iter::from_fn(move || match rows.read_byte_record(&mut row) {
        Ok(true) => {
            let value = row.get(index?).unwrap_or_default();
            let line = row.position().map_or(0, |place| place.line());
            Some(String::from_utf8(value.to_vec()).map_err(|_| DataError::Record {
                path: path.clone(),
                place: Place::Line(line),
                fault: RecordFault::NotUtf8,
            }))
        }
        Ok(false) => None,
        Err(error) => Some(Err(unreadable(error))),
    }))
}

/// The string in a field of a JSON object; null is an empty one.
fn text_of(record: Value, field: &str) -> Result<String, RecordFault> {
    let Value::Object(mut record) = record else { return Err(RecordFault::NotAnObject) };
    match value_of(&mut record, field).map(Value::take) {
        Some(Value::String(text)) => Ok(text),
        Some(Value::Null) => Ok(String::new()),
        Some(_) => Err(RecordFault::NotText { field: field.into() }),
        None => Err(RecordFault::NoField { field: field.into(), present: record.keys().cloned().collect() }),
    }
}

/// The value of a field: of that name, or else `a.b` is field `b` of the object in field `a`.
fn value_of<'r>(record: &'r mut Map<String, Value>, field: &str) -> Option<&'r mut Value> {
    if record.contains_key(field) {
        return record.get_mut(field);
    }
    let (outer, inner) = field.split_once('.')?;
    value_of(record.get_mut(outer)?.as_object_mut()?, inner)
}
