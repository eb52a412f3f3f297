//! names → engines: opened at the start, loaded when they are asked for, exchanged for newer ones, put away
//!
//! ```text
//! request ─ name ─▶ entry ─┬─ its engine ─────────────────────────────────────▶ Arc<Engine>
//!                          └─ none: hold bytes ─ open ─ start ─ take its place ─▶ Arc<Engine>
//!                                      └─ not enough: the one that was not used for longest and has nothing to do goes
//! ```
//!
//! A request keeps the engine that it got: one that another takes the place of ends when the last of its requests has. So an
//! answer is wholly of one model, and no request meets an engine that has ended.

use std::{
    fs, mem,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use itera_runtime::OpenOptions;
use itera_tokenizer::TokenId;

use crate::{
    budget::{Budget, Held, NoRoom},
    catalog::{Catalog, Entry, Id, Missing, Status, Unloadable},
    engine::{Engine, Size},
    error::{Result, ServeError, chain},
    loaded::Loaded,
    metrics::Metrics,
    queue::{Limits, Queue},
    refusal::Refusal,
    repository::{ModelSource, models_in},
};

/// How long a model that could not be loaded is not tried again by requests.
const NOT_AGAIN: Duration = Duration::from_secs(5);

/// How often the directory is read for names that nobody knows.
const LOOKED: Duration = Duration::from_secs(1);

/// All models.
#[derive(Debug)]
pub(crate) struct Models {
    catalog: RwLock<Catalog>,
    repository: Option<PathBuf>,
    /// When the repository was last read. Held while a model is loaded, so that there is one at a time.
    loading: Mutex<Instant>,
    options: OpenOptions,
    budget: Arc<Budget>,
    size: Size,
    limits: Limits,
    metrics: Arc<Metrics>,
    threads: Mutex<Threads>,
    clock: AtomicU64,
}

/// Of all engines, also those that another has taken the place of.
#[derive(Debug, Default)]
struct Threads {
    all: Vec<(Weak<Queue>, JoinHandle<()>)>,
    /// Whether no engine begins any more.
    is_ending: bool,
}

/// How models are run, and how much they may take.
#[derive(Clone, Debug)]
pub(crate) struct Means {
    pub options: OpenOptions,
    pub size: Size,
    pub limits: Limits,
    /// Bytes that they may take together; `None` for any number.
    pub memory: Option<usize>,
}

impl Models {
    /// Load each of `pinned`, and know those in the directory `repository`.
    pub fn start(
        pinned: Vec<ModelSource>,
        repository: Option<&Path>,
        means: Means,
        metrics: Arc<Metrics>,
    ) -> Result<Self> {
        let Means { options, size, limits, memory } = means;
        let models = Self {
            catalog: RwLock::default(),
            repository: repository.map(Path::to_owned),
            loading: Mutex::new(Instant::now()),
            options,
            budget: Budget::new(memory, metrics.memory()),
            size,
            limits,
            metrics,
            threads: Mutex::default(),
            clock: AtomicU64::new(0),
        };
        for source in pinned {
            let (id, path) = (Id { name: source.name.clone(), version: source.version }, source.path.clone());
            if models.read().0.contains_key(&id) {
                return Err(ServeError::SameName { name: id.name });
            }
            let failed = |problem| match problem {
                Unloadable::NoRoom(NoRoom { bytes, held, most }) => {
                    ServeError::NoRoom { name: id.name.clone(), bytes, held, most }
                }
                problem => ServeError::Engine { name: id.name.clone(), problem: problem.to_string() },
            };
            let held = models.hold_files(&id, &path).map_err(failed)?;
            let loaded = Loaded::open(source, &models.options)?;
            let engine = Some(models.engine_of(loaded, held).map_err(failed)?);
            models.write().0.insert(id, Entry { engine, ..Entry::new(path, true) });
        }
        if let Some(dir) = repository {
            let found = models_in(dir)?;
            models.write().know(found);
        }
        match models.read().0.is_empty() && repository.is_none() {
            true => Err(ServeError::NoModel),
            false => Ok(models),
        }
    }

    /// Load models by the names that requests have for them; `*` is the highest version of each.
    pub fn load_at_start(&self, names: &[String]) -> Result<()> {
        let all = |name: &String| if name == "*" { self.read().names() } else { vec![name.clone()] };
        for name in names.iter().flat_map(all) {
            self.engine(Some(&name), None).map_err(|missing| {
                let problem = Refusal::missing(Some(&name), missing).message().to_owned();
                ServeError::Load { problem }
            })?;
        }
        Ok(())
    }

    /// The engine of the model that a request names, which is loaded if it is not; of the only one where it names none. A
    /// name alone is its highest version, and `name:2` version 2, where no model is called so.
    pub fn engine(&self, name: Option<&str>, version: Option<u64>) -> Result<Arc<Engine>, Missing> {
        let id = match self.find(name, version) {
            Err(Missing::Name(_) | Missing::Version(_)) if self.look_again() => self.find(name, version)?,
            found => found?,
        };
        {
            let entries = self.read();
            let entry = entries.0.get(&id).ok_or(Missing::Away)?;
            entry.used.store(self.clock.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            match &entry.engine {
                Some(engine) => return Ok(engine.clone()),
                None if entry.is_away => return Err(Missing::Away),
                None => {}
            }
        }
        // a load takes long for a thread that serves others
        tokio::task::block_in_place(|| self.load_where_missing(&id)).map_err(Missing::Unloadable)
    }

    /// The model that is meant, whether it is loaded or not.
    pub fn find(&self, name: Option<&str>, version: Option<u64>) -> Result<Id, Missing> {
        self.read().find(name, version)
    }

    /// Versions of a model.
    pub fn versions(&self, name: &str) -> Vec<u64> {
        self.read().versions(name)
    }

    /// All models, in order of names and versions.
    pub fn all(&self) -> Vec<Status> {
        self.read().0.iter().map(|(id, entry)| entry.status(id)).collect()
    }

    /// A model, if it is still there.
    pub fn status(&self, id: &Id) -> Option<Status> {
        self.read().0.get(id).map(|entry| entry.status(id))
    }

    /// All engines that requests are given.
    pub fn engines(&self) -> Vec<Arc<Engine>> {
        self.read().0.values().filter_map(|entry| entry.engine.clone()).collect()
    }

    /// Load the highest version of a model by request, anew if it is loaded: its files as they are now. Where that fails, what was
    /// there stays.
    pub fn load(&self, name: &str) -> Result<(), Missing> {
        self.look();
        let id = self.find(Some(name), None)?;
        let _loading = self.loading();
        self.open(&id).map(drop).map_err(Missing::Unloadable)
    }

    /// Put all versions of a model away. Its requests are answered, and no more are taken in.
    pub fn unload(&self, name: &str) -> Result<(), Missing> {
        self.find(Some(name), None)?;
        let mut gone = vec![];
        for (id, entry) in self.write().0.iter_mut() {
            if id.name == name {
                entry.is_away = true;
                gone.extend(entry.engine.take());
            }
        }
        // an engine ends outside of the lock
        drop(gone);
        Ok(())
    }

    /// Take in nothing more; all engines end with their last text.
    pub fn drain(&self) {
        self.end(Queue::drain);
    }

    /// End all engines after their steps, whatever is left.
    pub fn abort(&self) {
        self.end(Queue::abort);
    }

    fn end(&self, how: fn(&Queue)) {
        let mut threads = self.threads();
        threads.is_ending = true;
        threads.all.iter().filter_map(|(queue, _)| queue.upgrade()).for_each(|queue| how(&queue));
    }

    /// Wait until all engines have ended.
    pub fn join(&self) {
        let all = mem::take(&mut self.threads().all);
        for (_, thread) in all {
            // a panic was printed where it happened
            let _ = thread.join();
        }
    }

    /// Read the repository if that was not just done. Whether it was.
    fn look_again(&self) -> bool {
        let mut looked = self.loading();
        if looked.elapsed() < LOOKED {
            return false;
        }
        *looked = Instant::now();
        drop(looked);
        self.look()
    }

    /// Read the repository. Whether there is one, which can be read.
    fn look(&self) -> bool {
        let found = self.repository.as_deref().map(models_in);
        match found {
            Some(Ok(found)) => {
                self.write().know(found);
                true
            }
            _ => false,
        }
    }

    fn load_where_missing(&self, id: &Id) -> Result<Arc<Engine>, Unloadable> {
        let _loading = self.loading();
        if let Some(entry) = self.read().0.get(id) {
            if let Some(engine) = &entry.engine {
                return Ok(engine.clone());
            }
            if let Some((why @ Unloadable::Broken(_), when)) = &entry.failed
                && when.elapsed() < NOT_AGAIN
            {
                return Err(why.clone());
            }
        }
        self.open(id)
    }

    /// Open a model, and let it take the place of the one that was there. Who calls this holds [`Models::loading`].
    fn open(&self, id: &Id) -> Result<Arc<Engine>, Unloadable> {
        let path = self.read().0.get(id).map(|entry| entry.path.clone());
        let opened = path.ok_or_else(|| Unloadable::Broken("it is gone".into())).and_then(|path| {
            let held = self.hold_files(id, &path)?;
            let source = ModelSource { name: id.name.clone(), version: id.version, path };
            let loaded = Loaded::open(source, &self.options).map_err(|error| self.broken(&error))?;
            self.engine_of(loaded, held)
        });
        let mut entries = self.write();
        let Some(entry) = entries.0.get_mut(id) else { return opened };
        let before = match &opened {
            Ok(engine) => {
                (entry.failed, entry.is_away) = (None, false);
                entry.engine.replace(engine.clone())
            }
            Err(why) => {
                entry.failed = Some((why.clone(), Instant::now()));
                None
            }
        };
        drop(entries);
        // an engine ends outside of the lock
        drop(before);
        opened
    }

    /// Hold the bytes of a model's files, before anything of them is read, and half as many: scales that are copied take less.
    fn hold_files(&self, id: &Id, path: &Path) -> Result<Held, Unloadable> {
        let mut held = self.budget.nothing();
        let files = bytes_of(path);
        held.grow(files.saturating_add(files / 2), || self.make_room(id)).map_err(Unloadable::NoRoom)?;
        Ok(held)
    }

    /// Start an engine for a model that is open and whose files are held, once all else that it takes is.
    fn engine_of(&self, mut loaded: Loaded, mut held: Held) -> Result<Arc<Engine>, Unloadable> {
        let id = Id { name: loaded.name.clone(), version: loaded.version };
        let waiting = self.limits.tokens.saturating_mul(size_of::<TokenId>());
        let of_model = bytes_of(&loaded.path).saturating_add(loaded.model.scales_bytes());
        let bytes = self.size.bytes(&loaded.model).saturating_add(waiting).saturating_add(of_model);
        held.grow(bytes, || self.make_room(&id)).map_err(Unloadable::NoRoom)?;
        loaded.held = Some(held);
        let metrics = self.metrics.of_model(&id.name, id.version);
        let started = Engine::start(Arc::new(loaded), self.size.clone(), self.limits, metrics);
        let (engine, thread) = started.map_err(|error| Unloadable::Broken(format!("no thread: {error}")))?;
        let mut threads = self.threads();
        if threads.is_ending {
            return Err(Unloadable::Ending);
        }
        threads.all.retain(|(_, thread)| !thread.is_finished());
        threads.all.push((engine.queue(), thread));
        Ok(Arc::new(engine))
    }

    /// End the engine that was not asked for for longest. Whether there was one that may end.
    fn make_room(&self, but: &Id) -> bool {
        let gone = self.write().take_unused(but);
        gone.is_some()
    }

    /// What is wrong with a model's files, by paths within the repository.
    fn broken(&self, error: &dyn std::error::Error) -> Unloadable {
        let text = chain(error);
        let dir = self.repository.iter().map(|dir| format!("{}/", dir.display()));
        Unloadable::Broken(dir.fold(text, |text, dir| text.replace(&dir, "")))
    }

    fn loading(&self) -> MutexGuard<'_, Instant> {
        self.loading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn threads(&self) -> MutexGuard<'_, Threads> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> RwLockReadGuard<'_, Catalog> {
        self.catalog.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Catalog> {
        self.catalog.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes of a file, or of those in a directory.
fn bytes_of(path: &Path) -> usize {
    let len = |path: &Path| fs::metadata(path).map_or(0, |file| file.len() as usize);
    match fs::read_dir(path) {
        Ok(entries) => entries.flatten().map(|entry| len(&entry.path())).sum(),
        Err(_) => len(path),
    }
}
