//! lines for a person → standard error, which may go away at any time
//!
//! Results go to standard output, where a reader that has gone ends the work (`| head`). What is said about the work does
//! not: a pipe that is closed, a terminal that is gone or a log on a full disk loses lines, and the work goes on.

use std::{
    fmt,
    io::{self, Write},
    sync::atomic::{AtomicUsize, Ordering},
};

/// The number of this process among those that do one thing together.
static RANK: AtomicUsize = AtomicUsize::new(0);

/// Speak as one of several ranks from now on: the first for all of them, the others by [`insist`] alone.
pub fn speak_as(rank: usize) {
    RANK.store(rank, Ordering::Relaxed);
}

/// Print a line to standard error, as `eprintln!` does, without a panic where nobody can read it.
macro_rules! say {
    ($($text:tt)*) => { $crate::talk::line(format_args!($($text)*)) };
}
pub(crate) use say;

/// What [`say!`] does. The line is written in one piece, so that lines of threads and processes do not mix.
pub fn line(text: fmt::Arguments<'_>) {
    let _ = Stderr.write_all(format!("{text}\n").as_bytes());
}

/// [`say!`], even as another rank than the first.
pub fn insist(text: fmt::Arguments<'_>) {
    let text = match RANK.load(Ordering::Relaxed) {
        0 => format!("{text}\n"),
        rank => format!("rank {rank}: {text}\n"),
    };
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Standard error for code of other crates that stops or panics when a write fails: no write to it fails.
pub struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if RANK.load(Ordering::Relaxed) == 0 {
            let _ = io::stderr().write_all(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
