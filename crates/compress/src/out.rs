//! The output directory of a recipe: what lies where, and whose it is
//!
//! ```text
//! out/
//!   recipe.toml                      what is done, and the sign that a recipe wrote the rest
//!   stages/1-finetune/               a run directory, for stages that train
//!   stages/1-finetune.gguf           what the stage left
//!   stages/1-distill.member-2/       a training of it beside its own, for stages that are taught by several
//!   stages/1-distill.sampled.jsonl   text that it learned from beside the run's, and its tokenizer
//!   tiny-int4.gguf, or tiny-fp8/     the artifact: what the last stage left, once it is within its limit
//!   compression_metadata.json  report.json  report.csv  report.html
//! ```
//!
//! Nothing else is touched. What no recipe wrote stays, and where this one would write over it, it is an error.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

use itera_checkpoint::{CheckpointStore, Place};
use itera_files::{failed_to, remove, write_atomic};
use itera_trainer::Resume;

use crate::{
    error::{CompressError, Result},
    names::require_unicode,
    part::{Part, is_part},
    plan::Plan,
    recipe::Recipe,
};

/// The file that says what is done.
const RECIPE: &str = "recipe.toml";

/// What is written when all stages are done.
const REPORTS: [&str; 4] = ["compression_metadata.json", "report.json", "report.csv", "report.html"];

/// What a stage that trains writes beside its checkpoints.
const RUN: [&str; 6] = ["config.toml", "metrics.jsonl", "metrics.csv", "report.json", "report.html", ".lock"];

/// The output directory of a recipe.
pub(crate) struct Output<'a> {
    dir: &'a Path,
    recipe: &'a Recipe,
    /// The artifact's path without the ending of its format.
    name: PathBuf,
}

impl<'a> Output<'a> {
    /// `dir`, for what `plan` does.
    ///
    /// # Errors
    /// If the path is not UTF-8, which configurations and reports are.
    pub(crate) fn new(dir: &'a Path, plan: &Plan<'a>) -> Result<Self> {
        require_unicode(dir)?;
        Ok(Self { dir, recipe: plan.recipe, name: dir.join(plan.artifact_name()) })
    }

    /// Where the artifact goes.
    pub(crate) fn artifact(&self) -> PathBuf {
        self.recipe.format().finished(&self.name)
    }

    /// Where the stage with this number trains; what it leaves besides lies next to it.
    pub(crate) fn stage_dir(&self, number: usize) -> PathBuf {
        self.stages().join(format!("{number}-{}", self.recipe.stages[number - 1].action.name()))
    }

    /// Where this part of the stage trains.
    pub(crate) fn part_dir(&self, number: usize, part: Part) -> PathBuf {
        match part.to_string() {
            name if name.is_empty() => self.stage_dir(number),
            name => self.stage_dir(number).with_added_extension(name),
        }
    }

    fn stages(&self) -> PathBuf {
        self.dir.join("stages")
    }

    /// Make room, or see that what is there was begun by the same recipe.
    ///
    /// # Errors
    /// [`CompressError::Exists`], [`CompressError::OtherRecipe`] and [`CompressError::Foreign`], before anything is removed
    /// or written; what the system refuses.
    pub(crate) fn prepare(&self, resume: &Resume) -> Result<()> {
        let path = self.dir.join(RECIPE);
        match (self.begun()?, resume) {
            (None, _) => self.require_vacant()?,
            (Some(_), Resume::No) => return Err(CompressError::Exists { path }),
            (Some(begun), Resume::Overwrite) => {
                let artifact = self.artifact_of(&begun);
                let left = entries(&self.stages())?.into_iter().filter(|path| is_of_stage(path) && !is_run(path));
                let models: Vec<PathBuf> = left.chain([artifact, self.artifact()]).collect();
                models.iter().try_for_each(|path| require_own(path))?;
                self.clear(&models)?;
            }
            (Some(begun), Resume::Last | Resume::From(_)) => {
                if let Some(path) = self.other_stage(&begun)? {
                    return Err(CompressError::OtherRecipe { path });
                }
                require_own(&self.artifact())?;
            }
        }
        fs::create_dir_all(self.stages()).map_err(failed_to("create", &self.stages()))?;
        Ok(write_atomic(&path, toml::to_string(self.recipe)?.as_bytes())?)
    }

    /// The recipe that what is there was begun by, if any was.
    fn begun(&self) -> Result<Option<Recipe>> {
        let path = self.dir.join(RECIPE);
        match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed_to("read", &path)(error).into()),
            // a recipe that a person wrote has no name in it
            Ok(text) => match toml::from_str::<Recipe>(&text) {
                Ok(recipe) if !recipe.name.is_empty() && !recipe.stages.is_empty() => Ok(Some(recipe)),
                _ => Err(CompressError::Foreign { path }),
            },
        }
    }

    /// Where the artifact of `begun`, another recipe for the same run, would be.
    fn artifact_of(&self, begun: &Recipe) -> PathBuf {
        let name = self.name.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let run = name.strip_suffix(&self.recipe.name).unwrap_or(name);
        begun.format().finished(&self.dir.join(format!("{run}{}", begun.name)))
    }

    /// Nothing is where this recipe would write.
    fn require_vacant(&self) -> Result<()> {
        let mut paths = REPORTS.map(|name| self.dir.join(name)).into_iter().chain([self.stages(), self.artifact()]);
        match paths.find(|path| path.symlink_metadata().is_ok()) {
            Some(path) => Err(CompressError::Foreign { path }),
            None => Ok(()),
        }
    }

    /// Remove what a recipe wrote, its `models` among it, and nothing else.
    fn clear(&self, models: &[PathBuf]) -> Result<()> {
        remove_files(self.dir, &REPORTS)?;
        models.iter().try_for_each(|path| remove(path))?;
        for path in entries(&self.stages())?.iter().filter(|path| is_of_stage(path) && is_run(path)) {
            CheckpointStore::new(path).clear()?;
            remove_files(path, &RUN)?;
            remove_if_empty(&path.join("checkpoints"));
            remove_if_empty(path);
        }
        remove_if_empty(&self.stages());
        Ok(())
    }

    /// What is left by a stage that this recipe does not have: one after the first in which `begun` differs.
    fn other_stage(&self, begun: &Recipe) -> Result<Option<PathBuf>> {
        let same = begun.stages.iter().zip(&self.recipe.stages).take_while(|(begun, stage)| begun == stage).count();
        if same == begun.stages.len().max(self.recipe.stages.len()) {
            return Ok(None);
        }
        if self.artifact().exists() {
            return Ok(Some(self.artifact()));
        }
        let number = |path: &Path| path.file_name()?.to_str()?.split('-').next()?.parse::<usize>().ok();
        let later = |path: &PathBuf| number(path).is_some_and(|number| number > same);
        Ok(entries(&self.stages())?.into_iter().filter(later).min())
    }
}

/// Whether a path in `stages/` has a name that a stage gives.
fn is_of_stage(path: &Path) -> bool {
    let actions = ["quantize", "mixed", "finetune", "distill", "prune", "calibrate"];
    let endings = ["", "gguf", "hf", "sampled.jsonl", "train.jsonl", "valid.jsonl", "tokenizer.json"];
    // of a part of the stage, or of the stage itself
    let is_ending = |rest: &str| {
        let words: Vec<&str> = rest.split('.').skip(1).skip_while(|word| is_part(word)).collect();
        rest.is_empty() || rest.starts_with('.') && endings.contains(&words.join(".").as_str())
    };
    let named = path.file_name().and_then(OsStr::to_str).and_then(|name| name.split_once('-'));
    named.is_some_and(|(number, rest)| {
        let ending = actions.iter().find_map(|action| rest.strip_prefix(action));
        number.parse::<usize>().is_ok() && ending.is_some_and(is_ending)
    })
}

/// Whether a stage trained here.
fn is_run(path: &Path) -> bool {
    path.join("config.toml").is_file()
}

/// If a directory is there, it holds a model and nothing else: it is replaced as a whole.
fn require_own(artifact: &Path) -> Result<()> {
    if artifact.is_dir() {
        Place::at(artifact)?;
    }
    Ok(())
}

/// Remove those of the files `names` that are in `dir`. A directory of such a name is not ours.
fn remove_files(dir: &Path, names: &[&str]) -> Result<()> {
    let paths = names.iter().map(|name| dir.join(name));
    Ok(paths.filter(|path| !path.is_dir()).try_for_each(|path| remove(&path))?)
}

/// Remove a directory, unless something is in it.
fn remove_if_empty(dir: &Path) {
    // that it is not empty is one of the errors, and no error here
    let _ = fs::remove_dir(dir);
}

/// What is in a directory; nothing if it does not exist.
fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let read = || fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>();
    match read() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(vec![]),
        entries => Ok(entries.map_err(failed_to("read", dir))?),
    }
}
