//! `itera repository`: models of a directory ⇄ a copy of them, with the sum of every file
//!
//! ```text
//! models/a.gguf, models/b/2/… ─ backup ─▶ backup/a.gguf, backup/b/2/…, backup/SHA256SUMS ─ verify ─ restore ─▶ models/…
//! ```
//!
//! `SHA256SUMS` is what `sha256sum --check` reads.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::{self, File},
    io::{self, Write},
    path::{Component, Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, bail};
use itera_files::{FileError, Sha256Digest, failed_to, publish_dir, sync_dir, write_atomic, write_atomic_with};
use itera_serve::models_in;

use crate::{hints::with_hint, talk::say};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Copy all models of a directory that `itera serve --repository` serves, with the SHA-256 of every file.
    #[command(after_help = "\
Examples:
  itera repository backup models/ backups/monday
  itera repository backup models/ backups/monday --dry-run

The copy is a repository itself. It appears whole or not at all, and every byte of it was read back. `sha256sum --check
SHA256SUMS` checks it too, where this program is not.")]
    Backup {
        /// The directory of models.
        from: PathBuf,
        /// The copy, which is not there yet.
        to: PathBuf,
        /// Say what would be copied, and copy nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Read every byte of a backup, and say what is not as it was.
    Verify {
        /// The backup.
        backup: PathBuf,
    },
    /// Put the models of a backup back, each whole, once every byte of it was found to be as it was.
    #[command(after_help = "\
Examples:
  itera repository restore backups/monday models/ --dry-run
  itera repository restore backups/monday models/ --overwrite

Models that the backup does not have stay. A model that is as in the backup is not touched; one that is not is replaced
with --overwrite alone, and at every moment it is the old one or the new one, whole.")]
    Restore {
        /// The backup.
        backup: PathBuf,
        /// The directory of models, which is made if it is not there.
        to: PathBuf,
        /// Replace models that are there and differ.
        #[arg(long)]
        overwrite: bool,
        /// Say what would be done, and do nothing.
        #[arg(long)]
        dry_run: bool,
    },
}

const SUMS: &str = "SHA256SUMS";

/// sha256 of files, by paths within a directory.
type Sums = BTreeMap<String, String>;

pub fn run(args: Args) -> Result<ExitCode> {
    match args.command {
        Command::Backup { from, to, dry_run } => backup(&from, &to, dry_run),
        Command::Verify { backup } => verify(&backup),
        Command::Restore { backup, to, overwrite, dry_run } => restore(&backup, &to, overwrite, dry_run),
    }
}

fn backup(from: &Path, to: &Path, dry_run: bool) -> Result<ExitCode> {
    if fs::symlink_metadata(to).is_ok() {
        return Err(with_hint(
            format!("{} is there already", to.display()),
            "choose another place: no backup is replaced",
        ));
    }
    let models = models(from)?;
    if models.is_empty() {
        bail!("{} has no models", from.display());
    }
    let files: Vec<&String> = models.values().flatten().collect();
    if !dry_run {
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).map_err(failed_to("create", parent))?;
        }
        publish_dir(to, |dir| -> Result<(), FileError> {
            let mut sums = String::new();
            for file in &files {
                let sum = copy(&from.join(file), &dir.join(file))?;
                writeln!(sums, "{sum}  {file}").expect("a string grows");
            }
            write_atomic(&dir.join(SUMS), sums.as_bytes())
        })?;
    }
    for model in models.keys() {
        writeln!(io::stdout(), "{model}")?;
    }
    let what = if dry_run { "would be copied" } else { "copied and read back" };
    say!("{} models, {} files: {what}", models.len(), files.len());
    Ok(ExitCode::SUCCESS)
}

fn verify(backup: &Path) -> Result<ExitCode> {
    let (sums, problems) = problems(backup)?;
    for problem in &problems {
        writeln!(io::stdout(), "{problem}")?;
    }
    match problems.is_empty() {
        true => say!("{} files are as they were", sums.len()),
        false => say!("{} of {} files are not as they were", problems.len(), sums.len()),
    }
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn restore(backup: &Path, to: &Path, overwrite: bool, dry_run: bool) -> Result<ExitCode> {
    let (sums, problems) = problems(backup)?;
    if let Some(first) = problems.first() {
        let problem = format!("{} files of {} are not as they were: {first}", problems.len(), backup.display());
        return Err(with_hint(problem, "`itera repository verify` lists them; restore another backup"));
    }
    let mut todo = Vec::new();
    for (model, files) in models(backup)? {
        let there = to.join(&model);
        let what = if fs::symlink_metadata(&there).is_err() {
            "new"
        } else if is_same(to, &there, &files, &sums)? {
            "same"
        } else {
            "replaced"
        };
        writeln!(io::stdout(), "{what:8}  {model}")?;
        todo.extend(Some((what, model, files)).filter(|(what, ..)| *what != "same"));
    }
    if let Some((_, model, _)) = todo.iter().find(|(what, ..)| *what == "replaced" && !overwrite && !dry_run) {
        let problem = format!("{} is there and is another model", to.join(model).display());
        return Err(with_hint(problem, "replace it with --overwrite; nothing was done"));
    }
    if dry_run {
        return Ok(ExitCode::SUCCESS);
    }
    for (_, model, files) in &todo {
        put(backup, to, model, files)?;
    }
    say!("{} models put in place", todo.len());
    Ok(ExitCode::SUCCESS)
}

/// Let a model of the backup take its place, at once.
fn put(backup: &Path, to: &Path, model: &str, files: &[String]) -> Result<()> {
    let place = to.join(model);
    let parent = place.parent().context("a model lies in a directory")?;
    fs::create_dir_all(parent).map_err(failed_to("create", parent))?;
    if backup.join(model).is_file() {
        let mut source = File::open(backup.join(model)).map_err(failed_to("open", backup.join(model)))?;
        write_atomic_with(&place, |file| io::copy(&mut source, file).map(drop))?;
        return Ok(());
    }
    publish_dir(&place, |dir| {
        for file in files {
            let within = Path::new(file).strip_prefix(model).expect("a file of the model");
            copy(&backup.join(file), &dir.join(within))?;
        }
        Ok::<_, FileError>(())
    })?;
    Ok(())
}

/// The models of a repository: a path within it each, and the files there.
fn models(repository: &Path) -> Result<BTreeMap<String, Vec<String>>> {
    let mut models = BTreeMap::new();
    for found in models_in(repository)? {
        let mut files = Vec::new();
        files_of(&found.path, &mut files)?;
        let within = |path: &Path| -> Result<String> {
            let name = path.strip_prefix(repository)?.to_str().filter(|name| !name.contains(['\n', '\r', '\\']));
            let problem = || format!("{} has a name that {SUMS} cannot hold", path.display());
            Ok(name.with_context(problem)?.to_owned())
        };
        let files = files.iter().map(|file| within(file)).collect::<Result<_>>()?;
        models.insert(within(&found.path)?, files);
    }
    Ok(models)
}

/// A file, or all in a directory that do not begin with a dot, in order.
fn files_of(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), FileError> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let entries =
        fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(failed_to("read", path))?;
    let mut entries: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    entries.retain(|path| path.file_name().is_some_and(|name| !name.as_encoded_bytes().starts_with(b".")));
    entries.sort();
    entries.iter().try_for_each(|path| files_of(path, files))
}

/// Copy a file durably, and read the copy back. Returns its sum.
fn copy(from: &Path, to: &Path) -> Result<Sha256Digest, FileError> {
    let parent = to.parent().expect("a file lies in a directory");
    fs::create_dir_all(parent).map_err(failed_to("create", parent))?;
    fs::copy(from, to).map_err(failed_to("copy", from))?;
    File::open(to).and_then(|file| file.sync_all()).map_err(failed_to("sync", to))?;
    sync_dir(parent)?;
    let sum = sum(from)?;
    let problem = || io::Error::other("the copy is not the file, which may have changed meanwhile");
    if sum == self::sum(to)? { Ok(sum) } else { Err(failed_to("copy", from)(problem())) }
}

fn sum(path: &Path) -> Result<Sha256Digest, FileError> {
    let sum = File::open(path).and_then(Sha256Digest::of_reader).map_err(failed_to("read", path))?;
    Ok(sum.0)
}

/// Whether the files at `there`, within `to`, are these, with these sums, and no others.
fn is_same(to: &Path, there: &Path, files: &[String], sums: &Sums) -> Result<bool> {
    let mut found = Vec::new();
    files_of(there, &mut found)?;
    if found.len() != files.len() {
        return Ok(false);
    }
    for file in files {
        let path = to.join(file);
        if !path.is_file() || sums.get(file) != Some(&sum(&path)?.to_string()) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The sums of a backup, and what is wrong with its files, a line each.
fn problems(backup: &Path) -> Result<(Sums, Vec<String>)> {
    let path = backup.join(SUMS);
    let text = fs::read_to_string(&path).map_err(|error| {
        with_hint(format!("cannot read {}: {error}", path.display()), "`itera repository backup` makes one")
    })?;
    let mut sums = Sums::new();
    for (at, line) in text.lines().enumerate() {
        let (sum, file) =
            line.split_once("  ").with_context(|| format!("line {} of {} is no sum", at + 1, path.display()))?;
        sums.insert(file.into(), sum.into());
    }
    let mut problems = Vec::new();
    let mut unknown: Vec<String> = models(backup)?.into_values().flatten().collect();
    unknown.retain(|file| !sums.contains_key(file));
    for (file, expected) in &sums {
        // a name that leads elsewhere is none of a backup
        if !Path::new(file).components().all(|part| matches!(part, Component::Normal(_))) {
            problems.push(format!("elsewhere  {file}"));
            continue;
        }
        match sum(&backup.join(file)) {
            Err(_) => problems.push(format!("missing    {file}")),
            Ok(found) if found.to_string() != *expected => problems.push(format!("changed    {file}")),
            Ok(_) => {}
        }
    }
    problems.extend(unknown.iter().map(|file| format!("unknown    {file}")));
    Ok((sums, problems))
}
