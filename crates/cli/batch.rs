//! the script of a batch job of Slurm: what any has → a file, or a job
//!
//! What a script does is its own; how it begins, asks to be queued again and reaches Slurm is here.

use std::{
    env,
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context, Result};
use itera_files::write_atomic;

use crate::{hints::with_hint, signals::GO_ON_LATER, talk::say};

/// What the second line of a script begins with, by which it is known.
const MARK: &str = "# Written by `itera ";
/// Seconds before the end of a job's time at which Slurm sends a signal.
const SIGNAL_BEFORE_S: u32 = 90;

/// Options of every script.
#[derive(Debug, clap::Args)]
pub struct BatchArgs {
    /// Limit of the time of a job, or of each task, as Slurm reads it: 30 (minutes), 4:00:00, 2-12:00:00.
    #[arg(long, value_name = "TIME", value_parser = time)]
    time: String,
    /// Where to write the script; - is standard output. Without it NAME.sbatch here, after the file that it is for.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Hand the script to `sbatch`.
    #[arg(long)]
    submit: bool,
    /// More options of `sbatch`.
    #[arg(last = true, value_name = "OPTION")]
    more: Vec<String>,
}

/// What scripts differ in.
pub struct Script<'a> {
    /// The command that writes it, behind `itera`.
    pub command: &'a str,
    /// What it does.
    pub purpose: String,
    /// Of the job, and of the file.
    pub name: String,
    /// Lines among the options of `sbatch`.
    pub options: String,
    /// What comes behind them.
    pub body: String,
}

impl BatchArgs {
    /// Write the script, and hand it in if it is to be submitted.
    pub fn deliver(&self, script: &Script<'_>) -> Result<ExitCode> {
        let text = self.text(script)?;
        let output = self.output.clone().unwrap_or_else(|| format!("{}.sbatch", script.name).into());
        if output == Path::new("-") {
            io::stdout().write_all(text.as_bytes())?;
        } else {
            write(&output, &text)?;
        }
        if self.submit {
            return submit(&text);
        }
        if output != Path::new("-") {
            say!("next: sbatch {}", output.display());
        }
        Ok(ExitCode::SUCCESS)
    }

    fn text(&self, script: &Script<'_>) -> Result<String> {
        let Script { command, purpose, name, options, body } = script;
        let here = env::current_dir().context("cannot tell the working directory")?;
        let mut text = format!(
            "\
#!/bin/bash
{MARK}{command}`: {purpose}
#SBATCH --job-name={name}
# Relative paths begin here.
#SBATCH --chdir={here}
{options}#SBATCH --time={time}
# What was preempted, or lost a node, is queued again.
#SBATCH --requeue
# What it said before is kept then.
#SBATCH --open-mode=append
# Save and stop before the time is over. Where Slurm tells the end, a run knows it by itself; a second word does no harm.
#SBATCH --signal=USR1@{SIGNAL_BEFORE_S}
",
            here = here.display(),
            time = self.time,
        );
        for option in &self.more {
            let _ = writeln!(text, "#SBATCH {option}");
        }
        Ok(text + body)
    }
}

/// Lines that run `command` and, where it wants to go on later, ask Slurm to queue `job` again.
pub fn asking_again(command: &str, job: &str) -> String {
    format!(
        "\
# A signal lets srun end first. What was cancelled is not queued again.
trap : HUP INT TERM USR1 USR2
{command}
code=$?
if [ $code = {GO_ON_LATER} ]; then scontrol requeue incomplete \"{job}\"; fi
exit $code
"
    )
}

/// This program, for a script.
pub fn this_program() -> Result<String> {
    Ok(env::current_exe().context("cannot find this program")?.to_string_lossy().into_owned())
}

/// A command line for a shell.
pub fn line(words: &[String]) -> String {
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

/// Replace a script that this command wrote, and nothing else.
fn write(path: &Path, text: &str) -> Result<()> {
    let is_ours =
        |there: &[u8]| String::from_utf8_lossy(there).lines().nth(1).is_some_and(|line| line.starts_with(MARK));
    if fs::read(path).is_ok_and(|there| !is_ours(&there)) {
        return Err(with_hint(
            format!("{} is there, and no script of this command", path.display()),
            "choose another file with -o",
        ));
    }
    write_atomic(path, text.as_bytes())?;
    say!("wrote {}", path.display());
    Ok(())
}

/// Slurm gets the text itself, which may be in no file.
fn submit(text: &str) -> Result<ExitCode> {
    let mut sbatch = Command::new("sbatch");
    let mut sbatch = sbatch.stdin(Stdio::piped()).spawn().context("cannot start sbatch")?;
    if let Some(mut stdin) = sbatch.stdin.take() {
        stdin.write_all(text.as_bytes()).context("cannot hand the script to sbatch")?;
    }
    let status = sbatch.wait().context("cannot wait for sbatch")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A limit of time: digits and what stands between them.
fn time(text: &str) -> Result<String, String> {
    let is_time = text.starts_with(|first: char| first.is_ascii_digit())
        && text.chars().all(|letter| letter.is_ascii_digit() || letter == ':' || letter == '-');
    if is_time {
        Ok(text.to_owned())
    } else {
        Err("expected minutes, or days-hours:minutes:seconds such as 4:00:00".into())
    }
}

/// As one word of a shell.
fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_alphanumeric() || "/._-=:,+@%".contains(letter);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_reach_the_program_as_they_are() {
        assert_eq!(quoted("data.source=texts/a.txt"), "data.source=texts/a.txt");
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn a_time_is_one_that_slurm_reads() {
        assert!(["30", "4:00:00", "2-12", "1-00:30:00"].iter().all(|text| time(text).is_ok()));
        assert!(["", "4h", ":30", "30\n#SBATCH"].iter().all(|text| time(text).is_err()));
    }
}
