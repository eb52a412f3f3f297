//! path, glob or directory → files, sorted

use std::{
    ffi::OsStr,
    fs, io,
    path::{Component, Path, PathBuf},
};

use glob::Pattern;
use itera_files::failed_to;

use super::{STDIN, kind_of};
use crate::error::{DataError, SourceProblem};

/// The files that a path, a glob or a directory means, sorted by name.
///
/// A path that exists is taken literally, whatever characters it contains. A directory stands for the files in it and
/// below it that are of a kind that is read. Hidden files, whose names begin with `.` or `_`, are found by their own name
/// alone.
pub(crate) fn find(item: &str) -> Result<Vec<PathBuf>, DataError> {
    let literal = Path::new(item);
    if literal.is_dir() {
        return directory(literal);
    }
    if item == STDIN || literal.exists() {
        return Ok(vec![literal.into()]);
    }
    let mut files = matches(item)?;
    files.retain(|path| path.is_file());
    if files.is_empty() {
        let cwd = std::env::current_dir().unwrap_or_default();
        return Err(DataError::NoMatch { pattern: item.into(), cwd });
    }
    files.sort_unstable();
    files.dedup();
    Ok(files)
}

fn directory(directory: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut below = Vec::new();
    descend(directory, &mut vec![], &mut below)?;
    let (mut files, others): (Vec<_>, Vec<_>) =
        below.into_iter().filter(|path| path.is_file()).partition(|path| kind_of(path).is_some());
    files.sort_unstable();
    match (files.is_empty(), others.first()) {
        (true, _) => Err(DataError::NothingToRead { directory: directory.into(), others: others.len() }),
        (false, Some(other)) => {
            let (directory, other) = (directory.display(), other.display());
            tracing::warn!("{directory}: {} files of other kinds are not read, such as {other}", others.len());
            Ok(files)
        }
        (false, None) => Ok(files),
    }
}

/// The paths that a glob means. Names are compared as text, in which bytes that are not UTF-8 are U+FFFD.
fn matches(pattern: &str) -> Result<Vec<PathBuf>, DataError> {
    let mut found = vec![PathBuf::new()];
    for component in Path::new(pattern).components() {
        let part = component.as_os_str();
        found = match (component, part.to_str()) {
            (Component::Normal(_), Some("**")) => {
                let mut below = found.clone();
                for directory in found.iter().filter(|path| is_directory(path)) {
                    descend(directory, &mut vec![], &mut below)?;
                }
                below.retain(|path| is_directory(path));
                below
            }
            (Component::Normal(_), Some(part)) if part.contains(['*', '?', '[']) => {
                let names = Pattern::new(part)
                    .map_err(|error| DataError::Source { item: pattern.into(), problem: SourceProblem::Glob(error) })?;
                let mut matched = Vec::new();
                for directory in found.iter().filter(|path| is_directory(path)) {
                    let entries = entries(directory)?.into_iter().filter(|path| {
                        let name = path.file_name().unwrap_or_default().to_string_lossy();
                        names.matches(&name)
                            && (!is_hidden(name.as_ref()) || name.chars().next() == part.chars().next())
                    });
                    matched.extend(entries);
                }
                matched
            }
            _ => found.into_iter().map(|path| path.join(part)).collect(),
        };
    }
    Ok(found)
}

/// All that is below a directory and not hidden. Links are followed, but not back to where they came from.
fn descend(directory: &Path, above: &mut Vec<PathBuf>, below: &mut Vec<PathBuf>) -> Result<(), DataError> {
    let real = fs::canonicalize(in_cwd(directory)).map_err(failed_to("read", directory))?;
    if above.contains(&real) {
        return Ok(());
    }
    above.push(real);
    for path in entries(directory)?.into_iter().filter(|path| !is_hidden(path.file_name().unwrap_or_default())) {
        if is_directory(&path) {
            descend(&path, above, below)?;
        }
        below.push(path);
    }
    above.pop();
    Ok(())
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>, DataError> {
    let read = || -> io::Result<Vec<PathBuf>> {
        fs::read_dir(in_cwd(directory))?.map(|entry| Ok(directory.join(entry?.file_name()))).collect()
    };
    Ok(read().map_err(failed_to("read", directory))?)
}

fn is_directory(path: &Path) -> bool {
    in_cwd(path).is_dir()
}

/// The empty path is the working directory, but not to the system.
fn in_cwd(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

/// Left by systems and programs beside the data: `.DS_Store`, `._a.txt`, `_SUCCESS`.
fn is_hidden(name: impl AsRef<OsStr>) -> bool {
    matches!(name.as_ref().as_encoded_bytes().first(), Some(b'.' | b'_'))
}
