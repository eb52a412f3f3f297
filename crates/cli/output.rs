//! a result → standard output: a line of JSON, or what people read

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::{Context, Result};
use serde::Serialize;

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

/// A result as a line of JSON.
pub fn line(result: &impl Serialize, out: &mut impl Write) -> Result<()> {
    let json = serde_json::to_string(result).context("cannot write the result as JSON")?;
    Ok(writeln!(out, "{json}")?)
}
