//! repository → listing → files, downloaded when first needed

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
};

use hf_hub::{
    Cache, CacheRepo, Repo, RepoType,
    api::sync::{Api, ApiBuilder, ApiError, ApiRepo},
};

use super::{
    env::HubEnv,
    error::{HubError, HubFault},
    select::{SplitFiles, first_gap, select},
};
use crate::{
    error::{DataError, SourceProblem},
    source::Split,
};

/// Attempts at a file before giving up; each continues where the last one broke off.
const ATTEMPTS: u32 = 4;

/// A data set of the hub at one commit.
pub(crate) struct HubDataset {
    repo: String,
    revision: String,
    env: HubEnv,
    cache: CacheRepo,
    /// Commit that the revision stands for, whose files alone are used.
    commit: String,
    files: SplitFiles,
    /// `None` offline.
    remote: Option<(Api, ApiRepo)>,
}

impl HubDataset {
    /// Find a data set and choose its files; nothing is downloaded yet but the listing.
    pub(crate) fn open(spec: &str, revision: &str, env: &HubEnv) -> Result<Self, DataError> {
        let (repo, config) = match spec.split_once(':') {
            Some((repo, config)) => (repo, Some(config)),
            None => (spec, None),
        };
        let is_word =
            |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
        if repo.split('/').count() > 2 || !repo.split('/').all(is_word) {
            let problem = SourceProblem::HubName(repo.into());
            return Err(DataError::Source { item: format!("hub:{spec}"), problem });
        }
        let env =
            HubEnv { cache: std::path::absolute(&env.cache).unwrap_or_else(|_| env.cache.clone()), ..env.clone() };
        let handle = Repo::with_revision(repo.into(), RepoType::Dataset, revision.into());
        let cache = Cache::new(env.cache.clone());
        let mut dataset = Self {
            repo: repo.into(),
            revision: revision.into(),
            cache: cache.repo(handle.clone()),
            commit: String::new(),
            files: SplitFiles::default(),
            remote: None,
            env,
        };
        let names = if dataset.env.is_offline {
            dataset.cached_snapshot(&cache.path().join(handle.folder_name()))?
        } else {
            dataset.remote_listing(cache, handle)?
        };
        dataset.files = select(&names, config).map_err(|fault| dataset.error(None, fault))?;
        Ok(dataset)
    }

    pub(crate) fn has_validation_split(&self) -> bool {
        !self.files.valid.is_empty()
    }

    /// Paths of a split's files in order, each fetched when it is asked for; of the training files if the data set
    /// has no validation split.
    pub(crate) fn files(&self, split: Split) -> impl Iterator<Item = Result<PathBuf, DataError>> + '_ {
        let names = match split {
            Split::Valid if self.has_validation_split() => &self.files.valid,
            _ => &self.files.train,
        };
        let gap = first_gap(names);
        let missing = gap.map(|(present, total)| Err(self.error(names.first(), HubFault::Gap { present, total })));
        let present = names.iter().take(gap.map_or(names.len(), |(at, _)| at));
        present.map(|name| self.fetch(name)).chain(missing)
    }

    /// Ask the hub which files there are, and at which commit.
    fn remote_listing(&mut self, cache: Cache, handle: Repo) -> Result<Vec<String>, DataError> {
        let api = ApiBuilder::from_cache(cache)
            .with_endpoint(self.env.endpoint.clone())
            .with_token(self.env.token.clone())
            .build()
            .map_err(|error| self.explain(None, &error))?;
        let remote = api.repo(handle);
        let info = remote.info().map_err(|error| self.explain(None, &error))?;
        self.commit = info.sha;
        self.remote = Some((api, remote));
        Ok(info.siblings.into_iter().map(|file| file.rfilename).collect())
    }

    /// Files of the commit that the cache has for the revision.
    fn cached_snapshot(&mut self, directory: &Path) -> Result<Vec<String>, DataError> {
        let reference = directory.join("refs").join(&self.revision);
        self.commit = fs::read_to_string(reference).map_or_else(|_| self.revision.clone(), |hash| hash.trim().into());
        let snapshot = self.cache.pointer_path(&self.commit);
        let mut names = Vec::new();
        match list(&snapshot, "", &mut names) {
            Ok(()) if !names.is_empty() => Ok(names),
            _ => Err(self.error(None, HubFault::NotCached)),
        }
    }

    /// Path of a file in the cache, downloaded if it is not there yet.
    fn fetch(&self, name: &String) -> Result<PathBuf, DataError> {
        let path = self.cache.pointer_path(&self.commit).join(name);
        if path.exists() {
            return Ok(path);
        }
        let Some((api, remote)) = &self.remote else {
            return Err(self.error(Some(name), HubFault::NotCached));
        };
        let mut pause = self.env.retry_pause;
        for attempt in 1.. {
            let outcome = self.download(api, remote, name);
            match outcome {
                Err(Failure::Transient(problem)) if attempt < ATTEMPTS => {
                    tracing::warn!("{}/{name}: {problem}; trying again", self.repo);
                    thread::sleep(pause);
                    pause *= 2;
                }
                Err(Failure::Transient(last)) => {
                    return Err(self.error(Some(name), HubFault::BrokeOff { last, attempts: ATTEMPTS }));
                }
                Err(Failure::Final(error)) => return Err(self.explain(Some(name), &error)),
                Ok(path) => return Ok(path),
            }
        }
        unreachable!("the last attempt returns")
    }

    /// One attempt at a file, checked to have the length that the hub announces.
    ///
    /// hf-hub takes whatever arrives before the connection closes for the whole file, and appends to a part file of
    /// any length; both are caught here.
    fn download(&self, api: &Api, remote: &ApiRepo, name: &str) -> Result<PathBuf, Failure> {
        let metadata = api.metadata(&remote.url(name))?;
        let expected = metadata.size() as u64;
        let blob = self.cache.blob_path(metadata.etag());
        let part = blob.with_extension("part");
        if fs::metadata(&part).is_ok_and(|part| part.len() >= expected) {
            fs::remove_file(&part).map_err(ApiError::from)?;
        }
        let path = remote.download(name)?;
        let found = fs::metadata(&path).map_err(ApiError::from)?.len();
        if found == expected {
            return Ok(path);
        }
        fs::remove_file(&path).and_then(|()| fs::remove_file(&blob)).map_err(ApiError::from)?;
        Err(Failure::Transient(format!("the download broke off: {found} of {expected} bytes arrived")))
    }

    fn error(&self, file: Option<&String>, fault: HubFault) -> DataError {
        let cache = self.env.cache.display();
        let error = HubError {
            repo: self.repo.clone(),
            revision: self.revision.clone(),
            endpoint: if self.env.is_offline { format!("offline, cache {cache}") } else { self.env.endpoint.clone() },
            file: file.cloned(),
            fault,
        };
        Box::new(error).into()
    }

    fn explain(&self, file: Option<&String>, error: &ApiError) -> DataError {
        let fault = match status(error) {
            Some(404) => HubFault::NotFound,
            Some(status @ (401 | 403)) => HubFault::Denied { status },
            Some(status) => HubFault::Status { status },
            None => HubFault::Transfer(error.to_string()),
        };
        self.error(file, fault)
    }
}

/// Why an attempt failed.
enum Failure {
    /// The transfer broke; another attempt may succeed.
    Transient(String),
    /// The hub gave an answer that another attempt would not change.
    Final(ApiError),
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        match status(&error) {
            Some(429 | 500..) => Self::Transient(error.to_string()),
            Some(_) => Self::Final(error),
            None => match &error {
                ApiError::IoError(io) if is_local(io) => Self::Final(error),
                ApiError::RequestError(_) | ApiError::IoError(_) | ApiError::LockAcquisition(_) => {
                    Self::Transient(format!("the download broke off: {error}"))
                }
                _ => Self::Final(error),
            },
        }
    }
}

/// Whether a failure is of this machine's disk, not of the network.
fn is_local(error: &io::Error) -> bool {
    use io::ErrorKind::{NotFound, PermissionDenied, ReadOnlyFilesystem, StorageFull};
    matches!(error.kind(), NotFound | PermissionDenied | ReadOnlyFilesystem | StorageFull)
}

fn status(error: &ApiError) -> Option<u16> {
    match error {
        ApiError::RequestError(error) => match **error {
            ureq::Error::StatusCode(status) => Some(status),
            _ => None,
        },
        _ => None,
    }
}

/// Names of all files below a directory, relative to it and with `/` between their parts.
fn list(directory: &Path, prefix: &str, names: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if fs::metadata(entry.path()).is_ok_and(|target| target.is_dir()) {
            list(&entry.path(), &format!("{name}/"), names)?;
        } else {
            names.push(name);
        }
    }
    Ok(())
}
