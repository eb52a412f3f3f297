//! The template of a chat in a model directory: messages → the text that the model was trained to continue.

use std::fs;
use std::io::Read;
use std::path::Path;

use itera_files::failed_to;
use serde_json::Value;

use super::json::{in_file, read_json};
use crate::error::{FormatError, Result};

/// The template alone; where it is, that in the settings does not count.
const TEMPLATE: &str = "chat_template.jinja";

const SETTINGS: &str = "tokenizer_config.json";

/// Its key in the settings.
const KEY: &str = "chat_template";

/// Longest template that is read: a hundred times the longest in use.
const MAX_TEMPLATE_BYTES: u64 = 1 << 21;

/// Longest settings that are read. Those of large vocabularies list thousands of tokens.
const MAX_SETTINGS_BYTES: u64 = 1 << 24;

/// The template of a directory, if it has one; of several by name the one called `default`.
pub(crate) fn read_chat_template(dir: &Path) -> Result<Option<String>> {
    let path = dir.join(TEMPLATE);
    if path.exists() {
        return read_text(&path).map(Some);
    }
    let path = dir.join(SETTINGS);
    if !path.exists() {
        return Ok(None);
    }
    let settings = read_json(&path, MAX_SETTINGS_BYTES)?;
    let template = match settings.get(KEY) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(named)) => {
            named.iter().find(|entry| entry["name"] == "default").map(|found| &found["template"])
        }
        found => found,
    };
    let problem = || FormatError::Key {
        key: KEY.into(),
        found: "something else".into(),
        supported: "a text, or a list of {name, template} with one that is called default".into(),
    };
    let template = template.and_then(Value::as_str).ok_or_else(|| in_file(&path)(problem()))?;
    Ok(Some(template.to_owned()))
}

fn read_text(path: &Path) -> Result<String> {
    let file = fs::File::open(path).map_err(failed_to("read", path))?;
    let mut text = String::new();
    file.take(MAX_TEMPLATE_BYTES + 1).read_to_string(&mut text).map_err(failed_to("read", path))?;
    match text.len() as u64 > MAX_TEMPLATE_BYTES {
        true => Err(FormatError::TooLarge { path: path.to_owned(), max_bytes: MAX_TEMPLATE_BYTES }),
        false => Ok(text),
    }
}
