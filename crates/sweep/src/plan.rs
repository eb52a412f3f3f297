//! sweep file, base configuration → cells × seeds → trials, each a whole configuration with a name
//!
//! ```text
//! list entry × grid point × draw = cell ─ seed ─▶ Config ─ rules ─▶ Trial, named by the hash of its configuration
//! ```

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use itera_config::{Config, DataConfig, RunConfig};
use itera_files::{Sha256Digest, failed_to};
use toml::{Table, Value};

use crate::{
    error::{Result, SweepError},
    file::{Seeds, Setting, SweepFile},
};

/// Most trials of a sweep.
pub const MAX_TRIALS: usize = 100_000;
/// Digits of a name: 64 bits of the hash.
const NAME_DIGITS: usize = 16;

/// All that a sweep is to run.
#[derive(Debug)]
pub struct Plan {
    /// The sweep file.
    pub path: PathBuf,
    /// Where its trials lie, a directory each. Several sweeps may have the same one, and share trials.
    pub dir: PathBuf,
    /// Keys of the configuration that cells differ in, `table.key`, in the order of the file.
    pub keys: Vec<String>,
    /// Never empty.
    pub cells: Vec<Cell>,
    /// By number.
    pub trials: Vec<Trial>,
    /// The cell that others are compared with.
    pub baseline: usize,
    /// Cells that the file asks for again, as draws of whole numbers may.
    pub repeated: usize,
    /// Most that a trial may take.
    pub minutes: Option<f64>,
    /// Steps, ascending, after which cells are stopped that are worse than the median; empty for none.
    pub median_stop: Vec<u64>,
}

/// The trials that differ in their seed alone.
#[derive(Debug)]
pub struct Cell {
    /// What the configuration has, for each of [`Plan::keys`].
    pub values: Vec<Value>,
    /// Indices of its trials, by seed.
    pub trials: Vec<usize>,
}

/// One configuration to train.
#[derive(Debug)]
pub struct Trial {
    /// The hash of its configuration, in hexadecimal digits.
    pub name: String,
    /// Its cell.
    pub cell: usize,
    /// `run.seed`.
    pub seed: u64,
    /// All of it, but for the directory of its run.
    pub config: Config,
}

impl Plan {
    /// Read a sweep file, and make a valid configuration of every trial.
    ///
    /// # Errors
    /// If the file, or the base configuration, cannot be read, means nothing, or asks for a trial whose configuration breaks
    /// a rule.
    pub fn load(path: &Path) -> Result<Self> {
        let file = SweepFile::read(path)?;
        let base = fs::read_to_string(&file.base).map_err(failed_to("read", &file.base))?;
        Self::new(path, &file, &base)
    }

    fn new(path: &Path, file: &SweepFile, base: &str) -> Result<Self> {
        let keys = file.keys();
        let origin = file.base.display().to_string();
        let load = |settings: &[Setting]| -> Result<Config> {
            let own = settings.iter().filter(|setting| !file.set.contains(setting));
            let trial = listed(own.map(|(key, value)| (key.as_str(), value)));
            let trial = if trial.is_empty() { "all trials".to_owned() } else { trial };
            let config =
                Config::from_toml_with(base, &origin, settings, &path.display().to_string()).map_err(|source| {
                    SweepError::Trial { path: path.into(), trial: trial.clone(), source: source.into() }
                })?;
            file.check(path, &trial, &config)?;
            Ok(placeless(config))
        };
        let mut plan = Self {
            path: path.into(),
            dir: file.dir.clone(),
            keys,
            cells: vec![],
            trials: vec![],
            baseline: 0,
            repeated: 0,
            minutes: file.minutes,
            median_stop: file.median_stop.clone(),
        };
        let mut by_name = HashMap::new();
        for settings in file.cells(path)? {
            plan.add_cell(load(&[&file.set[..], &settings].concat())?, &file.seeds, &mut by_name);
        }
        plan.baseline = plan.find_baseline(file, &load)?;
        Ok(plan)
    }

    fn add_cell(&mut self, config: Config, seeds: &Seeds, by_name: &mut HashMap<String, usize>) {
        let seeds: Vec<u64> = match seeds {
            Seeds::Count(count) => (0..*count).map(|index| config.run.seed + index).collect(),
            Seeds::These(these) => these.clone(),
        };
        let table = tables(&config);
        let values = self.keys.iter().map(|key| value_of(&table, key)).collect();
        let cell = Cell { values, trials: vec![] };
        let index = self.cells.len();
        self.cells.push(cell);
        for seed in seeds {
            let run = RunConfig { seed, ..config.run.clone() };
            let config = Config { run, ..config.clone() };
            let name = name(&config);
            if by_name.contains_key(&name) {
                continue;
            }
            by_name.insert(name.clone(), self.trials.len());
            self.cells[index].trials.push(self.trials.len());
            self.trials.push(Trial { name, cell: index, seed, config });
        }
        if self.cells[index].trials.is_empty() {
            self.cells.pop();
            self.repeated += 1;
        }
    }

    /// The cell with the values that the file names; else the one that is the base itself, or else the first.
    fn find_baseline(&self, file: &SweepFile, load: &dyn Fn(&[Setting]) -> Result<Config>) -> Result<usize> {
        if file.baseline.is_empty() {
            let Ok(base) = load(&file.set) else { return Ok(0) };
            let base = tables(&base);
            let is_base =
                |cell: &Cell| self.keys.iter().zip(&cell.values).all(|(key, value)| value_of(&base, key) == *value);
            return Ok(self.cells.iter().position(is_base).unwrap_or(0));
        }
        let wanted: Vec<(&str, Value)> =
            file.baseline.iter().map(|(key, value)| (key.as_str(), float(value))).collect();
        let has = |cell: &Cell, key: &str, wanted: &Value| {
            let index = self.keys.iter().position(|known| known == key);
            index.is_some_and(|index| float(&cell.values[index]) == *wanted)
        };
        let found: Vec<usize> = (0..self.cells.len())
            .filter(|cell| wanted.iter().all(|(key, value)| has(&self.cells[*cell], key, value)))
            .collect();
        match found[..] {
            [cell] => Ok(cell),
            _ => Err(SweepError::Baseline { path: self.path.clone(), found: found.len(), cells: self.cells.len() }),
        }
    }

    /// What a cell has that others have not: `train.lr = 0.1, model.d_model = 32`; `the base` where no key is swept.
    pub fn cell_label(&self, cell: usize) -> String {
        match self.keys.is_empty() {
            true => "the base".into(),
            false => listed(self.keys.iter().map(String::as_str).zip(&self.cells[cell].values)),
        }
    }

    /// What a trial has that others have not, its seed included.
    pub fn trial_label(&self, trial: usize) -> String {
        let Trial { cell, seed, .. } = &self.trials[trial];
        format!("{}, seed {seed}", self.cell_label(*cell))
    }
}

impl SweepFile {
    /// What each cell sets.
    fn cells(&self, path: &Path) -> Result<Vec<Vec<Setting>>> {
        let seeds = match &self.seeds {
            Seeds::Count(count) => usize::try_from(*count).unwrap_or(usize::MAX),
            Seeds::These(these) => these.len(),
        };
        let draws = self.random.as_ref().map_or(1, |random| usize::try_from(random.count).unwrap_or(usize::MAX));
        let sizes = self.grid.iter().map(|(_, values)| values.len()).chain([self.list.len().max(1), draws, seeds]);
        let trials = sizes.fold(1, usize::saturating_mul);
        if trials > MAX_TRIALS {
            return Err(SweepError::TooMany { path: path.into(), max: MAX_TRIALS });
        }
        let default = tables(&Config::default());
        let is_whole = |key: &str| value_of(&default, key).is_integer();
        let mut cells = if self.list.is_empty() { vec![vec![]] } else { self.list.clone() };
        for (key, values) in &self.grid {
            let with = |cell: Vec<Setting>| {
                values.iter().map(move |value| [&cell[..], &[(key.clone(), value.clone())]].concat())
            };
            cells = cells.into_iter().flat_map(with).collect();
        }
        if let Some(random) = &self.random {
            let with = |cell: Vec<Setting>| {
                (0..random.count).map(move |index| [&cell[..], &random.draw(index, &is_whole)].concat())
            };
            cells = cells.into_iter().flat_map(with).collect();
        }
        Ok(cells)
    }

    /// What a sweep asks of a configuration beyond its own rules.
    fn check(&self, path: &Path, trial: &str, config: &Config) -> Result<()> {
        let DataConfig { source, valid_source, extra_source, .. } = &config.data;
        if source.iter().chain(valid_source).chain(extra_source).any(|source| source == "-") {
            return Err(SweepError::StandardInput { path: path.into(), trial: trial.into() });
        }
        for &step in &self.median_stop {
            let refuse = |why| Err(SweepError::MedianStep { path: path.into(), trial: trial.into(), step, why });
            if step >= config.train.steps {
                return refuse("over");
            }
            if !step.is_multiple_of(config.eval.every_steps) {
                return refuse("not validated");
            }
        }
        Ok(())
    }
}

/// The configuration, with what says where its files lie, and by how many threads it is computed, at its default.
fn placeless(config: Config) -> Config {
    let RunConfig { seed, device, .. } = config.run;
    let run = RunConfig { seed, device, ..RunConfig::default() };
    Config { run, ..config }
}

/// A name that does not depend on the order of keys, on whether defaults are written out, on where data is cached, or on keys
/// that later versions of the program add with a default that changes nothing.
fn name(config: &Config) -> String {
    let default = tables(&Config::default());
    let data = DataConfig { cache_dir: DataConfig::default().cache_dir, ..config.data.clone() };
    let config = tables(&Config { data, ..config.clone() });
    let mut lines = Vec::new();
    for (table, keys) in &config {
        for (key, value) in keys.as_table().into_iter().flatten() {
            let key = format!("{table}.{key}");
            if value_of(&default, &key) != *value {
                lines.push(format!("{key} = {value}\n"));
            }
        }
    }
    lines.sort_unstable();
    let hash = Sha256Digest::of(lines.concat().as_bytes()).to_string();
    hash[..NAME_DIGITS].to_owned()
}

fn tables(config: &Config) -> Table {
    Table::try_from(config).expect("a configuration is TOML")
}

/// What a configuration has at `table.key`, which every valid one has.
fn value_of(tables: &Table, key: &str) -> Value {
    let at = key.split_once('.').and_then(|(table, key)| tables.get(table)?.get(key));
    at.cloned().unwrap_or_else(|| Value::String(String::new()))
}

/// 1 and 1.0 are one number.
fn float(value: &Value) -> Value {
    value.as_integer().map_or_else(|| value.clone(), |number| Value::Float(number as f64))
}

fn listed<'a>(settings: impl Iterator<Item = (&'a str, &'a Value)>) -> String {
    settings.map(|(key, value)| format!("{key} = {value}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
