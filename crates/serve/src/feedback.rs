//! What people say of answers, in a journal.
//!
//! ```text
//! {"time":1795875459,"id":"cmpl-…","choice":0,"model":"tiny","system_fingerprint":"itera-…","rating":1.0}
//! ```
//!
//! A journal is a file of lines, each an object of JSON as above, with `rating`, `correction` or both. A line is on disk before
//! its sender hears of it. Lines are added and never changed; one that a crash has cut is no JSON, and the next begins after it.
//! At its most bytes the journal is full, and takes nothing more.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
    sync::{Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use itera_files::failed_to;
use serde::Serialize;

use crate::{answer::Head, error::Result, refusal::Refusal};

/// Answers that are remembered, the latest.
const ANSWERS: usize = 1 << 16;

/// What people said, and of which answers they may.
#[derive(Debug)]
pub(crate) struct Feedback {
    inner: Mutex<Inner>,
    /// Whether texts are taken in too.
    with_texts: bool,
}

#[derive(Debug)]
struct Inner {
    journal: Journal,
    answers: HashMap<String, Answered>,
    /// Their ids, the oldest first.
    order: VecDeque<String>,
}

#[derive(Debug)]
struct Answered {
    model: String,
    system_fingerprint: String,
    choices: usize,
    /// Choices that something was said of.
    judged: BTreeSet<usize>,
}

#[derive(Debug)]
struct Journal {
    file: File,
    size_bytes: u64,
    most_bytes: u64,
}

/// What was said of a choice.
#[derive(Debug)]
pub(crate) struct Said {
    /// Of the answer.
    pub id: String,
    /// Which of its texts, from 0.
    pub choice: usize,
    /// From -1 to 1.
    pub rating: Option<f64>,
    /// What the text should have been.
    pub correction: Option<String>,
}

#[derive(Serialize)]
struct Entry<'a> {
    /// Seconds since 1970.
    time: u64,
    id: &'a str,
    choice: usize,
    model: &'a str,
    system_fingerprint: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rating: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correction: Option<&'a str>,
}

impl Feedback {
    /// What goes on in the journal at `path`, which is made if it is not there, up to `most_bytes` of it.
    pub fn open(path: &Path, most_bytes: u64, with_texts: bool) -> Result<Self> {
        let journal = Journal::open(path, most_bytes).map_err(failed_to("open", path))?;
        let inner = Inner { journal, answers: HashMap::new(), order: VecDeque::new() };
        Ok(Self { inner: Mutex::new(inner), with_texts })
    }

    /// An answer of so many choices has begun.
    pub fn answered(&self, head: &Head, choices: usize) {
        let Head { id, model, system_fingerprint, .. } = head.clone();
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.order.push_back(id.clone());
        inner.answers.insert(id, Answered { model, system_fingerprint, choices, judged: BTreeSet::new() });
        while inner.order.len() > ANSWERS {
            let oldest = inner.order.pop_front();
            oldest.and_then(|id| inner.answers.remove(&id));
        }
    }

    /// Whether texts are taken in too.
    pub fn takes_texts(&self) -> bool {
        self.with_texts
    }

    /// Write down what was said, once for each choice of an answer.
    pub fn keep(&self, said: &Said) -> Result<(), Refusal> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let Inner { journal, answers, .. } = &mut *inner;
        let answered = answers.get_mut(&said.id).ok_or_else(|| Refusal::no_answer(&said.id))?;
        if said.choice >= answered.choices {
            let problem = format!("choice: expected one of the {} of the answer, from 0", answered.choices);
            return Err(Refusal::field("choice", problem));
        }
        if answered.judged.contains(&said.choice) {
            return Err(Refusal::said_already());
        }
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let entry = Entry {
            time,
            id: &said.id,
            choice: said.choice,
            model: &answered.model,
            system_fingerprint: &answered.system_fingerprint,
            rating: said.rating,
            correction: said.correction.as_deref(),
        };
        let mut line = serde_json::to_string(&entry).expect("strings and numbers are JSON");
        line.push('\n');
        journal.append(line.as_bytes()).map_err(|problem| Refusal::not_kept(&problem.kind().to_string()))?;
        answered.judged.insert(said.choice);
        Ok(())
    }
}

impl Journal {
    fn open(path: &Path, most_bytes: u64) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let size_bytes = file.seek(SeekFrom::End(0))?;
        let mut journal = Self { file, size_bytes, most_bytes };
        if size_bytes > 0 {
            let mut last = [0];
            journal.file.seek(SeekFrom::End(-1))?;
            journal.file.read_exact(&mut last)?;
            if last != *b"\n" {
                journal.append(b"\n")?;
            }
        }
        Ok(journal)
    }

    /// Add a line, which is on disk then.
    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let size = self.size_bytes.saturating_add(line.len() as u64);
        if size > self.most_bytes {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let written = self.file.write_all(line).and_then(|()| self.file.sync_data());
        match written {
            Ok(()) => self.size_bytes = size,
            // no half of a line, which the next would go on
            Err(_) => self.file.set_len(self.size_bytes)?,
        }
        written
    }
}
