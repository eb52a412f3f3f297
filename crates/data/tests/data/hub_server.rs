//! A small hub on this machine: the listing and the files of one data set, laid out as the real one does.
//!
//! ```text
//! GET /api/datasets/<repo>/revision/<revision>           {"sha", "siblings": [{"rfilename"}]}
//! GET /datasets/<repo>/resolve/<revision>/<file>         a range of the file, with ETag and X-Repo-Commit
//!                                                        (.parquet: a redirect to /cdn/…, as for large files)
//! ```

use std::{
    collections::{BTreeMap, VecDeque},
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use itera_data::HubEnv;
use itera_files::Sha256Digest;

pub const REPO: &str = "someone/tales";
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What the hub does instead of sending a file.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// Announces the whole length, then closes the connection after so many bytes.
    BreaksOff(usize),
    /// Announces no length, and closes the connection after so many bytes.
    BreaksOffUnannounced(usize),
    /// Sends the file from its start whatever range was asked for.
    IgnoresRange,
    /// Answers with this status.
    Status(u16),
}

/// A running hub; it stops when dropped.
pub struct Hub {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    files: BTreeMap<String, Vec<u8>>,
    /// Faults of the next answers that send a file.
    faults: Mutex<VecDeque<Fault>>,
    /// `path range` of the answers that sent a file or tried to.
    downloads: Mutex<Vec<String>>,
    is_stopped: Mutex<bool>,
}

impl Hub {
    /// Serve these files.
    pub fn serve(files: &[(&str, &[u8])]) -> Self {
        let files = files.iter().map(|(name, bytes)| ((*name).into(), bytes.to_vec())).collect();
        let shared = Arc::new(Shared { files, ..Shared::default() });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let hub = Self { address: listener.local_addr().unwrap(), shared: Arc::clone(&shared) };
        thread::spawn(move || {
            for stream in listener.incoming() {
                if *shared.is_stopped.lock().unwrap() {
                    return;
                }
                // A client that hangs up early is part of some tests.
                let _ = answer(stream.unwrap(), &shared);
            }
        });
        hub
    }

    /// Let the next answers go wrong.
    pub fn fail(&self, faults: &[Fault]) {
        self.shared.faults.lock().unwrap().extend(faults);
    }

    /// What was asked for since the last call: `file range`.
    pub fn downloads(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.downloads.lock().unwrap())
    }

    /// Settings that reach this hub, with a cache in `home`.
    pub fn env(&self, home: &Path) -> HubEnv {
        HubEnv {
            endpoint: format!("http://{}", self.address),
            cache: home.join("hub"),
            is_offline: false,
            token: None,
            retry_pause: Duration::from_millis(1),
        }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        *self.shared.is_stopped.lock().unwrap() = true;
        let _ = TcpStream::connect(self.address);
    }
}

fn answer(mut stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let (path, range, host) = read_request(&stream)?;
    let listing = format!("/api/datasets/{REPO}/revision/");
    let resolve = format!("/datasets/{REPO}/resolve/");
    if path.starts_with(&listing) {
        let siblings: Vec<_> = shared.files.keys().map(|name| serde_json::json!({"rfilename": name})).collect();
        let body = serde_json::json!({"id": REPO, "sha": COMMIT, "siblings": siblings}).to_string();
        return write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    }
    let name = path.strip_prefix(&resolve).and_then(|rest| rest.split_once('/')).map(|(_, name)| name);
    let is_redirected = name.is_some();
    let name = name.or_else(|| path.strip_prefix("/cdn/")).unwrap_or_default();
    let Some(bytes) = shared.files.get(name) else { return status(stream, 404) };
    let etag = Sha256Digest::of(bytes);
    if is_redirected && name.ends_with(".parquet") {
        return write!(
            stream,
            "HTTP/1.1 302 Found\r\nLocation: http://{host}/cdn/{name}\r\nX-Linked-Etag: \"{etag}\"\r\n\
             X-Repo-Commit: {COMMIT}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
    }
    let (first, end) = range.split_once('-').unwrap_or(("0", ""));
    let first: usize = first.parse().unwrap_or(0);
    let end = end.parse().map_or(bytes.len(), |last: usize| last + 1);
    if first >= end || end > bytes.len() {
        return status(stream, 416);
    }
    let is_metadata = range == "0-0";
    let fault = if is_metadata { None } else { shared.faults.lock().unwrap().pop_front() };
    if !is_metadata {
        shared.downloads.lock().unwrap().push(format!("{name} {range}"));
    }
    let body = if matches!(fault, Some(Fault::IgnoresRange)) { &bytes[..] } else { &bytes[first..end] };
    let (length, sent) = match fault {
        Some(Fault::Status(code)) => return status(stream, code),
        Some(Fault::BreaksOff(sent)) => (format!("Content-Length: {}\r\n", body.len()), sent),
        Some(Fault::BreaksOffUnannounced(sent)) => (String::new(), sent),
        Some(Fault::IgnoresRange) | None => (format!("Content-Length: {}\r\n", body.len()), body.len()),
    };
    let (last, total) = (end - 1, bytes.len());
    write!(
        stream,
        "HTTP/1.1 206 Partial Content\r\n{length}Content-Range: bytes {first}-{last}/{total}\r\nETag: \"{etag}\"\r\n\
         X-Repo-Commit: {COMMIT}\r\nConnection: close\r\n\r\n"
    )?;
    stream.write_all(&body[..sent])
}

/// Path, byte range (`0-0`, `17-`) and host of a request.
fn read_request(stream: &TcpStream) -> std::io::Result<(String, String, String)> {
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let (mut range, mut host) = (String::new(), String::new());
    for line in lines {
        let line = line?;
        match line.split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("range") => range = value.replace("bytes=", ""),
            Some((name, value)) if name.eq_ignore_ascii_case("host") => host = value.into(),
            _ if line.is_empty() => break,
            _ => {}
        }
    }
    Ok((path, range, host))
}

fn status(mut stream: TcpStream, code: u16) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 {code} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}
