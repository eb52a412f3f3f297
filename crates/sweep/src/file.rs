//! `sweep.toml` → what it asks for, every value of the right kind
//!
//! A key of the configuration is written `train.lr = …` below a table of the sweep, so that TOML nests it, or quoted, as
//! `"train.lr" = …`; both are one. Whether the configuration has it is for its own rules to say (`plan.rs`).

use std::{
    fs,
    path::{Path, PathBuf},
};

use itera_files::failed_to;
use serde::Deserialize;
use toml::{Table, Value};

use crate::{
    error::{Result, SweepError},
    random::{Random, Range},
};

/// Keys that the sweep gives values of its own.
const RESERVED: [&str; 3] = ["run.dir", "run.seed", "run.threads"];

/// `table.key` of the configuration, and a value.
pub(crate) type Setting = (String, Value);

/// The seeds of every cell.
#[derive(Debug, PartialEq)]
pub(crate) enum Seeds {
    /// So many, from the one of the configuration on.
    Count(u64),
    /// These.
    These(Vec<u64>),
}

/// A sweep as its file has it.
#[derive(Debug)]
pub(crate) struct SweepFile {
    /// The configuration that trials differ from.
    pub base: PathBuf,
    /// Where trials lie.
    pub dir: PathBuf,
    pub seeds: Seeds,
    /// Most that a trial may take.
    pub minutes: Option<f64>,
    /// Steps after which cells that are worse than the median are stopped.
    pub median_stop: Vec<u64>,
    /// What all trials differ in from the base.
    pub set: Vec<Setting>,
    /// Values of which each is taken with each of the others.
    pub grid: Vec<(String, Vec<Value>)>,
    /// Values that go together.
    pub list: Vec<Vec<Setting>>,
    pub random: Option<Random>,
    pub baseline: Vec<Setting>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    base: String,
    dir: Option<String>,
    seeds: Option<Value>,
    minutes: Option<f64>,
    #[serde(default)]
    median_stop: Vec<u64>,
    #[serde(default)]
    set: Table,
    #[serde(default)]
    grid: Table,
    list: Option<Vec<Table>>,
    random: Option<Table>,
    #[serde(default)]
    baseline: Table,
}

impl SweepFile {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(failed_to("read", path))?;
        Self::parse(&text, path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self> {
        let raw: Raw =
            toml::from_str(text).map_err(|source| SweepError::Syntax { path: path.into(), source: source.into() })?;
        let invalid = |key: &str, found: &dyn ToString, expected| {
            let found = found.to_string();
            SweepError::Value { path: path.into(), key: key.into(), found, expected }
        };
        let settings = |table: Table, name: &str| {
            flat(table).map_err(|(key, value)| {
                invalid(&format!("{name}.{key}"), &value, "a key of the configuration, such as train.lr")
            })
        };

        let seeds = raw.seeds.map_or(Ok(Seeds::Count(1)), |value| {
            seeds(&value)
                .ok_or_else(|| invalid("seeds", &value, "how many, from 1, or a list of different whole numbers"))
        })?;
        if let Some(minutes) = raw.minutes.filter(|minutes| !(minutes.is_finite() && *minutes > 0.0)) {
            return Err(invalid("minutes", &minutes, "a number above 0"));
        }
        let steps = &raw.median_stop;
        if steps.first() == Some(&0) || steps.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err(invalid("median_stop", &format!("{steps:?}"), "steps from 1, each more than the one before"));
        }
        let mut grid = Vec::new();
        for (key, values) in settings(raw.grid, "grid")? {
            match values {
                Value::Array(values) if !values.is_empty() => grid.push((key, values)),
                other => return Err(invalid(&format!("grid.{key}"), &other, "a list of values, at least one")),
            }
        }
        let mut list = Vec::new();
        for table in raw.list.iter().flatten() {
            list.push(settings(table.clone(), "list")?);
        }
        if let Some(nothing) = raw.list.filter(|list| list.is_empty() || list.iter().any(Table::is_empty)) {
            return Err(invalid("list", &format!("{nothing:?}"), "tables of values, at least one"));
        }
        let random = raw.random.map(|table| random(table, &invalid, &settings)).transpose()?;
        let base = path.parent().unwrap_or(Path::new("")).join(&raw.base);
        let dir = match raw.dir {
            Some(dir) => path.parent().unwrap_or(Path::new("")).join(dir),
            None => path.with_extension("sweep"),
        };
        if dir == path {
            return Err(invalid(
                "dir",
                &format!("{:?}", dir.display().to_string()),
                "another name than that of the file",
            ));
        }
        let (set, baseline) = (settings(raw.set, "set")?, settings(raw.baseline, "baseline")?);
        let (minutes, median_stop) = (raw.minutes, raw.median_stop);
        let sweep = Self { base, dir, seeds, minutes, median_stop, set, grid, list, random, baseline };
        sweep.check_keys(path)?;
        Ok(sweep)
    }

    /// Each key is given in one way, and none that is the sweep's own.
    fn check_keys(&self, path: &Path) -> Result<()> {
        let mut seen: Vec<(&str, &'static str)> = Vec::new();
        let list = self.list.iter().flatten().map(|(key, _)| (key.as_str(), "list"));
        let grid = self.grid.iter().map(|(key, _)| (key.as_str(), "grid"));
        let random = self.random.iter().flat_map(|random| &random.ranges).map(|(key, _)| (key.as_str(), "random"));
        let set = self.set.iter().map(|(key, _)| (key.as_str(), "set"));
        for (key, way) in set.chain(list).chain(grid).chain(random) {
            if RESERVED.contains(&key) {
                return Err(SweepError::Reserved { path: path.into(), key: key.into() });
            }
            let before = seen.iter().find(|(known, first)| *known == key && !(*first == "list" && way == "list"));
            if let Some((_, first)) = before {
                return Err(SweepError::Twice { path: path.into(), key: key.into(), first, second: way });
            }
            seen.push((key, way));
        }
        Ok(())
    }

    /// The keys that cells may differ in, in the order of the file.
    pub(crate) fn keys(&self) -> Vec<String> {
        let list = self.list.iter().flatten().map(|(key, _)| key);
        let grid = self.grid.iter().map(|(key, _)| key);
        let random = self.random.iter().flat_map(|random| &random.ranges).map(|(key, _)| key);
        let mut keys: Vec<String> = Vec::new();
        for key in list.chain(grid).chain(random) {
            if !keys.contains(key) {
                keys.push(key.clone());
            }
        }
        keys
    }
}

/// Settings of a table, nested or with their dots; fails with what is neither.
fn flat(table: Table) -> Result<Vec<Setting>, (String, Value)> {
    let mut settings = Vec::new();
    for (name, value) in table {
        match value {
            value if name.contains('.') => settings.push((name, value)),
            Value::Table(keys) => {
                settings.extend(keys.into_iter().map(|(key, value)| (format!("{name}.{key}"), value)))
            }
            value => return Err((name, value)),
        }
    }
    Ok(settings)
}

fn seeds(value: &Value) -> Option<Seeds> {
    let seed = |value: &Value| u64::try_from(value.as_integer()?).ok();
    if let Value::Array(list) = value {
        let these = list.iter().map(seed).collect::<Option<Vec<u64>>>()?;
        let mut different = these.clone();
        different.sort_unstable();
        different.dedup();
        return (!these.is_empty() && different.len() == these.len()).then_some(Seeds::These(these));
    }
    seed(value).filter(|count| *count > 0).map(Seeds::Count)
}

fn random(
    mut table: Table,
    invalid: &dyn Fn(&str, &dyn ToString, &'static str) -> SweepError,
    settings: &dyn Fn(Table, &str) -> Result<Vec<Setting>>,
) -> Result<Random> {
    let mut number = |key: &str, least: i64, expected| match table.remove(key) {
        Some(Value::Integer(number)) if number >= least => Ok(number as u64),
        Some(other) => Err(invalid(&format!("random.{key}"), &other, expected)),
        None => Err(invalid(&format!("random.{key}"), &"nothing", expected)),
    };
    let count = number("count", 1, "how many to draw, from 1")?;
    let seed = number("seed", 0, "the seed to draw by, a whole number")?;
    let mut ranges = Vec::new();
    for (key, value) in settings(table, "random")? {
        let range = Range::from_toml(&value).ok_or_else(|| {
            let expected = "{ uniform = [low, high] } or { log_uniform = [low, high] }, low below high, both above 0 for the latter";
            invalid(&format!("random.{key}"), &value, expected)
        })?;
        ranges.push((key, range));
    }
    if ranges.is_empty() {
        return Err(invalid("random", &"{}", "keys and the ranges to draw them from"));
    }
    Ok(Random { count, seed, ranges })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<SweepFile> {
        SweepFile::parse(&format!("base = \"tiny.toml\"\n{text}"), Path::new("sweeps/lr.toml"))
    }

    #[test]
    fn keys_are_nested_or_have_their_dots() {
        let nested = parse("[grid]\ntrain.lr = [1e-3, 3e-3]\n[grid.model]\nd_model = [32]").expect("a sweep");
        let dotted = parse("[grid]\n\"train.lr\" = [1e-3, 3e-3]\n\"model.d_model\" = [32]").expect("a sweep");
        assert_eq!(nested.grid, dotted.grid);
        assert_eq!(nested.keys(), ["train.lr", "model.d_model"]);
        assert_eq!((nested.base, nested.dir), ("sweeps/tiny.toml".into(), "sweeps/lr.sweep".into()));
        assert_eq!(nested.seeds, Seeds::Count(1));
        assert_eq!(parse("seeds = [3, 1]").expect("a sweep").seeds, Seeds::These(vec![3, 1]));
        assert_eq!(parse("dir = \"/runs/lr\"").expect("a sweep").dir, Path::new("/runs/lr"));
    }

    #[test]
    fn what_means_nothing_is_named() {
        let cases = [
            ("grids.train.lr = [1]", "unknown field `grids`"),
            ("seeds = 0", "`seeds` = 0: expected how many"),
            ("seeds = [1, 1]", "`seeds` = [1, 1]: expected"),
            ("seeds = [-1]", "`seeds` = [-1]: expected"),
            ("seeds = \"3\"", "`seeds` = \"3\": expected"),
            ("minutes = 0", "`minutes` = 0: expected a number above 0"),
            ("minutes = \"5\"", "invalid type: string \"5\", expected f64"),
            ("median_stop = [20, 10]", "`median_stop` = [20, 10]: expected steps"),
            ("[grid]\nlr = [1]", "`grid.lr` = [1]: expected a key of the configuration"),
            ("[grid]\ntrain.lr = []", "`grid.train.lr` = []: expected a list of values, at least one"),
            ("[grid]\ntrain.lr = 1", "`grid.train.lr` = 1: expected a list"),
            ("list = []", "`list` = []: expected tables"),
            ("[[list]]", "expected tables of values, at least one"),
            ("[random]\ncount = 2", "`random.seed` = nothing: expected the seed"),
            ("[random]\ncount = 0\nseed = 1", "`random.count` = 0: expected how many"),
            ("[random]\ncount = 2\nseed = 1", "`random` = {}: expected keys"),
            (
                "[random]\ncount = 2\nseed = 1\ntrain.lr = { uniform = [2, 1] }",
                "`random.train.lr` = { uniform = [2, 1] }",
            ),
            ("[random]\ncount = 2\nseed = 1\ntrain.lr = { log_uniform = [0, 1] }", "expected { uniform"),
            ("[random]\ncount = 2\nseed = 1\ntrain.lr = { normal = [0, 1] }", "expected { uniform"),
            ("[set]\nrun.dir = \"x\"", "`run.dir` is given by the sweep itself"),
            ("[grid]\nrun.seed = [1]", "`run.seed` is given by the sweep itself"),
            ("[set]\ntrain.lr = 1\n[grid]\ntrain.lr = [1]", "`train.lr` is given twice, in `set` and in `grid`"),
            ("dir = \"lr.toml\"", "expected another name than that of the file"),
        ];
        for (text, expected) in cases {
            let error = parse(text).expect_err(text);
            let told = itera_testkit::chain(&error);
            assert!(told.contains(expected) && told.contains("lr.toml"), "{text}: {told}");
        }
    }
}
