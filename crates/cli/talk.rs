//! lines for a person → standard error, which may go away at any time
//!
//! Results go to standard output, where a reader that has gone ends the work (`| head`). What is said about the work does
//! not: a pipe that is closed, a terminal that is gone or a log on a full disk loses lines, and the work goes on.

use std::{
    fmt,
    io::{self, Write},
};

/// Print a line to standard error, as `eprintln!` does, without a panic where nobody can read it.
macro_rules! say {
    ($($text:tt)*) => { $crate::talk::line(format_args!($($text)*)) };
}
pub(crate) use say;

/// What [`say!`] does. The line is written in one piece, so that lines of threads and processes do not mix.
pub fn line(text: fmt::Arguments<'_>) {
    let _ = Stderr.write_all(format!("{text}\n").as_bytes());
}

/// Standard error for code of other crates that stops or panics when a write fails: no write to it fails.
pub struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = io::stderr().write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
