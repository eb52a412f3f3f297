//! a result → standard output: a line of JSON, or what people read

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::ranks::Team;

/// Print a result, and be done.
pub fn show<T: Serialize>(
    result: &T,
    as_json: bool,
    print: impl FnOnce(&T, &mut dyn Write) -> io::Result<()>,
) -> Result<ExitCode> {
    let mut out = io::stdout().lock();
    if as_json {
        line(result, &mut out)?;
    } else {
        print(result, &mut out)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Print a result that all ranks of a team have, by the first of them.
pub fn show_once<T: Serialize>(
    team: Option<&Team<'_>>,
    result: &T,
    as_json: bool,
    print: impl FnOnce(&T, &mut dyn Write) -> io::Result<()>,
) -> Result<ExitCode> {
    match team.is_none_or(Team::is_first) {
        true => show(result, as_json, print),
        false => Ok(ExitCode::SUCCESS),
    }
}

/// A result as a line of JSON.
pub fn line(result: &impl Serialize, out: &mut impl Write) -> Result<()> {
    let json = serde_json::to_string(result).context("cannot write the result as JSON")?;
    Ok(writeln!(out, "{json}")?)
}
