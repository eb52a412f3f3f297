//! lines for a person → standard error, which may go away at any time
//!
//! Results go to standard output, where a reader that has gone ends the work (`| head`). What is said about the work does
//! not: a pipe that is closed, a terminal that is gone or a log on a full disk loses lines, and the work goes on.
//!
//! Of several ranks the first speaks for all. What another would have said goes into a file of its own, once there is one.

use std::{
    fmt,
    fs::{self, File},
    io::{self, Write},
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::SystemTime,
};

/// The number of this process among those that do one thing together.
static RANK: AtomicUsize = AtomicUsize::new(0);
/// The file of another rank than the first.
static RECORD: Mutex<Option<File>> = Mutex::new(None);

/// Speak as one of several ranks from now on: the first for all of them, the others by [`insist`] alone.
pub fn speak_as(rank: usize) {
    RANK.store(rank, Ordering::Relaxed);
}

/// Whether lines of this process go to standard error.
pub fn is_heard() -> bool {
    RANK.load(Ordering::Relaxed) == 0
}

/// As another rank than the first, write to `rank-N.log` in `dir` from now on, behind what is there. A file that cannot be
/// written loses lines, and the work goes on.
pub fn record_in(dir: &Path) {
    let rank = RANK.load(Ordering::Relaxed);
    if rank > 0 {
        let open = || File::options().create(true).append(true).open(dir.join(format!("rank-{rank}.log")));
        *RECORD.lock().unwrap_or_else(PoisonError::into_inner) = fs::create_dir_all(dir).and_then(|()| open()).ok();
    }
}

/// Write text to the file of this rank, if it has one, with the time before it.
pub fn record(text: &str) {
    if let Some(file) = RECORD.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
        let time = humantime::format_rfc3339_seconds(SystemTime::now());
        let _ = file.write_all(format!("{time} {text}").as_bytes());
    }
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
        rank => {
            record(&format!("{text}\n"));
            format!("rank {rank}: {text}\n")
        }
    };
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Standard error for code of other crates that stops or panics when a write fails: no write to it fails.
pub struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if is_heard() {
            let _ = io::stderr().write_all(bytes);
        } else {
            record(&String::from_utf8_lossy(bytes));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
