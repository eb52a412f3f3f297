//! path → whether a model directory may be written there
//!
//! A directory is replaced as a whole, so it may hold nothing but what its successor holds too: of anything else nobody
//! but its owner knows whether it is still needed.

use std::{env, fs, io::ErrorKind, path::Path};

use itera_files::failed_to;

use crate::error::CheckpointError;

/// All files that a model directory of Itera holds. A checkpoint has `trainer/` besides.
pub(crate) const MODEL_FILES: [&str; 5] =
    ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];

/// What is at a path that a model directory may be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nothing, or an empty directory.
    Free,
    /// A directory with files of a model and nothing else.
    Model,
}

impl Place {
    /// Look at `path`.
    ///
    /// # Errors
    /// [`CheckpointError::NoDirectory`] if something else is there, [`CheckpointError::Foreign`] if the directory holds
    /// an entry that Itera writes into no model directory, [`CheckpointError::WorkingDirectory`] if this process works
    /// in it.
    pub fn at(path: &Path) -> Result<Self, CheckpointError> {
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::Free),
            Err(error) => return Err(failed_to("examine", path)(error).into()),
            Ok(_) if !path.is_dir() => return Err(CheckpointError::NoDirectory { path: path.into() }),
            Ok(_) => {}
        }
        let real = path.canonicalize().map_err(failed_to("examine", path))?;
        if env::current_dir().is_ok_and(|here| here.starts_with(&real)) {
            return Err(CheckpointError::WorkingDirectory { path: path.into() });
        }
        let mut place = Self::Free;
        let mut foreign = Vec::new();
        for entry in fs::read_dir(path).map_err(failed_to("read", path))? {
            let entry = entry.map_err(failed_to("read", path))?;
            let name = entry.file_name();
            let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
            if is_file && MODEL_FILES.iter().any(|known| name == *known) {
                place = Self::Model;
            } else {
                foreign.push(name);
            }
        }
        match foreign.into_iter().min() {
            Some(entry) => Err(CheckpointError::Foreign { path: path.into(), entry: entry.into() }),
            None => Ok(place),
        }
    }
}

#[cfg(test)]
mod tests {
    use itera_fixtures::{borrowed, noise, smallest};
    use itera_formats::Kind;
    use itera_tokenizer::Tokenizer;

    use super::*;
    use crate::model_dir::export_model;

    /// A model, exported to `path`.
    fn export(path: &Path) -> Result<(), CheckpointError> {
        let config = smallest();
        export_model(path, &config, &Tokenizer::byte(), &borrowed(&noise(&config)), Kind::F32)
    }

    #[test]
    fn a_model_replaces_a_model_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("model");
        assert_eq!(Place::at(&path).expect("free"), Place::Free);
        fs::create_dir(&path).expect("created");
        assert_eq!(Place::at(&path).expect("free"), Place::Free);
        export(&path).expect("exported");
        let mut names: Vec<_> =
            fs::read_dir(&path).expect("read").map(|entry| entry.expect("an entry").file_name()).collect();
        names.sort();
        assert_eq!(names, MODEL_FILES);
        assert_eq!(Place::at(&path).expect("a model"), Place::Model);
        export(&path).expect("replaced");

        fs::write(path.join("notes.txt"), "mine").expect("written");
        let error = export(&path).expect_err("refused");
        assert!(matches!(&error, CheckpointError::Foreign { entry, .. } if entry == Path::new("notes.txt")), "{error}");
        assert_eq!(fs::read_to_string(path.join("notes.txt")).expect("read"), "mine");
        fs::remove_file(path.join("notes.txt")).expect("removed");

        // a name is not enough
        fs::remove_file(path.join("config.json")).expect("removed");
        fs::create_dir(path.join("config.json")).expect("created");
        let error = export(&path).expect_err("refused");
        assert!(matches!(error, CheckpointError::Foreign { .. }), "{error}");
    }

    #[test]
    fn a_file_and_the_working_directory_are_no_places() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("file");
        fs::write(&file, "mine").expect("written");
        let error = export(&file).expect_err("refused");
        assert!(matches!(error, CheckpointError::NoDirectory { .. }), "{error}");
        assert_eq!(fs::read_to_string(file).expect("read"), "mine");
        for path in [".", "..", "src/.."] {
            let error = export(Path::new(path)).expect_err("refused");
            assert!(matches!(error, CheckpointError::WorkingDirectory { .. }), "{path}: {error}");
        }
    }
}
