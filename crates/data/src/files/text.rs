//! `.txt` and `.jsonl` → texts

use std::path::Path;

use super::{lines::Lines, splitter::Splitter};
use crate::DataError;

/// Documents of a text file, which end at lines equal to `separator`.
pub(super) fn text<'a>(
    path: &Path,
    separator: &'a str,
) -> Result<impl Iterator<Item = Result<String, DataError>> + use<'a>, DataError> {
    let mut lines = Lines::open(path)?;
    let mut splitter = Splitter::new(separator);
    Ok(std::iter::from_fn(move || {
        loop {
            match lines.next_line() {
                Ok(Some((_, line))) => {
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

/// Field `field` of each line's JSON object; blank lines are skipped.
pub(super) fn jsonl<'a>(
    path: &Path,
    field: &'a str,
) -> Result<impl Iterator<Item = Result<String, DataError>> + use<'a>, DataError> {
    let mut lines = Lines::open(path)?;
    Ok(std::iter::from_fn(move || {
        loop {
            let (number, found) = match lines.next_line() {
                Ok(Some((_, line))) if line.trim().is_empty() => continue,
                Ok(Some((number, line))) => (number, text_of_record(line, field)),
                Ok(None) => return None,
                Err(error) => return Some(Err(error)),
            };
            return Some(found.map_err(|problem| DataError::Record {
                path: lines.path().into(),
                place: format!("line {number}"),
                problem,
            }));
        }
    }))
}

/// The string in `field` of a JSON object, or what is wrong with the object.
fn text_of_record(line: &str, field: &str) -> Result<String, String> {
    use serde_json::Value;
    match serde_json::from_str(line) {
        Ok(Value::Object(mut record)) => match record.remove(field) {
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err(format!("field `{field}` is not a string")),
            None => {
                let present: Vec<_> = record.keys().map(|key| format!("`{key}`")).collect();
                Err(format!("no field `{field}` among {}", present.join(", ")))
            }
        },
        Ok(_) => Err("not a JSON object".into()),
        Err(error) => Err(format!("not JSON: {error}")),
    }
}
