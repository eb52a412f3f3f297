//! A log of lines, as of requests: lines in, a file or standard output behind.
//!
//! ```text
//! web ─ line ─▶ room for 4096 ─▶ thread ─ all that is there, in one write ─▶ file
//!                 └ none left: counted, and gone
//! ```
//!
//! Nobody waits for the log: where the disk is slow or full, or nobody reads standard output, lines are lost and counted.

use std::{
    fmt,
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Receiver, SyncSender},
    },
    thread,
    time::Duration,
};

use itera_files::failed_to;
use prometheus_client::metrics::counter::Counter;

use crate::error::{Result, ServeError};

/// Lines that wait to be written.
const ROOM: usize = 4096;

/// Bytes that are written at once, and a line.
const PIECE: usize = 64 << 10;

/// How long the last lines may take.
const LAST_LINES: Duration = Duration::from_millis(500);

/// Where a log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// To standard output.
    Stdout,
    /// Behind what is in this file, which is made if it is not there.
    File(PathBuf),
}

/// What takes the bytes.
trait Sink: Write + Send + fmt::Debug {}

impl<S: Write + Send + fmt::Debug> Sink for S {}

type Out = Arc<Mutex<Box<dyn Sink>>>;

/// A log that takes lines in.
#[derive(Debug)]
pub(crate) struct LineLog {
    target: LogTarget,
    out: Out,
    /// `None` once it is closed.
    lines: Mutex<Option<SyncSender<String>>>,
    /// Disconnected when the last line is written.
    end: Mutex<Receiver<()>>,
    lost: Counter,
}

impl LineLog {
    /// A log that goes to `target`, and counts in `lost` the lines that do not get there.
    pub fn open(target: &LogTarget, lost: Counter) -> Result<Self> {
        let out: Out = Arc::new(Mutex::new(opened(target)?));
        let (lines, waiting) = mpsc::sync_channel(ROOM);
        let (ending, end) = mpsc::sync_channel(0);
        let (to, uncounted) = (out.clone(), lost.clone());
        let write = move || {
            let _ending: SyncSender<()> = ending;
            write(&waiting, &to, &uncounted);
        };
        thread::Builder::new().name("log".into()).spawn(write).map_err(ServeError::Thread)?;
        Ok(Self { target: target.clone(), out, lines: Mutex::new(Some(lines)), end: Mutex::new(end), lost })
    }

    /// Go on in a file that is opened anew, as after the one that was there got another name.
    pub fn reopen(&self) -> Result<()> {
        let out = opened(&self.target)?;
        *self.out.lock().unwrap_or_else(PoisonError::into_inner) = out;
        Ok(())
    }

    /// Have a line written, which ends with its end.
    pub fn write(&self, line: String) {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.as_ref().is_none_or(|lines| lines.try_send(line).is_err()) {
            self.lost.inc();
        }
    }

    /// Take in nothing more, and wait until all is written, for a while at most.
    pub fn close(&self) {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).take();
        // an error either way: nothing is ever sent
        let _ = self.end.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(LAST_LINES);
    }
}

fn opened(target: &LogTarget) -> Result<Box<dyn Sink>> {
    let open = |path: &Path| File::options().create(true).append(true).open(path);
    Ok(match target {
        LogTarget::Stdout => Box::new(io::stdout()),
        LogTarget::File(path) => Box::new(open(path).map_err(failed_to("open", path))?),
    })
}

/// Write lines until no more can come.
fn write(lines: &Receiver<String>, out: &Out, lost: &Counter) {
    // whether the last write ended within a line
    let mut is_torn = false;
    while let Ok(mut piece) = lines.recv() {
        let mut count = 1;
        while piece.len() < PIECE
            && let Ok(line) = lines.try_recv()
        {
            piece.push_str(&line);
            count += 1;
        }
        if is_torn {
            piece.insert(0, '\n');
        }
        let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
        let written = out.write_all(piece.as_bytes()).and_then(|()| out.flush());
        is_torn = written.is_err();
        if is_torn {
            lost.inc_by(count);
        }
    }
}
