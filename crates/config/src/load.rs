//! file, overrides → one key at a time: known? of the right type? → tables → rules → [`Config`]
//!
//! The schema is the default configuration, written as TOML: a key exists if it is there, and a value fits if the tables
//! read it in place of the default.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    fs::File,
    io::Read,
    ops::Range,
    path::Path,
};

use itera_files::failed_to;
use strsim::osa_distance;
use toml::{Table, Value, de::DeTable};

use crate::{
    aliases,
    config::{Config, Tables},
    error::{ConfigError, Fault, Problem},
};

/// Longest file that is read; the longest sensible configuration is a hundred times shorter.
const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// Edits that a key in another table counts for at most, so that a known key under a wrong table is found.
const MAX_TABLE_EDITS: usize = 2;

impl Config {
    /// Read a TOML file and apply `overrides` (`table.key=value`) in order. An absent key keeps its default.
    ///
    /// # Errors
    /// If the file cannot be read or is not TOML; otherwise with all unknown keys and wrong types or, when there are
    /// none, all broken rules.
    pub fn load(path: &Path, overrides: &[String]) -> Result<Self, ConfigError> {
        let mut text = String::new();
        let file = File::open(path).map_err(failed_to("read", path))?;
        file.take(MAX_CONFIG_BYTES + 1).read_to_string(&mut text).map_err(failed_to("read", path))?;
        if text.len() as u64 > MAX_CONFIG_BYTES {
            return Err(ConfigError::TooLarge { path: path.into(), max_bytes: MAX_CONFIG_BYTES });
        }
        Self::from_toml(&text, &path.display().to_string(), overrides)
    }

    /// As [`Config::load`], from a text that errors call `origin`.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn from_toml(text: &str, origin: &str, overrides: &[String]) -> Result<Self, ConfigError> {
        let mut draft = Draft::new();
        draft.add_text(text, origin)?;
        overrides.iter().try_for_each(|text| draft.add_override(text))?;
        draft.finish()
    }

    /// As [`Config::from_toml`], with `values` in place of what the text says: `table.key` and a value, each of which has to
    /// fit as it is. Errors call the origin of the values `place`.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn from_toml_with(
        text: &str,
        origin: &str,
        values: &[(String, Value)],
        place: &str,
    ) -> Result<Self, ConfigError> {
        let mut draft = Draft::new();
        draft.add_text(text, origin)?;
        for (key, value) in values {
            draft.set(key.clone(), value.clone(), None, &|_| place.into());
        }
        draft.finish()
    }
}

/// A configuration in the making: one entry a key, named `table.key`.
struct Draft {
    /// Every key there is.
    known: Vec<String>,
    /// Values that fit, and where they were set.
    values: BTreeMap<String, Value>,
    places: BTreeMap<String, String>,
    problems: Vec<Problem>,
}

impl Draft {
    fn new() -> Self {
        let schema = Table::try_from(Config::default()).expect("the default configuration is TOML");
        let keys_of = |(table, keys): (&String, &Value)| -> Vec<String> {
            keys.as_table().into_iter().flat_map(Table::keys).map(|name| format!("{table}.{name}")).collect()
        };
        let known = schema.iter().flat_map(keys_of).collect();
        Self { known, values: BTreeMap::new(), places: BTreeMap::new(), problems: Vec::new() }
    }

    fn add_text(&mut self, text: &str, origin: &str) -> Result<(), ConfigError> {
        let syntax_error = |source| ConfigError::Syntax { origin: origin.into(), source };
        let lines = lines_of_keys(text).map_err(syntax_error)?;
        let place = |key: &str| lines.get(key).map_or(origin.into(), |line| format!("{origin}:{line}"));
        for (key, value) in text.parse::<Table>().map_err(syntax_error)? {
            self.set(key, value, None, &place);
        }
        Ok(())
    }

    /// The value of an override is TOML or, where that does not fit, a string without quotes.
    fn add_override(&mut self, text: &str) -> Result<(), ConfigError> {
        let Some((key, bare)) = text.split_once('=') else { return Err(ConfigError::Override { text: text.into() }) };
        let (key, bare) = (key.trim(), bare.trim());
        let value = bare.parse().unwrap_or_else(|_| Value::String(bare.into()));
        self.set(key.into(), value, Some(bare), &|_| format!("override {text:.80}"));
        Ok(())
    }

    fn set(&mut self, key: String, value: Value, bare: Option<&str>, place: &dyn Fn(&str) -> String) {
        let is_table = self.tables().any(|table| table == key);
        let fitted = match value {
            Value::Table(keys) if is_table => {
                return keys
                    .into_iter()
                    .for_each(|(name, value)| self.set(format!("{key}.{name}"), value, None, place));
            }
            value if is_table => Err(Fault::WrongType { value: value.to_string(), expected: "a table".into() }),
            value if self.known.contains(&key) => fit(&key, value, bare),
            value => Err(Fault::Unknown { nearest: self.nearest(&key, value.is_table()) }),
        };
        let place = place(&key);
        match fitted {
            Ok(value) => {
                self.places.insert(key.clone(), place);
                self.values.insert(key, value);
            }
            Err(fault) => self.problems.push(Problem { key, place: Some(place), fault }),
        }
    }

    fn tables(&self) -> impl Iterator<Item = &str> {
        self.known.iter().map(|key| split(key).0)
    }

    /// The key that other programs call so, else the table or key whose name takes the fewest edits.
    fn nearest(&self, key: &str, is_table: bool) -> String {
        if is_table && !key.contains('.') {
            return self.tables().min_by_key(|table| osa_distance(table, key)).unwrap_or_default().into();
        }
        let (table, name) = split(key);
        if let Some(meant) = aliases::meant(table, name) {
            return meant.into();
        }
        let distance = |known: &&String| {
            let (known_table, known_name) = split(known);
            let edits = osa_distance(known_name, name) + osa_distance(known_table, table).min(MAX_TABLE_EDITS);
            // names are more often mistyped at their end than at their start
            let agreeing = known_name.chars().zip(name.chars()).take_while(|(a, b)| a == b).count();
            (edits, Reverse(agreeing))
        };
        self.known.iter().min_by_key(distance).cloned().unwrap_or_default()
    }

    fn finish(self) -> Result<Config, ConfigError> {
        if !self.problems.is_empty() {
            return Err(ConfigError::Invalid { problems: self.problems });
        }
        let tables: Tables = nest(self.values).try_into().expect("keys that fit one by one fit together");
        Config::try_from(tables).map_err(|error| match error {
            ConfigError::Invalid { mut problems } => {
                problems.iter_mut().for_each(|problem| problem.place = self.places.get(&problem.key).cloned());
                ConfigError::Invalid { problems }
            }
            other => other,
        })
    }
}

/// `table.key` → (table, key); a name without a dot has no table.
fn split(key: &str) -> (&str, &str) {
    key.split_once('.').unwrap_or(("", key))
}

/// Entries named `table.key` → tables of keys.
fn nest(values: impl IntoIterator<Item = (String, Value)>) -> Table {
    let mut tables = Table::new();
    for (key, value) in values {
        let (table, name) = split(&key);
        if let Value::Table(keys) = tables.entry(table).or_insert_with(|| Value::Table(Table::new())) {
            keys.insert(name.into(), value);
        }
    }
    tables
}

/// The value if the key takes it, else the bare string if the key takes that.
fn fit(key: &str, value: Value, bare: Option<&str>) -> Result<Value, Fault> {
    let read = |value: Value| match nest([(key.into(), value.clone())]).try_into::<Tables>() {
        Ok(_) => Ok(value),
        Err(error) => Err(Fault::WrongType { value: value.to_string(), expected: expectation(error.message()) }),
    };
    read(value).or_else(|fault| bare.and_then(|bare| read(bare.into()).ok()).ok_or(fault))
}

/// What serde expected, in the words of TOML: `invalid type: string "x", expected usize` → `a whole number, 0 or more`.
fn expectation(message: &str) -> String {
    let (_, expected) = message.rsplit_once("expected ").unwrap_or(("", message));
    match expected {
        "usize" | "u64" => "a whole number, 0 or more".into(),
        "f64" => "a number".into(),
        "a boolean" => "true or false".into(),
        "a sequence" => "a list".into(),
        other => other.into(),
    }
}

/// The line, from 1, of each table and each `table.key`.
fn lines_of_keys(text: &str) -> Result<HashMap<String, usize>, toml::de::Error> {
    let line = |span: Range<usize>| 1 + text[..span.start].matches('\n').count();
    let mut lines = HashMap::new();
    for (table, value) in DeTable::parse(text)?.get_ref() {
        lines.insert(table.get_ref().to_string(), line(table.span()));
        for (name, _) in value.get_ref().as_table().into_iter().flatten() {
            lines.insert(format!("{}.{}", table.get_ref(), name.get_ref()), line(name.span()));
        }
    }
    Ok(lines)
}
