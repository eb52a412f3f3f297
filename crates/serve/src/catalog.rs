//! names and versions of models → which of them is meant, and what there is of it

use std::{
    collections::BTreeMap,
    fmt,
    ops::Bound,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use crate::{budget::NoRoom, engine::Engine, repository::ModelSource};

/// A model by its name, in one of its versions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id {
    pub name: String,
    pub version: u64,
}

/// A model that is there, and its engine, if it has one.
#[derive(Debug)]
pub(crate) struct Entry {
    pub path: PathBuf,
    /// Whether it was named at the start: such a model never makes room for others.
    pub is_pinned: bool,
    /// Whether it was put away by request: it stays so until it is loaded by one.
    pub is_away: bool,
    pub engine: Option<Arc<Engine>>,
    /// Why it could not be loaded, and when.
    pub failed: Option<(Unloadable, Instant)>,
    /// When it was last asked for, by the count of all that was asked.
    pub used: AtomicU64,
}

/// Why a model cannot be loaded.
#[derive(Clone, Debug)]
pub(crate) enum Unloadable {
    /// Its files are not those of a model, or cannot be read.
    Broken(String),
    /// The budget does not hold it.
    NoRoom(NoRoom),
    /// The server is ending.
    Ending,
}

/// Why a name leads to no engine.
#[derive(Clone, Debug)]
pub(crate) enum Missing {
    /// None of several was named.
    Unnamed,
    /// There is none of this name; there are these.
    Name(Vec<String>),
    /// The model has no such version; it has these.
    Version(Vec<u64>),
    /// It was put away.
    Away,
    /// It cannot be loaded.
    Unloadable(Unloadable),
}

/// What is told of a model.
#[derive(Clone, Debug)]
pub(crate) struct Status {
    pub id: Id,
    pub engine: Option<Arc<Engine>>,
    /// Why there is no engine, where it could not be loaded.
    pub failed: Option<Unloadable>,
}

/// All models that are known.
#[derive(Debug, Default)]
pub(crate) struct Catalog(pub BTreeMap<Id, Entry>);

impl Catalog {
    /// The model that is meant: the only one where none is named, and the highest version of a name unless one is named, be it as
    /// `name:2`.
    pub fn find(&self, name: Option<&str>, version: Option<u64>) -> Result<Id, Missing> {
        let Some(name) = name else {
            let mut names = self.names();
            return match (names.pop(), names.is_empty()) {
                (Some(only), true) => Ok(self.latest(&only).expect("a name has a version")),
                _ => Err(Missing::Unnamed),
            };
        };
        let of = |name: &str, version: Option<u64>| match version {
            None => self.latest(name),
            Some(version) => Some(Id { name: name.into(), version }).filter(|id| self.0.contains_key(id)),
        };
        let tagged = || {
            let (name, version) = name.rsplit_once(':').filter(|_| version.is_none())?;
            of(name, Some(version.parse().ok()?))
        };
        of(name, version).or_else(tagged).ok_or_else(|| match self.versions(name) {
            there if there.is_empty() => Missing::Name(self.names()),
            there => Missing::Version(there),
        })
    }

    /// Each name once.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.0.keys().map(|id| id.name.clone()).collect();
        names.dedup();
        names
    }

    /// The versions of a model, the highest last.
    pub fn versions(&self, name: &str) -> Vec<u64> {
        let from = Id { name: name.into(), version: 0 };
        let all = self.0.range((Bound::Included(from), Bound::Unbounded)).take_while(|(id, _)| id.name == name);
        all.map(|(id, _)| id.version).collect()
    }

    fn latest(&self, name: &str) -> Option<Id> {
        self.versions(name).pop().map(|version| Id { name: name.into(), version })
    }

    /// Add models that are new, note where others have moved to, and forget those that are gone and not loaded.
    pub fn know(&mut self, found: Vec<ModelSource>) {
        let is_found = |id: &Id| found.iter().any(|found| (&found.name, found.version) == (&id.name, id.version));
        self.0.retain(|id, entry| entry.is_pinned || entry.engine.is_some() || is_found(id));
        for ModelSource { name, version, path } in found {
            let entry = self.0.entry(Id { name, version }).or_insert_with(|| Entry::new(path.clone(), false));
            if !entry.is_pinned {
                entry.path = path;
            }
        }
    }

    /// Take away the engine that was not asked for for longest, of those that have nothing to do and may go, and are not that of
    /// `but`.
    pub fn take_unused(&mut self, but: &Id) -> Option<Arc<Engine>> {
        let may_go = |(id, entry): &(&Id, &mut Entry)| {
            *id != but && !entry.is_pinned && entry.engine.as_ref().is_some_and(Engine::is_unused)
        };
        let oldest = self.0.iter_mut().filter(may_go).min_by_key(|(_, entry)| entry.used.load(Ordering::Relaxed));
        oldest.and_then(|(_, entry)| entry.engine.take())
    }
}

impl Entry {
    pub fn new(path: PathBuf, is_pinned: bool) -> Self {
        Self { path, is_pinned, is_away: false, engine: None, failed: None, used: AtomicU64::new(0) }
    }

    pub fn status(&self, id: &Id) -> Status {
        let failed = self.failed.as_ref().map(|(why, _)| why.clone());
        Status { id: id.clone(), engine: self.engine.clone(), failed }
    }
}

impl Status {
    /// Whether it is loaded, and its engine makes progress or has nothing to do.
    pub fn is_ready(&self) -> bool {
        self.engine.as_ref().is_some_and(|engine| engine.is_ready())
    }
}

impl fmt::Display for Unloadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(why) => f.write_str(why),
            Self::NoRoom(NoRoom { bytes, held, most }) => {
                write!(f, "it takes {bytes} bytes, models that have requests hold {held}, and {most} there are")
            }
            Self::Ending => f.write_str("this server is shutting down"),
        }
    }
}
