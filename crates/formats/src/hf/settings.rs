//! One key of a foreign JSON object at a time, or an error that says what was found and what is supported.

use serde_json::{Map, Value};

use crate::error::{FormatError, Result};

/// Characters of a foreign value that a message repeats.
const SHOWN: usize = 80;

/// The keys of a `config.json`. `null` counts as absent, as it does in `transformers`.
#[derive(Clone, Copy)]
pub(super) struct Settings<'a>(&'a Map<String, Value>);

impl<'a> Settings<'a> {
    pub(super) fn of(value: &'a Value, key: &str) -> Result<Self> {
        value.as_object().map(Self).ok_or_else(|| unsupported(key, Some(value), "an object"))
    }

    pub(super) fn get(self, key: &str) -> Option<&'a Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    /// A required value that `read` understands.
    pub(super) fn required<T>(
        self,
        key: &str,
        supported: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<T> {
        self.get(key).and_then(read).ok_or_else(|| unsupported(key, self.get(key), supported))
    }

    pub(super) fn size(self, key: &str) -> Result<usize> {
        self.required(key, "a whole number", |value| usize::try_from(value.as_u64()?).ok())
    }

    /// The ids of a key that has one or a list of them, none if it is absent; all are below `vocab_size`.
    pub(super) fn ids(self, key: &str, vocab_size: usize) -> Result<Vec<u32>> {
        let id = |value: &Value| u32::try_from(value.as_u64()?).ok().filter(|id| (*id as usize) < vocab_size);
        let ids = |value: &Value| match value {
            Value::Array(ids) => ids.iter().map(id).collect(),
            one => id(one).map(|id| vec![id]),
        };
        let supported = format!("ids below vocab_size, {vocab_size}");
        self.get(key).map_or(Ok(vec![]), |_| self.required(key, &supported, ids))
    }

    pub(super) fn number(self, key: &str) -> Result<f64> {
        self.required(key, "a number", Value::as_f64)
    }

    pub(super) fn flag(self, key: &str) -> Result<bool> {
        self.required(key, "true or false", Value::as_bool)
    }

    /// An error unless the key is absent or holds what is supported.
    pub(super) fn only(self, key: &str, supported: &Value) -> Result<()> {
        let equal = |value: &Value| value == supported || value.as_f64().is_some_and(|v| Some(v) == supported.as_f64());
        match self.get(key) {
            Some(value) if !equal(value) => Err(unsupported(key, Some(value), supported.to_string())),
            _ => Ok(()),
        }
    }
}

pub(super) fn unsupported(key: &str, found: Option<&Value>, supported: impl Into<String>) -> FormatError {
    let found = found.map_or("absent".to_owned(), Value::to_string);
    let shortened = found.char_indices().nth(SHOWN).map(|(cut, _)| format!("{}…", &found[..cut]));
    FormatError::Key { key: key.to_owned(), found: shortened.unwrap_or(found), supported: supported.into() }
}
