//! What Itera writes into a checkpoint. That alone is ever removed: what a user put beside it stays.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use itera_files::{FileError, failed_to};

use crate::{
    place::MODEL_FILES,
    verify::{TRAINER_DIR, is_sealed},
};

/// Files of a checkpoint besides those of its model, the seal last: a removal that is interrupted leaves a checkpoint that
/// can be removed again.
const TRAINER_FILES: [&str; 3] = ["trainer/optimizer.safetensors", "trainer/weights.safetensors", "trainer/state.json"];

/// Whether `dir` is a directory that this program sealed, and no link to one.
pub(crate) fn is_checkpoint(dir: &Path) -> bool {
    is_real_dir(dir) && is_sealed(dir)
}

/// Whether `dir` is a checkpoint and holds nothing else.
pub(crate) fn is_checkpoint_alone(dir: &Path) -> Result<bool, FileError> {
    let is_ours = |name: &str| name == TRAINER_DIR || files().any(|file| file == name) || is_unfinished(name);
    Ok(is_checkpoint(dir) && names(dir)?.iter().all(|name| is_ours(name)))
}

/// Remove the files of a checkpoint, finished or not, from `dir`, and `dir` with them if nothing else is in it.
pub(crate) fn remove_checkpoint(dir: &Path) -> Result<(), FileError> {
    if !is_real_dir(dir) {
        return Ok(());
    }
    let unfinished = names(dir)?.into_iter().filter(|name| is_unfinished(name));
    for name in unfinished.chain(files().map(str::to_owned)) {
        let file = dir.join(name);
        passing_over(&[io::ErrorKind::NotFound], fs::remove_file(&file)).map_err(failed_to("remove", &file))?;
    }
    for dir in [&dir.join(TRAINER_DIR), dir] {
        let busy = [io::ErrorKind::NotFound, io::ErrorKind::DirectoryNotEmpty, io::ErrorKind::NotADirectory];
        passing_over(&busy, fs::remove_dir(dir)).map_err(failed_to("remove", dir))?;
    }
    Ok(())
}

/// Files of a checkpoint, as paths in it.
fn files() -> impl Iterator<Item = &'static str> {
    MODEL_FILES.into_iter().chain(TRAINER_FILES)
}

/// Names in `dir` and, behind `trainer/`, in that of the trainer.
fn names(dir: &Path) -> Result<Vec<String>, FileError> {
    let mut names = Vec::new();
    for (sub, prefix) in [(PathBuf::from(dir), String::new()), (dir.join(TRAINER_DIR), format!("{TRAINER_DIR}/"))] {
        if is_real_dir(&sub) {
            for entry in fs::read_dir(&sub).map_err(failed_to("list", &sub))? {
                let entry = entry.map_err(failed_to("list", &sub))?;
                names.push(format!("{prefix}{}", entry.file_name().to_string_lossy()));
            }
        }
    }
    Ok(names)
}

/// Whether a file was being written when its writer was killed.
fn is_unfinished(name: &str) -> bool {
    name.rsplit('/').next().is_some_and(|name| name.starts_with(".itera-") && name.ends_with(".part"))
}

pub(crate) fn is_real_dir(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|about| about.is_dir())
}

/// `result`, with errors of `kinds` ignored.
pub(crate) fn passing_over(kinds: &[io::ErrorKind], result: io::Result<()>) -> io::Result<()> {
    result.or_else(|error| if kinds.contains(&error.kind()) { Ok(()) } else { Err(error) })
}
